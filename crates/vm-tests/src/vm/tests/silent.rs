//! A bystander that does not answer: another drive, a mapping, or the file system of an image.
//!
//! A request to it blocks in the kernel. Every command ends all the same, and its answer about the other drives is
//! right.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::scsi_debug::make_drives;
use crate::test_context::{TestContext, document, expect_code, unmoor, words};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test {
        name: "silent.loop-image",
        promise: "a loop device whose image lies on a FUSE server that is stopped: every command on the stick ends, and its answer is right",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| beside(ctx, stop_image),
    },
    Test {
        name: "silent.loop-itself",
        promise: "such a loop device itself: eject ends by its deadline, and at SIGTERM",
        drives: &[&STICK],
        machine: &STANDARD,
        run: loop_itself,
    },
    Test {
        name: "silent.suspended-mapping",
        promise: "a suspended mapping on another drive: every command on the stick ends, and its answer is right",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| beside(ctx, suspend_mapping),
    },
    Test {
        name: "silent.no-read",
        promise: "a drive that answers TEST UNIT READY and not READ: every command on the stick ends, and its answer is right",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| beside(ctx, stop_reading),
    },
    Test {
        name: "silent.no-read-itself",
        promise: "such a drive itself: eject ends by its deadline, and at SIGTERM",
        drives: &[&STICK],
        machine: &STANDARD,
        run: no_read_itself,
    },
];

/// Timeout in seconds: enough for the slowest machine.
const TIMEOUT: &str = "100";

/// Sets up a bystander that does not answer.
type Setup = fn(&mut TestContext) -> Result<Silent>;

/// A bystander that does not answer.
struct Silent {
    node: String,
    /// Script that makes it answer again.
    mend: String,
}

/// Runs every command on the stick while the bystander does not answer.
fn beside(ctx: &mut TestContext, setup: Setup) -> Result<()> {
    let node = ctx.node(&STICK)?;
    let part = ctx.partition(&STICK, 1)?;
    let label = ctx.sh(&format!("blkid -o value -s LABEL {part}"))?;
    ctx.mount(&part, "/mnt/ext")?;
    let name = node.trim_start_matches("/dev/");
    let silent = setup(ctx)?;
    let listed = in_time(ctx, 0, &["list", "--all"])?;
    ensure!(listed.to_string().contains(&format!("\"{name}\"")), "the stick is missing: {listed}");
    in_time(ctx, 0, &["list"])?;
    in_time(ctx, 0, &["status", &node])?;
    in_time(ctx, 0, &["who", &node])?;
    in_time(ctx, 0, &["status", &format!("LABEL={label}")])?;
    in_time(ctx, 0, &["status", "/mnt/ext"])?;
    let mark = ctx.machine.qmp.mark();
    in_time(ctx, 0, &["eject", &format!("LABEL={label}")])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.expect_mounted("/mnt/ext", false)?;
    ctx.sh(&silent.mend).map(drop)
}

/// Runs the command, and kills it at the timeout.
fn in_time(ctx: &mut TestContext, code: i32, arguments: &[&str]) -> Result<Value> {
    let program = unmoor(arguments).words;
    let program: Vec<&str> = ["timeout", "-s", "KILL", TIMEOUT]
        .into_iter()
        .chain(program.iter().map(String::as_str))
        .chain(["--json"])
        .collect();
    let ended = ctx.run(words(&program))?;
    expect_code(&ended, code)?;
    document(&ended, code)
}

/// Attaches a loop device to the file of a FUSE server, and stops the server.
fn stop_image(ctx: &mut TestContext) -> Result<Silent> {
    ctx.sh("modprobe fuse; modprobe loop; mkdir -p /mnt/dead")?;
    let server = ctx.hold("exec $AGENT hold fuse /mnt/dead")?;
    let node = ctx.sh("losetup --find --show --read-only /mnt/dead/file")?;
    ctx.sh(&format!("kill -STOP {server}"))?;
    let asked = ctx.try_sh(&format!("timeout -s KILL 2 losetup {node} & sleep 3; ! wait $!"))?;
    ensure!(asked.code == Some(0), "the image still answers");
    // An ejection may have detached it.
    let mend =
        format!("kill -CONT {server}; if losetup {node} >/dev/null; then losetup -d {node}; fi");
    Ok(Silent { node, mend })
}

/// Creates a mapping with a file system on another drive, and suspends it.
fn suspend_mapping(ctx: &mut TestContext) -> Result<Silent> {
    let node = make_drives(ctx, 1)?;
    ctx.sh(&format!(
        "mkfs.ext2 -q -L other {node} && sync && \
         dmsetup create silent --table \"0 8192 linear {node} 0\" --noudevsync && \
         dmsetup suspend --noudevsync silent"
    ))?;
    let state = ctx.sh("dmsetup info --columns --noheadings -o suspended silent")?;
    ensure!(state == "Suspended", "the mapping still answers: {state}");
    let mend = "dmsetup resume --noudevsync silent; dmsetup remove --noudevsync silent".to_owned();
    Ok(Silent { node, mend })
}

/// Creates a drive that answers TEST UNIT READY and not READ (`SDEBUG_OPT_MAC_TIMEOUT`).
fn stop_reading(ctx: &mut TestContext) -> Result<Silent> {
    let node = make_drives(ctx, 1)?;
    ctx.sh(&format!("mkfs.ext2 -q -L other {node} && blockdev --flushbufs {node}"))?;
    let debug = "/sys/bus/pseudo/drivers/scsi_debug";
    ctx.sh(&format!("echo 128 >{debug}/opts && echo 1 >{debug}/every_nth"))?;
    let asked =
        ctx.try_sh(&format!("timeout -s KILL 2 dd if={node} of=/dev/null count=1 iflag=direct"))?;
    ensure!(asked.code != Some(0), "the drive still reads");
    Ok(Silent { node, mend: format!("echo 0 >{debug}/every_nth; echo 0 >{debug}/opts") })
}

/// Fails unless the command ends by its deadline, and at SIGTERM before that.
fn ends_in_time(ctx: &mut TestContext, arguments: &[&str]) -> Result<()> {
    let program = unmoor(arguments).words.join(" ");
    let ended = ctx.try_sh(&format!("timeout -s KILL {TIMEOUT} {program} --timeout 20s --json"))?;
    ensure!(ended.code.is_some_and(|code| code < 128), "it does not end in time");
    let interrupted = ctx.try_sh(&format!(
        "{program} --timeout 1000s --json & pid=$!; sleep 5; kill -TERM $pid; \
         (sleep 60; kill -KILL $pid) & wait $pid"
    ))?;
    ensure!(interrupted.code.is_some_and(|code| code != 137), "it does not hear the signal");
    Ok(())
}

fn loop_itself(ctx: &mut TestContext) -> Result<()> {
    let silent = stop_image(ctx)?;
    ends_in_time(ctx, &["eject", &silent.node])?;
    in_time(ctx, 0, &["list", "--all"])?;
    ctx.sh(&silent.mend).map(drop)
}

fn no_read_itself(ctx: &mut TestContext) -> Result<()> {
    let silent = stop_reading(ctx)?;
    ends_in_time(ctx, &["eject", &silent.node])?;
    in_time(ctx, 0, &["list", "--all"])?;
    ctx.sh(&silent.mend).map(drop)
}
