//! Pulled out means without power: what only the drive's own cache had would be gone.

use anyhow::{Result, ensure};

use crate::stick_files::{mount_at, write_both};
use crate::test_context::{Trial, words};
use crate::vm::test_case::{LOGGED, Test};
use unmoor_rig::drives::LOGGED_STICK;
use unmoor_rig::media::{Medium, Snapshot};
use unmoor_rig::write_log;

pub const TESTS: &[Test] = &[
    Test {
        name: "power-cut.eject",
        promise: "what was flushed through the drive's own cache when eject returned is every byte",
        drives: &[&LOGGED_STICK],
        machine: &LOGGED,
        run: |trial| survives(trial, &["unmoor", "eject", "/mnt/ext"]),
    },
    Test {
        name: "power-cut.dismount-only",
        promise: "the same after --dismount-only",
        drives: &[&LOGGED_STICK],
        machine: &LOGGED,
        run: |trial| survives(trial, &["unmoor", "eject", "--dismount-only", "/mnt/ext"]),
    },
    Test {
        name: "power-cut.secret-cache",
        promise: "the same of a drive that does not tell the kernel of its cache, as many USB bridges do not",
        drives: &[&LOGGED_STICK],
        machine: &LOGGED,
        run: |trial| {
            let name = trial.node(&LOGGED_STICK)?.replace("/dev/", "");
            trial.sh(&format!("echo 'write through' >/sys/block/{name}/queue/write_cache"))?;
            survives(trial, &["unmoor", "eject", "--dismount-only", "/mnt/ext"])
        },
    },
    Test {
        name: "power-cut.judge-says-no",
        promise: "without any release, the same judge finds bytes missing",
        drives: &[&LOGGED_STICK],
        machine: &LOGGED,
        run: judge_says_no,
    },
];

fn survives(trial: &mut Trial, command: &[&str]) -> Result<()> {
    mount_at(trial, &LOGGED_STICK)?;
    let written = write_both(trial)?;
    let ended = trial.run(words(command))?;
    ensure!(ended.code == Some(0), "{command:?}: {}{}", ended.stdout, ended.stderr);
    let log = trial.machine.image(&LOGGED_STICK)?.with_extension("log");
    let copy = trial.machine.directory().join("at-that-moment.log");
    let log = Snapshot::take(&log, copy)?;
    let image = trial.machine.directory().join("after-the-cut.img");
    let image = Snapshot::take(&trial.machine.template(Medium::Stick)?, image)?;
    let replayed = write_log::replay(&log.path, &image.path)?;
    trial.note(&format!("{replayed:?}"));
    written.expect_on(&image)
}

fn judge_says_no(trial: &mut Trial) -> Result<()> {
    ensure!(
        survives(trial, &["true"]).is_err(),
        "the judge found every byte of what nobody had flushed"
    );
    Ok(())
}
