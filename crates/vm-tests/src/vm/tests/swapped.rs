//! A drive that changes while the command waits: the command must not touch the new one.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::test_context::{TestContext, expect_code, unmoor};
use crate::vm::test_case::{STANDARD, Skip, Test};
use unmoor_rig::drives::{CD, STICK};

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
