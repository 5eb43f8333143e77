//! File systems of the stick that are in use, but not mounted where the command looks.

use anyhow::{Result, ensure};

use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;
use unmoor_rig::media::{FileSystem, STICK_EXT4, checksum, recover};

pub const TESTS: &[Test] = &[
    Test {
        name: "unseen.detached",
        promise: "a file system that was detached while in use: --force refuses, nothing is touched, its bytes are on the medium after a flush",
        drives: &[&STICK],
        machine: &STANDARD,
        run: detached,
    },
    Test {
        name: "unseen.namespace",
        promise: "a file system mounted in another namespace alone: --force refuses, flush writes it",
        drives: &[&STICK],
        machine: &STANDARD,
        run: namespace,
    },
    Test {
        name: "unseen.beside",
        promise: "a detached file system beside a busy one on the same stick: --force refuses before either is touched",
        drives: &[&STICK],
        machine: &STANDARD,
        run: beside,
    },
];

/// Mounts the first partition, stops writeback, and copies 4 MB that nothing has written yet.
fn write_unsynced(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 1)?;
    ctx.mount(&part, "/mnt/s")?;
    ctx.sh("sync; echo 360000 >/proc/sys/vm/dirty_writeback_centisecs; echo 360000 >/proc/sys/vm/dirty_expire_centisecs")?;
    ctx.sh("head -c 4000000 /dev/urandom >/tmp/data && cp /tmp/data /mnt/s/data.bin").map(drop)
}

/// Fails unless the copied file is whole on the medium as it is now.
fn expect_written(ctx: &mut TestContext) -> Result<()> {
    let sum = ctx.sh("sha256sum </tmp/data | cut -d' ' -f1")?;
    let image = ctx.snapshot(&STICK)?.partition(STICK_EXT4)?;
    recover(&image)?;
    ensure!(
        checksum(FileSystem::Ext4, &image, "data.bin")? == sum,
        "the bytes are not on the medium"
    );
    Ok(())
}

fn detached(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    write_unsynced(ctx)?;
    ctx.start_sh("exec 8>/mnt/s/open; touch /tmp/holds; sleep 1000")?;
    ctx.sh("while ! test -e /tmp/holds; do sleep 0.1; done; umount -l /mnt/s")?;
    let refused = ctx.unmoor(3, &["--force", &node])?;
    ensure!(refused.stderr.contains("not mounted here"), "{}", refused.stderr);
    expect_written(ctx)
}

fn namespace(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    write_unsynced(ctx)?;
    let inside = |command: &str| format!("unshare -m sh -c 'umount /mnt/s; exec {command} {node}'");
    let flushed = ctx.try_sh(&inside("unmoor flush"))?;
    ensure!(flushed.code == Some(0), "{flushed:?}");
    expect_written(ctx)?;
    ctx.sh("cp /tmp/data /mnt/s/more.bin")?;
    for command in ["unmoor", "unmoor --force", "unmoor --force --power-off"] {
        let refused = ctx.try_sh(&inside(command))?;
        ensure!(refused.code == Some(3), "{command}: {refused:?}");
    }
    ctx.expect_mounted("/mnt/s", true)?;
    ctx.sh("cmp /tmp/data /mnt/s/more.bin").map(drop)
}

fn beside(ctx: &mut TestContext) -> Result<()> {
    let (node, second) = (ctx.node(&STICK)?, ctx.partition(&STICK, 2)?);
    write_unsynced(ctx)?;
    ctx.mount(&second, "/mnt/t")?;
    ctx.start_sh("exec 8>/mnt/s/open 9>/mnt/t/open; touch /tmp/holds; sleep 1000")?;
    ctx.sh("while ! test -e /tmp/holds; do sleep 0.1; done; umount -l /mnt/s")?;
    let refused = ctx.unmoor(3, &["--force", &node])?;
    ensure!(refused.stderr.contains("not mounted here"), "{}", refused.stderr);
    ctx.expect_mounted("/mnt/t", true)?;
    ctx.sh("echo more >/mnt/t/still-works").map(drop)
}
