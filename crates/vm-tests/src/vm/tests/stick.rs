//! The USB stick: everything written is on it when the command reports that it can be removed.

use anyhow::{Result, ensure};

use crate::stick_files::{mount_both, write_both};
use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{STICK, STICK2};
use unmoor_rig::media::{FileSystem, STICK_EXT4, STICK_VFAT, checksum, recover};

pub const TESTS: &[Test] = &[
    Test {
        name: "stick.every-byte",
        promise: "20 MB just written to ext4 and to vfat, not synced: exit 0, every byte on the image, fsck clean",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| every_byte(ctx, &["eject", "/mnt/ext"]),
    },
    Test {
        name: "stick.by-other-partition",
        promise: "naming one partition's device releases the whole stick",
        drives: &[&STICK],
        machine: &STANDARD,
        run: by_other_partition,
    },
    Test {
        name: "stick.dismount-only",
        promise: "--dismount-only leaves the medium in, with every byte on it",
        drives: &[&STICK],
        machine: &STANDARD,
        run: dismount_only,
    },
    Test {
        name: "stick.power-off",
        promise: "--power-off: every byte on the image, the device gone from the guest, its neighbour not",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: power_off,
    },
    Test {
        name: "stick.unmounted",
        promise: "a stick that is not mounted is ejected too",
        drives: &[&STICK],
        machine: &STANDARD,
        run: unmounted,
    },
    Test {
        name: "stick.twice",
        promise: "ejecting what is ejected already: exit 4",
        drives: &[&STICK],
        machine: &STANDARD,
        run: twice,
    },
    Test {
        name: "stick.load",
        promise: "load brings an ejected stick's medium back",
        drives: &[&STICK],
        machine: &STANDARD,
        run: load,
    },
    Test {
        name: "stick.flush",
        promise: "flush puts every byte on the medium and leaves it mounted",
        drives: &[&STICK],
        machine: &STANDARD,
        run: flush,
    },
];

/// Fails unless guest and QEMU agree that the medium has left the drive.
fn expect_gone(ctx: &mut TestContext, mark: usize) -> Result<()> {
    ctx.expect_mounted("/mnt/ext", false)?;
    ctx.expect_mounted("/mnt/fat", false)?;
    ctx.expect_tray(mark, &STICK, true)?;
    let node = ctx.node(&STICK)?;
    let opened = ctx.try_sh(&format!("head -c 1 {node}"))?;
    ensure!(opened.stdout.is_empty(), "the guest can still read {node}");
    Ok(())
}

fn every_byte(ctx: &mut TestContext, words: &[&str]) -> Result<()> {
    mount_both(ctx)?;
    let written = write_both(ctx)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, words)?;
    let image = ctx.snapshot(&STICK)?;
    expect_gone(ctx, mark)?;
    written.expect_on(&image)
}

fn by_other_partition(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let node = ctx.partition(&STICK, 2)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", &node])?;
    expect_gone(ctx, mark)
}

fn dismount_only(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let written = write_both(ctx)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "--dismount-only", "/mnt/fat"])?;
    let image = ctx.snapshot(&STICK)?;
    ctx.expect_mounted("/mnt/ext", false)?;
    ctx.expect_mounted("/mnt/fat", false)?;
    ctx.expect_untouched(mark, &STICK)?;
    written.expect_on(&image)?;
    mount_both(ctx)
}

fn power_off(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let written = write_both(ctx)?;
    ctx.unmoor(0, &["eject", "--power-off", "/mnt/ext"])?;
    let image = ctx.snapshot(&STICK)?;
    ensure!(ctx.node(&STICK).is_err(), "the device is still in the guest's /sys");
    ctx.expect_mounted("/mnt/ext", false)?;
    ctx.expect_mounted("/mnt/fat", false)?;
    written.expect_on(&image)?;
    let neighbour = ctx.node(&STICK2)?;
    ctx.sh(&format!("head -c 512 {neighbour} >/dev/null")).map(drop)
}

fn unmounted(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", &node])?;
    expect_gone(ctx, mark)
}

fn twice(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    ctx.unmoor(0, &["eject", &node])?;
    ctx.unmoor(4, &["eject", &node]).map(drop)
}

fn load(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    ctx.unmoor(0, &["eject", &node])?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["load", &node])?;
    ctx.expect_tray(mark, &STICK, false)?;
    ctx.await_media(&[&STICK])?;
    mount_both(ctx)
}

fn flush(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let written = write_both(ctx)?;
    ctx.unmoor(0, &["flush", "/mnt/ext"])?;
    let image = ctx.snapshot(&STICK)?;
    ctx.expect_mounted("/mnt/ext", true)?;
    ctx.expect_mounted("/mnt/fat", true)?;
    // In use, both are marked dirty, rightly. What a reader would get after replaying the journal counts.
    let ext4 = image.partition(STICK_EXT4)?;
    recover(&ext4)?;
    let found = checksum(FileSystem::Ext4, &ext4, "data.bin")?;
    ensure!(found == written.ext4, "ext4: the image has other bytes than were written");
    let found = checksum(FileSystem::Vfat, &image.partition(STICK_VFAT)?, "data.bin")?;
    ensure!(found == written.vfat, "vfat: the image has other bytes than were written");
    Ok(())
}
