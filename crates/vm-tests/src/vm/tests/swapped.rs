//! The drive changes while the command waits: it must not act on what it was not asked about.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::test_context::{Trial, expect_code, unmoor};
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

fn disc(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&CD)?;
    let sequence = format!("cat /sys/block/{}/diskseq", node.replace("/dev/", ""));
    let before = trial.sh(&sequence)?;
    trial.mount(&format!("-o ro {node}"), "/mnt/disc")?;
    let holder = trial.start_sh("cd /mnt/disc && exec sleep 1000")?;
    trial.sh("while ! fuser -s -m /mnt/disc; do sleep 0.1; done")?;
    let job = trial.start(unmoor(&["eject", "--wait", "60s", &node]))?;
    sleep(Duration::from_secs(3));
    trial.machine.insert(&CD)?;
    // Nobody notices a new disc until somebody opens the drive.
    trial.try_sh(&format!("blockdev --getsize64 {node}"))?;
    if trial.sh(&sequence)? == before {
        return Err(Skip("the kernel did not count the new disc".to_owned()).into());
    }
    let mark = trial.machine.qmp.mark();
    trial.machine.guest.signal(holder, libc::SIGKILL)?;
    let ended = trial.wait(job)?;
    expect_code(&ended, 1)?;
    trial.expect_untouched(mark, &CD)
}

fn yanked(trial: &mut Trial) -> Result<()> {
    let part = trial.partition(&STICK, 2)?;
    trial.mount(&part, "/mnt/fat")?;
    trial.start_sh("cd /mnt/fat && exec sleep 1000")?;
    trial.sh("while ! fuser -s -m /mnt/fat; do sleep 0.1; done")?;
    let job = trial.start(unmoor(&["eject", "--wait", "20s", "/mnt/fat"]))?;
    sleep(Duration::from_secs(3));
    trial.machine.yank(&STICK)?;
    let ended = trial.wait(job)?;
    expect_code(&ended, 1)?;
    ensure!(!ended.stderr.contains("panicked"), "it panicked: {}", ended.stderr);
    ensure!(!ended.stderr.trim().is_empty(), "it said nothing");
    Ok(())
}
