//! `--force`: afterwards no handle that is still open can write to the drive.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;
use unmoor_rig::media::{FileSystem, STICK_EXT4, STICK_VFAT, check, checksum, recover};

pub const TESTS: &[Test] = &[
    Test {
        name: "force.ext4",
        promise: "a program that keeps writing to ext4 is cut off: not a byte of the medium changes afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: ext4,
    },
    Test {
        name: "force.vfat",
        promise: "a program that keeps writing to vfat is cut off: not a byte of the medium changes afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: vfat,
    },
    Test {
        name: "force.fuse",
        promise: "a program that keeps writing through FUSE (ntfs-3g) is cut off: not a byte changes afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| made(ctx, "mkfs.ntfs -q -Q", "-t ntfs-3g", BY_NTFS),
    },
    Test {
        name: "force.luks",
        promise: "a program that keeps writing to ext4 in LUKS, and one to the mapping itself: both cut off",
        drives: &[&STICK],
        machine: &STANDARD,
        run: luks,
    },
    Test {
        name: "force.eject",
        promise: "--force ejects the stick under a program that keeps writing to vfat, and what was there before is whole",
        drives: &[&STICK],
        machine: &STANDARD,
        run: eject,
    },
];

/// Mounts a file system, writes 4 MB that must survive, then keeps writing through one descriptor.
///
/// The writer's first error goes to a file outside the drive.
fn start_writer(ctx: &mut TestContext, what: &str) -> Result<()> {
    ctx.mount(what, "/mnt/it")?;
    ctx.sh(
        "rm -f /tmp/failed; head -c 4000000 /dev/urandom >/tmp/data && cp /tmp/data /mnt/it/data.bin",
    )?;
    ctx.start_sh(&format!("exec 9>>/mnt/it/more; {KEEP_WRITING}"))?;
    ctx.sh("while ! test -s /mnt/it/more; do sleep 0.1; done").map(drop)
}

const KEEP_WRITING: &str = "while :; do dd if=/dev/urandom bs=4096 count=4 conv=fsync >&9 2>/dev/null \
    || echo failed >>/tmp/failed; done";

/// Releases the stick by force, and fails if the medium changes while the writer goes on.
fn release_by_force(ctx: &mut TestContext) -> Result<()> {
    ctx.unmoor(0, &["eject", "--dismount-only", "--force", "--verbose", "/mnt/it"])?;
    let before = ctx.snapshot(&STICK)?;
    // Where nothing is cut off, it never meets an error: the images tell.
    ctx.sh(
        "rm -f /tmp/failed; for n in $(seq 100); do test -s /tmp/failed && break; sleep 0.2; done",
    )?;
    ctx.sh("sync & sleep 3")?;
    sleep(Duration::from_secs(1));
    let after = ctx.snapshot(&STICK)?;
    let (one, two) = (std::fs::read(&before.path)?, std::fs::read(&after.path)?);
    let changed = one.iter().zip(&two).filter(|(one, two)| one != two).count();
    ensure!(one.len() == two.len() && changed == 0, "{changed} bytes changed after it returned");
    ctx.sh("test -s /tmp/failed").map(drop)
}

fn ext4(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 1)?;
    start_writer(ctx, &part)?;
    release_by_force(ctx)?;
    let image = ctx.snapshot(&STICK)?.partition(STICK_EXT4)?;
    recover(&image)?;
    check(FileSystem::Ext4, &image)?;
    expect_on(ctx, FileSystem::Ext4, &image)
}

fn vfat(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 2)?;
    start_writer(ctx, &part)?;
    release_by_force(ctx)?;
    expect_vfat(ctx)
}

/// Checks vfat, which has no journal: its checker may repair what concerns the file being written.
fn expect_vfat(ctx: &mut TestContext) -> Result<()> {
    let image = ctx.snapshot(&STICK)?.partition(STICK_VFAT)?;
    let said = xtask::process::program("fsck.vfat").arg("-a").arg(&image).output()?;
    ctx.note(&String::from_utf8_lossy(&said.stdout));
    expect_on(ctx, FileSystem::Vfat, &image)
}

fn expect_on(ctx: &mut TestContext, file_system: FileSystem, image: &Path) -> Result<()> {
    let sum = ctx.sh("sha256sum </tmp/data | cut -d' ' -f1")?;
    let found = checksum(file_system, image, "data.bin")?;
    ensure!(found == sum, "what was written before is not what is there");
    Ok(())
}

/// Runs the test on a new file system on the second partition.
///
/// The guest reads the medium from a copy, since the stick's own partition is cut off. `read` writes the
/// copy's `data.bin` to a place where it can be compared.
fn made(ctx: &mut TestContext, make: &str, how: &str, read: &str) -> Result<()> {
    let (node, part) = (ctx.node(&STICK)?, ctx.partition(&STICK, 2)?);
    ctx.sh(&format!("{make} {part}"))?;
    start_writer(ctx, &format!("{how} {part}"))?;
    release_by_force(ctx)?;
    ctx.sh(&format!(
        "dd if={node} iflag=direct bs=1M skip=64 count=64 status=none >/tmp/copy.img && \
         rm -rf /tmp/back && mkdir -p /mnt/copy /tmp/back"
    ))?;
    ctx.sh(&format!("{read} && cmp /tmp/data /tmp/back/data.bin"))?;
    ctx.sh("rm -rf /tmp/copy.img /tmp/back").map(drop)
}

/// Script that reads ntfs without a kernel driver.
const BY_NTFS: &str = "ntfscat -f /tmp/copy.img data.bin >/tmp/back/data.bin";

fn luks(ctx: &mut TestContext) -> Result<()> {
    super::stacks::make_luks(ctx)?;
    ctx.sh("mkfs.ext4 -q /dev/mapper/rigluks")?;
    start_writer(ctx, "/dev/mapper/rigluks")?;
    ctx.start_sh(
        "exec 8</dev/mapper/rigluks; while :; do dd bs=512 count=1 iflag=direct <&8 >/dev/null 2>&1 \
         || echo raw >>/tmp/raw; sleep 0.2; done",
    )?;
    release_by_force(ctx)?;
    ctx.sh("while ! test -s /tmp/raw; do sleep 0.2; done")?;
    let holders = ctx.node(&STICK)?.replace("/dev/", "");
    let held = ctx.sh(&format!("ls /sys/block/{holders}/{holders}1/holders"))?;
    ensure!(held.is_empty(), "the partition is still held by {held}");
    Ok(())
}

fn eject(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 2)?;
    start_writer(ctx, &part)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "--force", "/mnt/it"])?;
    ctx.expect_tray(mark, &STICK, true)?;
    expect_vfat(ctx)
}
