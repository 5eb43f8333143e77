//! A file system elsewhere whose server does not answer: every request to it blocks for ever.
//!
//! The scan sends it no request, and its answer about the drive is right.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{ExpectedBlocker, expect_named, refused};
use crate::test_context::{TestContext, document, expect_code, unmoor, words};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test {
        name: "who.dead-fuse",
        promise: "with a FUSE server that is stopped, its files open, one its directory, a mount in it: the search ends and is right",
        drives: &[&STICK],
        machine: &STANDARD,
        run: elsewhere,
    },
    Test {
        name: "who.below-dead-fuse",
        promise: "with the drive itself mounted below such a file system: the search ends and is right",
        drives: &[&STICK],
        machine: &STANDARD,
        run: below,
    },
    Test {
        name: "who.stuck-exit",
        promise: "a killed program that waits for such a server on its way out: the report does not claim that nothing blocks",
        drives: &[&STICK],
        machine: &STANDARD,
        run: on_its_way_out,
    },
    Test {
        name: "who.dead-listener",
        promise: "a fanotify listener that does not answer is named when the release has timed out, and the command helps",
        drives: &[&STICK],
        machine: &STANDARD,
        run: listener,
    },
    Test {
        name: "who.dead-mapping",
        promise: "so is a suspended mapping",
        drives: &[&STICK],
        machine: &STANDARD,
        run: mapping,
    },
];

/// Timeout in seconds: enough for the slowest machine.
const TIMEOUT: &str = "100";

/// Mounts the file system on `/mnt/dead`, with a tmpfs on its directory, and returns the server's PID.
fn serve(ctx: &mut TestContext) -> Result<String> {
    ctx.sh("modprobe fuse; mkdir /mnt/dead")?;
    let server = ctx.hold("exec $AGENT hold fuse /mnt/dead")?;
    ctx.sh("test -f /mnt/dead/file && mount -t tmpfs tmpfs /mnt/dead/dir")?;
    ctx.hold("exec 7</mnt/dead/file; cd /mnt/dead; echo held $$; exec sleep 1000")?;
    Ok(server)
}

/// Keeps a file on the stick open, and everything that the dead server has.
fn hold(ctx: &mut TestContext, file: &str) -> Result<String> {
    ctx.hold(&format!(
        "exec 6</mnt/dead/file 7>{file} 8</mnt/dead; cd /mnt/dead/dir; echo held $$; exec sleep 1000"
    ))
}

fn named<'a>(pid: &'a str, file: &'a str) -> ExpectedBlocker<'a> {
    ExpectedBlocker {
        kind: "process",
        usage: "open-for-writing",
        path: file,
        fd: Some(7),
        process: Some((pid, "sleep")),
        ..ExpectedBlocker::default()
    }
}

/// Stops the server and makes sure that a request to it blocks.
fn stop(ctx: &mut TestContext, server: &str) -> Result<()> {
    ctx.sh(&format!("kill -STOP {server}"))?;
    let asked = ctx.try_sh("timeout -s KILL 2 ls /mnt/dead/file")?;
    ensure!(asked.code != Some(0), "the server still answers");
    Ok(())
}

/// Runs the command, and kills it at the timeout.
fn in_time(ctx: &mut TestContext, code: i32, arguments: &[&str]) -> Result<Value> {
    let program = unmoor(arguments).words;
    let program: Vec<&str> = ["timeout", "-s", "KILL", TIMEOUT]
        .into_iter()
        .chain(program.iter().map(String::as_str))
        .chain(["--json"])
        .collect();
    let output = ctx.run(words(&program))?;
    expect_code(&output, code)?;
    document(&output, code)
}

fn run_who_in_time(
    ctx: &mut TestContext,
    target: &str,
    wanted: &[ExpectedBlocker<'_>],
) -> Result<()> {
    let document = in_time(ctx, 3, &["who", target])?;
    let found = &document["targets"][0];
    expect_named(found, wanted)?;
    ensure!(found["scan"]["complete"] == true, "not everything was seen: {}", found["scan"]);
    Ok(())
}

fn elsewhere(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 1)?;
    ctx.mount(&node, "/mnt/ext")?;
    let server = serve(ctx)?;
    let pid = hold(ctx, "/mnt/ext/file")?;
    stop(ctx, &server)?;
    let named = [named(&pid, "/mnt/ext/file")];
    run_who_in_time(ctx, &node, &named)?;
    refused(ctx, &node, &named)?;
    // A program that ends closes what it has open, and waits for the dead server with it.
    ctx.sh(&format!("kill -CONT {server}; kill {pid}"))?;
    ctx.unmoor(0, &["eject", "--wait", "60s", &node]).map(drop)
}

fn below(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 1)?;
    let server = serve(ctx)?;
    ctx.mount(&node, "/mnt/dead/dir/ext")?;
    let pid = hold(ctx, "/mnt/dead/dir/ext/file")?;
    stop(ctx, &server)?;
    let named = [named(&pid, "/mnt/dead/dir/ext/file")];
    run_who_in_time(ctx, &node, &named)?;
    let late = in_time(ctx, 1, &["eject", "--timeout", "20s", &node])?;
    ensure!(late["targets"][0]["error"]["kind"] == "timed-out", "{late}");
    let late = in_time(ctx, 1, &["eject", "/mnt/dead/dir/ext/file"])?;
    ensure!(late["targets"][0]["error"]["kind"] == "timed-out", "{late}");
    ctx.sh(&format!("kill -CONT {server}; kill {pid}"))?;
    ctx.unmoor(0, &["eject", "--wait", "60s", &node]).map(drop)
}

/// Checks a process in exit: its file on the stick is still open, and proc does not show it.
fn on_its_way_out(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 1)?;
    ctx.mount(&node, "/mnt/ext")?;
    let server = serve(ctx)?;
    let pid = hold(ctx, "/mnt/ext/file")?;
    stop(ctx, &server)?;
    ctx.sh(&format!(
        "kill {pid}; i=0; while test -n \"$(ls /proc/{pid}/fd)\"; do sleep 0.1; \
         i=$((i+1)); test $i -lt 300; done"
    ))?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(3, &["eject", &node])?;
    ctx.expect_untouched(mark, &STICK)?;
    // The search sees no file of it; the kernel is asked then, and says busy.
    let document = ctx.unmoor_json(3, &["who", &node])?;
    let blockers = &document["targets"][0]["blockers"];
    ensure!(blockers[0]["kind"] == "unknown", "blocked by {blockers}");
    let scan = &document["targets"][0]["scan"];
    let told = |note: &serde_json::Value| {
        note.as_str().is_some_and(|note| note.contains(&format!("sleep (pid {pid}) is exiting")))
    };
    let notes = scan["notes"].as_array();
    ensure!(notes.is_some_and(|notes| notes.iter().any(told)), "who it is: {scan}");
    ctx.sh(&format!("kill -CONT {server}"))?;
    ctx.unmoor(0, &["eject", "--wait", "60s", &node]).map(drop)
}

/// Checks that the release times out, that the answer has the same command as `who`, and that it helps.
fn named_after_timeout(ctx: &mut TestContext, node: &str, command: &str) -> Result<()> {
    let mark = ctx.machine.qmp.mark();
    let late = ctx.unmoor(1, &["eject", "--timeout", "10s", node])?;
    ensure!(late.stderr.contains(command), "no {command} in {}", late.stderr);
    ctx.expect_untouched(mark, &STICK)?;
    let document = in_time(ctx, 3, &["who", node])?;
    // The helper that is stuck is a user of the drive too.
    let blockers = document["targets"][0]["blockers"].as_array().context("blockers")?;
    ensure!(blockers.iter().any(|b| b["command"] == command), "{blockers:#?}");
    ctx.sh(command)?;
    ctx.unmoor(0, &["eject", "--wait", "60s", node]).map(drop)
}

/// Listens to the opening of files, and never answers: `FAN_CLASS_CONTENT`, `FAN_MARK_ADD | FAN_MARK_FILESYSTEM`.
const LISTENER: &str = "import ctypes, os, time
libc = ctypes.CDLL(None)
listener = libc.fanotify_init(4, 0)
assert listener >= 0
assert libc.fanotify_mark(listener, 0x101, ctypes.c_ulonglong(0x40030000), -100, b'/mnt/ext') == 0
print('held', os.getpid(), flush=True)
time.sleep(1000)";

fn listener(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 1)?;
    ctx.mount(&node, "/mnt/ext")?;
    let pid = ctx.hold(&format!("exec python3 -c \"{LISTENER}\""))?;
    named_after_timeout(ctx, &node, &format!("kill {pid}"))
}

fn mapping(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!(
        "modprobe dm-mod; umount {node} 2>/dev/null
         dmsetup create rig-dead --table \"0 $(blockdev --getsz {node}) linear {node} 0\" && \
         mkfs.ext4 -q -F /dev/dm-0 && mkdir -p /mnt/ext && mount /dev/dm-0 /mnt/ext && \
         head -c 3000000 /dev/urandom >/mnt/ext/data && dmsetup suspend --nolockfs rig-dead"
    ))?;
    let named = named_after_timeout(ctx, &node, "dmsetup resume rig-dead");
    ctx.try_sh("dmsetup resume rig-dead")?;
    named
}
