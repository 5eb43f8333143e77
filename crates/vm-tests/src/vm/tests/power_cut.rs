//! Power cuts at the end of a release: data in the drive's own cache would be lost.

use anyhow::{Result, ensure};

use crate::stick_files::{mount_at, write_both};
use crate::test_context::{TestContext, words};
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
        run: |ctx| survives(ctx, &["unmoor", "eject", "/mnt/ext"]),
    },
    Test {
        name: "power-cut.dismount-only",
        promise: "the same after --dismount-only",
        drives: &[&LOGGED_STICK],
        machine: &LOGGED,
        run: |ctx| survives(ctx, &["unmoor", "eject", "--dismount-only", "/mnt/ext"]),
    },
    Test {
        name: "power-cut.secret-cache",
        promise: "the same of a drive that does not tell the kernel of its cache, as many USB bridges do not",
        drives: &[&LOGGED_STICK],
        machine: &LOGGED,
        run: |ctx| {
            let name = ctx.node(&LOGGED_STICK)?.replace("/dev/", "");
            ctx.sh(&format!("echo 'write through' >/sys/block/{name}/queue/write_cache"))?;
            survives(ctx, &["unmoor", "eject", "--dismount-only", "/mnt/ext"])
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

fn survives(ctx: &mut TestContext, command: &[&str]) -> Result<()> {
    mount_at(ctx, &LOGGED_STICK)?;
    let written = write_both(ctx)?;
    let output = ctx.run(words(command))?;
    ensure!(output.code == Some(0), "{command:?}: {}{}", output.stdout, output.stderr);
    let log = ctx.machine.image(&LOGGED_STICK)?.with_extension("log");
    let copy = ctx.machine.directory().join("at-that-moment.log");
    let log = Snapshot::take(&log, copy)?;
    let image = ctx.machine.directory().join("after-the-cut.img");
    let image = Snapshot::take(&ctx.machine.template(Medium::Stick)?, image)?;
    let replayed = write_log::replay(&log.path, &image.path)?;
    ctx.note(&format!("{replayed:?}"));
    written.expect_on(&image)
}

fn judge_says_no(ctx: &mut TestContext) -> Result<()> {
    ensure!(
        survives(ctx, &["true"]).is_err(),
        "the check found every byte of what was never flushed"
    );
    Ok(())
}
