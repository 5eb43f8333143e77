//! Unwritten data keeps the medium in, on a drive that reports one bad sector.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::paused_release::PausedRelease;
use crate::stick_files::{Written, mount_at, write_both};
use crate::test_context::{TestContext, document, expect_code};
use crate::vm::test_case::{FLAWED, Test};
use unmoor_rig::drives::FLAWED_STICK;
use unmoor_rig::step_tracer::pause_point::PausePoint;

pub const TESTS: &[Test] = &[
    Test {
        name: "unwritten.stays",
        promise: "a write that fails keeps the medium in and mounted, also with --force; the other partition is written",
        drives: &[],
        machine: &FLAWED,
        run: stays,
    },
    Test {
        name: "unwritten.discarded",
        promise: "--discard-unwritten ejects it all the same, says what was lost, and the other partition is whole",
        drives: &[],
        machine: &FLAWED,
        run: discarded,
    },
    Test {
        name: "unwritten.after-the-flush",
        promise: "what was written after the flush and fails at the dismount keeps it mounted and in: exit 1",
        drives: &[],
        machine: &FLAWED,
        run: |ctx| after_the_flush(ctx, &["--wait", "60s"]),
    },
    Test {
        name: "unwritten.after-the-flush-forced",
        promise: "--force does not make it go away",
        drives: &[],
        machine: &FLAWED,
        run: |ctx| after_the_flush(ctx, &["--wait", "5s", "--force"]),
    },
    Test {
        name: "unwritten.after-the-flush-discarded",
        promise: "--discard-unwritten gives up what fails at the dismount too, and lists it",
        drives: &[],
        machine: &FLAWED,
        run: discarded_after_the_flush,
    },
    Test {
        name: "unwritten.read-only-mount",
        promise: "a mount that was made read-only after the writing hides no failed write: exit 1",
        drives: &[],
        machine: &FLAWED,
        run: read_only_mount,
    },
];

/// Returns the report of data that could not be written; fails if anything changed.
fn expect_kept(ctx: &mut TestContext, mark: usize, target: &Value, step: &str) -> Result<()> {
    let error = &target["error"];
    ensure!(error["kind"] == "unwritten" && error["step"] == step, "it says {error}");
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(message.contains("/mnt/fat: data may be lost"), "it says {message}");
    ctx.expect_mounted("/mnt/fat", true)?;
    ctx.expect_mounted("/mnt/ext", true)?;
    ctx.expect_untouched(mark, &FLAWED_STICK)
}

/// Mounts both partitions and writes 20 MB to each.
fn written(ctx: &mut TestContext) -> Result<Written> {
    mount_at(ctx, &FLAWED_STICK)?;
    write_both(ctx)
}

fn stays(ctx: &mut TestContext) -> Result<()> {
    let written = written(ctx)?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(1, &["eject", "--force", "/mnt/ext"])?;
    expect_kept(ctx, mark, &document["targets"][0], "flush")?;
    let image = ctx.snapshot(&FLAWED_STICK)?;
    written.expect_ext4_after_its_journal(&image)
}

fn discarded(ctx: &mut TestContext) -> Result<()> {
    let written = written(ctx)?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(0, &["eject", "--discard-unwritten", "/mnt/ext"])?;
    let told = document["targets"][0].to_string();
    ensure!(told.contains("/mnt/fat: data may be lost"), "the loss is not listed: {told}");
    ctx.expect_tray(mark, &FLAWED_STICK, true)?;
    ctx.expect_mounted("/mnt/fat", false)?;
    ctx.expect_mounted("/mnt/ext", false)?;
    let image = ctx.snapshot(&FLAWED_STICK)?;
    written.expect_ext4_after_its_journal(&image)
}

/// Writes data that will fail after the flush, before the lock.
fn release_and_write(ctx: &mut TestContext, code: i32, options: &[&str]) -> Result<Value> {
    let node = ctx.node(&FLAWED_STICK)?;
    // The attempt to lock has little time, and the release is paused in it.
    ctx.sh("head -c 20000000 /dev/urandom >/tmp/late")?;
    let line: Vec<&str> =
        ["eject", "--json"].iter().chain(options).copied().chain(["/mnt/ext"]).collect();
    let paused = PausedRelease::start(ctx, PausePoint::Lock, &node, &line)?;
    let output = paused.resume(ctx, "cp /tmp/late /mnt/fat/data.bin")?;
    expect_code(&output, code)?;
    Ok(document(&output, code)?["targets"][0].clone())
}

fn after_the_flush(ctx: &mut TestContext, options: &[&str]) -> Result<()> {
    mount_at(ctx, &FLAWED_STICK)?;
    let mark = ctx.machine.qmp.mark();
    let target = release_and_write(ctx, 1, options)?;
    ensure!(target["help"].as_str().is_some_and(|h| h.contains("--discard-unwritten")), "{target}");
    expect_kept(ctx, mark, &target, "dismount")
}

fn discarded_after_the_flush(ctx: &mut TestContext) -> Result<()> {
    mount_at(ctx, &FLAWED_STICK)?;
    let mark = ctx.machine.qmp.mark();
    let target = release_and_write(ctx, 0, &["--wait", "60s", "--discard-unwritten"])?;
    ensure!(target["lost"].to_string().contains("/mnt/fat: data may be lost"), "{target}");
    ctx.expect_tray(mark, &FLAWED_STICK, true)
}

fn read_only_mount(ctx: &mut TestContext) -> Result<()> {
    written(ctx)?;
    ctx.sh("mount -o remount,bind,ro /mnt/fat")?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(1, &["eject", "/mnt/ext"])?;
    expect_kept(ctx, mark, &document["targets"][0], "flush")
}
