//! A drive that changes while the command waits: the command must not touch the new one.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::paused_release::PausedRelease;
use crate::test_context::{TestContext, expect_code, unmoor};
use crate::vm::test_case::{STANDARD, Skip, Test};
use unmoor_rig::agent::protocol::Output;
use unmoor_rig::drives::{CD, STICK};
use unmoor_rig::step_tracer::pause_point::PausePoint;

pub const TESTS: &[Test] = &[
    Test {
        name: "swapped.disc",
        promise: "another disc put in while it waits is not ejected: exit 1",
        drives: &[&CD],
        machine: &STANDARD,
        run: disc,
    },
    Test {
        name: "swapped.yanked",
        promise: "a stick pulled out while it waits: exit 1 and a clear message, no hang",
        drives: &[&STICK],
        machine: &STANDARD,
        run: yanked,
    },
    Test {
        name: "swapped.parent",
        promise: "the folder of the mount point exchanged for a link to another one: the stick is unmounted, nothing else",
        drives: &[&STICK],
        machine: &STANDARD,
        run: parent,
    },
    Test {
        name: "swapped.parent-force",
        promise: "the same with --force and an open file: the other mount, in use, stays",
        drives: &[&STICK],
        machine: &STANDARD,
        run: parent_force,
    },
    Test {
        name: "swapped.covered",
        promise: "a card mounted on the mount point just before: exit 3, the card stays",
        drives: &[&STICK],
        machine: &STANDARD,
        run: covered,
    },
];

fn disc(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&CD)?;
    let sequence = format!("cat /sys/block/{}/diskseq", node.replace("/dev/", ""));
    let before = ctx.sh(&sequence)?;
    ctx.mount(&format!("-o ro {node}"), "/mnt/disc")?;
    let holder = ctx.start_sh("cd /mnt/disc && exec sleep 1000")?;
    ctx.sh("while ! fuser -s -m /mnt/disc; do sleep 0.1; done")?;
    let job = ctx.start(unmoor(&["eject", "--wait", "60s", &node]))?;
    sleep(Duration::from_secs(3));
    ctx.machine.insert(&CD)?;
    // Nobody notices a new disc until somebody opens the drive.
    ctx.try_sh(&format!("blockdev --getsize64 {node}"))?;
    if ctx.sh(&sequence)? == before {
        return Err(Skip("the kernel did not count the new disc".to_owned()).into());
    }
    let mark = ctx.machine.qmp.mark();
    ctx.machine.guest.signal(holder, libc::SIGKILL)?;
    let output = ctx.wait(job)?;
    expect_code(&output, 1)?;
    ctx.expect_untouched(mark, &CD)
}

fn yanked(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 2)?;
    ctx.mount(&part, "/mnt/fat")?;
    ctx.start_sh("cd /mnt/fat && exec sleep 1000")?;
    ctx.sh("while ! fuser -s -m /mnt/fat; do sleep 0.1; done")?;
    let job = ctx.start(unmoor(&["eject", "--wait", "20s", "/mnt/fat"]))?;
    sleep(Duration::from_secs(3));
    ctx.machine.yank(&STICK)?;
    let output = ctx.wait(job)?;
    expect_code(&output, 1)?;
    ensure!(!output.stderr.contains("panicked"), "it panicked: {}", output.stderr);
    ensure!(!output.stderr.trim().is_empty(), "it said nothing");
    Ok(())
}

/// Mounts the stick on `/mnt/user/stick`, and another file system on `/mnt/other/stick`. Starts a release, and runs
/// the script just before the stick is unmounted.
fn swapped(ctx: &mut TestContext, options: &[&str], script: &str) -> Result<Output> {
    let (node, part) = (ctx.node(&STICK)?, ctx.partition(&STICK, 1)?);
    ctx.mount(&part, "/mnt/user/stick")?;
    ctx.mount("-t tmpfs other", "/mnt/other/stick")?;
    let words: Vec<&str> = ["eject", &*node].iter().chain(options).copied().collect();
    let paused = PausedRelease::start(ctx, PausePoint::Unmount, &node, &words)?;
    let output = paused.resume(ctx, script)?;
    ctx.expect_mounted("/mnt/other/stick", true)?;
    Ok(output)
}

/// Exchanges the folder of the mount point for a link to that of the other mount.
const SWAP_PARENT: &str = "mv /mnt/user /mnt/moved; ln -s /mnt/other /mnt/user";

fn parent(ctx: &mut TestContext) -> Result<()> {
    let output = swapped(ctx, &[], SWAP_PARENT)?;
    expect_code(&output, 0)?;
    ctx.expect_mounted("/mnt/moved/stick", false)
}

fn parent_force(ctx: &mut TestContext) -> Result<()> {
    ctx.sh("rm -f /tmp/holder")?;
    let hold = "sh -c 'exec 8>/mnt/user/stick/open 9>/mnt/other/stick/open; echo on >/tmp/holder; \
                exec sleep 1000' >/dev/null 2>&1 & until test -s /tmp/holder; do sleep 0.05; done; ";
    let script = format!("{hold}{SWAP_PARENT}");
    let output = swapped(ctx, &["--force"], &script)?;
    expect_code(&output, 3)?;
    ensure!(output.stderr.contains("/mnt/moved/stick now"), "{}", output.stderr);
    ctx.sh("echo on >/mnt/moved/stick/still")?;
    Ok(())
}

fn covered(ctx: &mut TestContext) -> Result<()> {
    let mark = ctx.machine.qmp.mark();
    let output =
        swapped(ctx, &[], "mount -t tmpfs card /mnt/user/stick; echo on >/mnt/user/stick/on")?;
    expect_code(&output, 3)?;
    ctx.expect_untouched(mark, &STICK)?;
    ensure!(output.stderr.contains("another file system is mounted on it"), "{}", output.stderr);
    ctx.sh(
        "test $(cat /mnt/user/stick/on) = on && umount /mnt/user/stick && umount /mnt/user/stick",
    )?;
    Ok(())
}
