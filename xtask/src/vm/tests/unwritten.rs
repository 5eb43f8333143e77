//! What cannot be written keeps the medium in: on a drive that says so of one bad sector.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::stick::{Written, mount_at, write_both};
use crate::rig::drives::FLAWED_STICK;
use crate::trap::marker::Point;
use crate::vm::trapped::Trapped;
use crate::vm::trial::{Trial, document, expect_code};
use crate::vm::{FLAWED, Test};

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
        run: after_the_flush,
    },
];

/// Says what is reported of data that could not be written; everything is as it was then.
fn expect_kept(trial: &mut Trial, mark: usize, target: &Value, step: &str) -> Result<()> {
    let error = &target["error"];
    ensure!(error["kind"] == "unwritten" && error["step"] == step, "it says {error}");
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(message.contains("/mnt/fat: data may be lost"), "it says {message}");
    trial.expect_mounted("/mnt/fat", true)?;
    trial.expect_mounted("/mnt/ext", true)?;
    trial.expect_untouched(mark, &FLAWED_STICK)
}

/// Both partitions mounted, and 20 MB on their way to each.
fn written(trial: &mut Trial) -> Result<Written> {
    mount_at(trial, &FLAWED_STICK)?;
    write_both(trial)
}

fn stays(trial: &mut Trial) -> Result<()> {
    let written = written(trial)?;
    let mark = trial.machine.qmp.mark();
    let document = trial.unmoor_json(1, &["eject", "--force", "/mnt/ext"])?;
    expect_kept(trial, mark, &document["targets"][0], "flush")?;
    let image = trial.snapshot(&FLAWED_STICK)?;
    written.expect_ext4_after_its_journal(&image)
}

fn discarded(trial: &mut Trial) -> Result<()> {
    let written = written(trial)?;
    let mark = trial.machine.qmp.mark();
    let document = trial.unmoor_json(0, &["eject", "--discard-unwritten", "/mnt/ext"])?;
    let told = document["targets"][0].to_string();
    ensure!(told.contains("/mnt/fat: data may be lost"), "the loss is not listed: {told}");
    trial.expect_tray(mark, &FLAWED_STICK, true)?;
    trial.expect_mounted("/mnt/fat", false)?;
    trial.expect_mounted("/mnt/ext", false)?;
    let image = trial.snapshot(&FLAWED_STICK)?;
    written.expect_ext4_after_its_journal(&image)
}

fn after_the_flush(trial: &mut Trial) -> Result<()> {
    mount_at(trial, &FLAWED_STICK)?;
    let node = trial.node(&FLAWED_STICK)?;
    let mark = trial.machine.qmp.mark();
    let line = ["eject", "--json", "--wait", "60s", "/mnt/ext"];
    let trapped = Trapped::start(trial, Point::Lock, &node, &line)?;
    let ended = trapped.go_on(trial, "head -c 20000000 /dev/urandom >/mnt/fat/data.bin")?;
    expect_code(&ended, 1)?;
    let target = document(&ended, 1)?["targets"][0].clone();
    expect_kept(trial, mark, &target, "dismount")
}
