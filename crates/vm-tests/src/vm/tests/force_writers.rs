//! `--force` for each file system and each level below one, with three programs that keep writing.
//!
//! One writes through the cache, one through a mapping, one with `O_DIRECT`. After the command has returned,
//! no write reaches the drive. A power cut at that moment loses nothing that was written before the command
//! began.

use anyhow::{Result, bail, ensure};

use crate::soak::cycle::{Medium, Release, Stack};
use crate::soak::file_system::FileSystem::{
    self, Btrfs, Exfat, Ext2, Ext4, F2fs, Ntfs, Udf, Vfat, Xfs,
};
use crate::soak::{MACHINES, run};
use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::CD;

/// Defines a test with this name, stack and file systems.
macro_rules! forced {
    ($name:literal, $what:literal, $stack:ident, $($file_system:ident)+) => {
        Test {
            name: concat!("force.", $name),
            promise: concat!($what, ": three kinds of writers are cut off; no write after the return, nothing lost"),
            drives: &[],
            machine: &MACHINES[0],
            run: |ctx| forced(ctx, Stack::$stack, &[$($file_system),+]),
        }
    };
}

pub const TESTS: &[Test] = &[
    forced!("writers-ext4", "ext4", Partition, Ext4),
    forced!("writers-ext2", "ext2, which has no journal", Partition, Ext2),
    forced!("writers-xfs", "xfs", Partition, Xfs),
    forced!("writers-btrfs", "btrfs", Partition, Btrfs),
    forced!("writers-f2fs", "f2fs", Partition, F2fs),
    forced!("writers-vfat", "vfat", Partition, Vfat),
    forced!("writers-exfat", "exfat", Partition, Exfat),
    forced!("writers-udf", "udf", Partition, Udf),
    forced!("writers-ntfs-3g", "FUSE (ntfs-3g)", Partition, Ntfs),
    forced!("writers-whole", "ext4 on the whole drive", Whole, Ext4),
    forced!("writers-luks", "vfat in LUKS", Luks, Vfat),
    forced!("writers-lvm", "btrfs in LVM on LUKS", LvmOnLuks, Btrfs),
    forced!("writers-md", "xfs on an array", Raid, Xfs),
    forced!("writers-md-exfat", "exfat on an array", Raid, Exfat),
    forced!("writers-image", "vfat in an image on ext4", Image, Ext4 Vfat),
    forced!("writers-btrfs-two", "btrfs over two partitions", Btrfs, Btrfs),
    Test {
        name: "force.whole-vfat",
        promise: "what cannot be cut off is not called released while it is within reach, and is with the device gone",
        drives: &[],
        machine: &MACHINES[0],
        run: whole_vfat,
    },
    Test {
        name: "force.iso9660",
        promise: "a CD with a file open and a program standing on it: out, and the file fails",
        drives: &[&CD],
        machine: &STANDARD,
        run: iso9660,
    },
];

fn forced(ctx: &mut TestContext, stack: Stack, file_systems: &[FileSystem]) -> Result<()> {
    let medium = Medium::forced(stack, file_systems, Release::ForceDismountOnly);
    let mut failures = vec!["no release".to_owned()];
    run::run_medium(ctx, &medium, &mut |cycle, outcome| {
        failures = outcome.failures(&medium, cycle);
        true
    })?;
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Tests vfat without a partition table: nothing can be shrunk, and vfat has no `FS_IOC_SHUTDOWN`.
fn whole_vfat(ctx: &mut TestContext) -> Result<()> {
    let medium = Medium::forced(Stack::Whole, &[Vfat], Release::ForceDismountOnly);
    let mut said = String::new();
    run::run_medium(ctx, &medium, &mut |_, outcome| {
        said = format!("{:?} {}", outcome.code, outcome.said);
        true
    })?;
    ensure!(said.starts_with("Some(3) ") && said.contains("could not be cut off"), "{said}");
    let medium = Medium::forced(Stack::Whole, &[Vfat], Release::ForcePowerOff);
    run::run_medium(ctx, &medium, &mut |cycle, outcome| {
        said = outcome.failures(&medium, cycle).join("\n");
        true
    })?;
    if !said.is_empty() {
        bail!("powered off: {said}");
    }
    Ok(())
}

fn iso9660(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&CD)?;
    ctx.mount(&node, "/mnt/cd")?;
    ctx.hold(
        "cd /mnt/cd; exec 9<data.bin; echo held; \
         while :; do dd bs=2048 count=1 iflag=direct <&9 >/dev/null 2>&1 || echo failed >>/tmp/cd; sleep 0.2; done",
    )?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "--force", "/mnt/cd"])?;
    ctx.expect_tray(mark, &CD, true)?;
    ctx.expect_mounted("/mnt/cd", false)?;
    ctx.sh("while ! test -s /tmp/cd; do sleep 0.2; done").map(drop)
}
