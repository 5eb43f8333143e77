//! Releases that fail late, with part of the stack removed: what can be mounted again is, and the report says so.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::stacks;
use crate::paused_release::PausedRelease;
use crate::stick_files::mount_both;
use crate::test_context::{TestContext, document, expect_code};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;
use unmoor_rig::step_tracer::pause_point::PausePoint;

pub const TESTS: &[Test] = &[
    Test {
        name: "late.mapping",
        promise: "a mapping opened after it was found idle: exit 3, its holder named, everything mounted again",
        drives: &[&STICK],
        machine: &STANDARD,
        run: mapping,
    },
    Test {
        name: "late.array",
        promise: "an array opened after it was found idle: exit 3, mounted again",
        drives: &[&STICK],
        machine: &STANDARD,
        run: array,
    },
    Test {
        name: "late.mount",
        promise: "a mount in use between the check and its turn: exit 3, the other one is mounted again as it was",
        drives: &[&STICK],
        machine: &STANDARD,
        run: mount,
    },
    Test {
        name: "late.claim",
        promise: "a partition mounted just before the claim, and in use: exit 3, both mounted again, the medium stays in",
        drives: &[&STICK],
        machine: &STANDARD,
        run: claim,
    },
    Test {
        name: "late.wait",
        promise: "a mount in use for some seconds between the check and its turn: released within --wait",
        drives: &[&STICK],
        machine: &STANDARD,
        run: wait,
    },
];

/// Releases the stick, runs the script at this point, and returns the report of the refusal. `--wait`: the
/// tracer makes the blocker scan take longer than its usual time.
fn refused(ctx: &mut TestContext, point: PausePoint, target: &str, script: &str) -> Result<Value> {
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    let paused =
        PausedRelease::start(ctx, point, &node, &["eject", "--json", "--wait", "15s", target])?;
    let output = paused.resume(ctx, script)?;
    expect_code(&output, 3)?;
    ctx.expect_untouched(mark, &STICK)?;
    Ok(document(&output, 3)?["targets"][0].clone())
}

/// Fails unless a step of the release says each of these.
fn expect_said(target: &Value, parts: &[&str]) -> Result<()> {
    let steps = target["steps"].to_string();
    for part in parts {
        ensure!(steps.contains(part), "no step says {part:?}: {steps}");
    }
    Ok(())
}

/// Returns a script that keeps something open in the background, which its shell does not wait for.
fn holding(what: &str) -> String {
    format!(
        "sh -c 'exec 9<{what}; echo $$ >/tmp/holder; exec sleep 1000' >/dev/null 2>&1 & \
             until test -s /tmp/holder; do sleep 0.05; done"
    )
}

fn mapping(ctx: &mut TestContext) -> Result<()> {
    stacks::make_luks(ctx)?;
    let fat = ctx.partition(&STICK, 2)?;
    ctx.sh("rm -f /tmp/holder; mkfs.ext4 -q /dev/mapper/rigluks")?;
    ctx.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    ctx.mount(&fat, "/mnt/fat")?;
    let held = holding("/dev/mapper/rigluks");
    let target = refused(ctx, PausePoint::TakeDown, "/mnt/luks", &held)?;
    expect_said(
        &target,
        &["dismounted by then: /mnt/fat, /mnt/luks", "still up: encrypted volume dm-"],
    )?;
    ensure!(target["blockers"].to_string().contains("sleep"), "the holder is not named: {target}");
    ctx.expect_mounted("/mnt/luks", true)?;
    ctx.expect_mounted("/mnt/fat", true)?;
    ctx.sh("test -e /dev/mapper/rigluks && kill $(cat /tmp/holder)")?;
    let node = ctx.node(&STICK)?;
    ctx.unmoor(0, &["eject", "--wait", "20s", &node]).map(drop)
}

fn array(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    stacks::make_raid1(ctx, &one, &two)?;
    ctx.sh("rm -f /tmp/holder")?;
    let target = refused(ctx, PausePoint::TakeDown, "/mnt/raid", &holding("/dev/md0"))?;
    expect_said(&target, &["dismounted by then: /mnt/raid", "still up: array md0"])?;
    ctx.expect_mounted("/mnt/raid", true)?;
    ctx.sh("test $(cat /sys/block/md0/md/array_state) != clear && kill $(cat /tmp/holder)")?;
    let node = ctx.node(&STICK)?;
    ctx.unmoor(0, &["eject", "--wait", "20s", &node]).map(drop)
}

fn mount(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    // At the first umount2: the one that comes second is taken in use.
    ctx.sh("rm -f /tmp/holder; mount -o remount,nosuid,noatime,ro /mnt/fat")?;
    let options = "grep ' /mnt/fat ' /proc/self/mountinfo | cut -d' ' -f3-";
    let before = ctx.sh(options)?;
    let target = refused(ctx, PausePoint::Unmount, "/mnt/ext", &holding("/mnt/ext"))?;
    expect_said(&target, &["/mnt/ext", "dismounted by then: /mnt/fat", "still up: /mnt/ext"])?;
    let after = ctx.sh(options)?;
    ensure!(after == before, "mounted as {after}, before as {before}");
    ctx.expect_mounted("/mnt/ext", true)?;
    ctx.sh("echo on >/mnt/ext/still && sync -f /mnt/ext/still && kill $(cat /tmp/holder)")?;
    ctx.unmoor(0, &["eject", "--wait", "20s", "/mnt/ext"]).map(drop)
}

fn claim(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let part = ctx.partition(&STICK, 1)?;
    ctx.sh("rm -f /tmp/holder")?;
    let held = holding("/mnt/back");
    let script = format!("mkdir -p /mnt/back && mount {part} /mnt/back && {held}");
    let target = refused(ctx, PausePoint::Claim, "/mnt/ext", &script)?;
    expect_said(&target, &["is still in use", "dismounted by then: /mnt/fat, /mnt/ext"])?;
    for mounted in ["/mnt/back", "/mnt/ext", "/mnt/fat"] {
        ctx.expect_mounted(mounted, true)?;
    }
    ctx.sh("kill $(cat /tmp/holder)")?;
    ctx.unmoor(0, &["eject", "--wait", "20s", "/mnt/back"]).map(drop)
}

fn wait(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let node = ctx.node(&STICK)?;
    let words = ["eject", "--wait", "50s", "/mnt/ext"];
    let paused = PausedRelease::start(ctx, PausePoint::Unmount, &node, &words)?;
    let held = "sh -c 'exec 9>/mnt/ext/late; echo on >/tmp/late; sleep 3' >/dev/null 2>&1 & \
                until test -s /tmp/late; do sleep 0.05; done";
    let output = paused.resume(ctx, held)?;
    expect_code(&output, 0)?;
    ensure!(output.stdout.contains("released") || output.stderr.contains("released"), "{output:?}");
    ensure!(ctx.tray_is_open(&STICK)?, "the stick was not ejected");
    Ok(())
}
