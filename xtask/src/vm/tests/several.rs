//! Several targets in one call.

use anyhow::{Result, ensure};

use super::stick::mount_both;
use crate::bench::many::make_drives;
use crate::rig::drives::{CD, STICK, STICK2};
use crate::vm::trial::Trial;
use crate::vm::{STANDARD, Test};

pub const TESTS: &[Test] = &[
    Test {
        name: "several.all-good",
        promise: "two sticks and a CD in one call: exit 0, all three out",
        drives: &[&CD, &STICK, &STICK2],
        machine: &STANDARD,
        run: all_good,
    },
    Test {
        name: "several.one-bad",
        promise: "one unknown target does not stop the others, and the exit code is its",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: one_bad,
    },
    Test {
        name: "several.worst-code",
        promise: "busy is worse than unknown: exit 3, and the free drive is out all the same",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: worst_code,
    },
    Test {
        name: "several.same-drive-twice",
        promise: "the same drive named twice, by its two partitions: released once, exit 0",
        drives: &[&STICK],
        machine: &STANDARD,
        run: same_twice,
    },
    Test {
        name: "several.at-once",
        promise: "32 slow drives in one call: at one moment all of them are at START STOP UNIT, as the kernel's trace says",
        drives: &[],
        machine: &STANDARD,
        run: at_once,
    },
];

fn all_good(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    let (cd, second) = (trial.node(&CD)?, trial.node(&STICK2)?);
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["eject", "/mnt/ext", &cd, &second])?;
    [&CD, &STICK, &STICK2].into_iter().try_for_each(|drive| trial.expect_tray(mark, drive, true))
}

fn one_bad(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    let second = trial.node(&STICK2)?;
    let mark = trial.machine.qmp.mark();
    let document = trial.unmoor_json(6, &["eject", "/mnt/ext", "/dev/sdzz", &second])?;
    let codes: Vec<_> = (0..3).map(|n| document["targets"][n]["exit_code"].clone()).collect();
    ensure!(codes == [0, 6, 0], "the targets' codes are {codes:?}");
    trial.expect_tray(mark, &STICK, true)?;
    trial.expect_tray(mark, &STICK2, true)
}

fn worst_code(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    trial.start_sh("cd /mnt/fat && exec sleep 1000")?;
    trial.sh("while ! fuser -s -m /mnt/fat; do sleep 0.1; done")?;
    let second = trial.node(&STICK2)?;
    let mark = trial.machine.qmp.mark();
    let document = trial.unmoor_json(3, &["eject", "/mnt/ext", "/dev/sdzz", &second])?;
    let codes: Vec<_> = (0..3).map(|n| document["targets"][n]["exit_code"].clone()).collect();
    ensure!(codes == [3, 6, 0], "the targets' codes are {codes:?}");
    trial.expect_mounted("/mnt/ext", true)?;
    trial.expect_untouched(mark, &STICK)?;
    trial.expect_tray(mark, &STICK2, true)
}

fn same_twice(trial: &mut Trial) -> Result<()> {
    let (one, two) = (trial.partition(&STICK, 1)?, trial.partition(&STICK, 2)?);
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["eject", &one, &two])?;
    trial.expect_tray(mark, &STICK, true)
}

/// The kernel counts: how many START STOP UNIT are under way between two lines of its trace.
fn at_once(trial: &mut Trial) -> Result<()> {
    const MANY: usize = 32;
    let nodes = make_drives(trial, MANY)?;
    // The driver's START STOP UNIT takes this many seconds, all else as many ticks: slow emulation must not
    // make the first stop before the last begins.
    trial.sh("echo 20 >/sys/bus/pseudo/drivers/scsi_debug/delay")?;
    trial.sh(
        "mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; \
         cd /sys/kernel/tracing && echo >trace && \
         for e in start done; do echo 1 >events/scsi/scsi_dispatch_cmd_$e/enable; done",
    )?;
    let words: Vec<&str> = ["eject"].into_iter().chain(nodes.split_whitespace()).collect();
    let document = trial.unmoor_json(0, &words)?;
    let trace = trial.sh(
        "cd /sys/kernel/tracing && for e in start done; do echo 0 >events/scsi/scsi_dispatch_cmd_$e/enable; \
         done; grep START_STOP trace",
    )?;
    let given = document["targets"].as_array().into_iter().flatten();
    let given: Vec<_> = given.filter_map(|target| target["target"].as_str()).collect();
    ensure!(given == words[1..], "not in the order of the arguments: {given:?}");
    let (mut under_way, mut most) = (0usize, 0);
    for line in trace.lines() {
        if line.contains("scsi_dispatch_cmd_start") {
            under_way += 1;
            most = most.max(under_way);
        } else {
            under_way -= 1;
        }
    }
    ensure!(most == MANY, "no more than {most} at a time:\n{trace}");
    Ok(())
}
