//! Drives that were pulled while something of them was mounted: one kind of answer, and nothing is left behind.

use anyhow::{Result, ensure};

use super::stacks;
use crate::stick_files::mount_both;
use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test {
        name: "gone.mounts",
        promise: "a stick that was pulled: exit 1, what may be lost is said, its dead mounts are unmounted, by path or by name",
        drives: &[&STICK],
        machine: &STANDARD,
        run: mounts,
    },
    Test {
        name: "gone.luks",
        promise: "LUKS on a stick that was pulled: the same answer, the mount and the mapping are removed",
        drives: &[&STICK],
        machine: &STANDARD,
        run: luks,
    },
    Test {
        name: "gone.btrfs",
        promise: "btrfs on a stick that was pulled: the same answer, the mount is removed",
        drives: &[&STICK],
        machine: &STANDARD,
        run: btrfs,
    },
    Test {
        name: "gone.in-use",
        promise: "a dead mount that a program stands in is detached; another drive mounted on it is left alone",
        drives: &[&STICK],
        machine: &STANDARD,
        run: in_use,
    },
];

/// Fails unless every command gives the one answer about the target, and `eject` removes what is left.
fn expect_removed(ctx: &mut TestContext, target: &str, mounts: &[&str]) -> Result<()> {
    for command in ["who", "status", "flush"] {
        let output = ctx.unmoor(1, &[command, target])?;
        let text = format!("{}{}", output.stdout, output.stderr);
        ensure!(text.contains("is gone"), "{command} says {text}");
        ensure!(text.contains("is lost"), "{command} says {text}");
        for mount in mounts {
            ctx.expect_mounted(mount, true)?;
        }
    }
    let output = ctx.unmoor(1, &["eject", target])?;
    let text = format!("{}{}", output.stdout, output.stderr);
    ensure!(text.contains("is gone") && text.contains("is lost"), "it says {text}");
    for mount in mounts {
        ctx.expect_mounted(mount, false)?;
        ensure!(text.contains(mount), "{mount} is not named: {text}");
    }
    Ok(())
}

fn mounts(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let fat = ctx.partition(&STICK, 2)?;
    ctx.sh("echo lost >/mnt/ext/lost; echo lost >/mnt/fat/lost")?;
    ctx.machine.yank(&STICK)?;
    let output = ctx.unmoor(1, &["who", "/mnt/ext"])?;
    let text = format!("{}{}", output.stdout, output.stderr);
    ensure!(text.contains("is gone"), "who says {text}");
    // The partitions of a drive go together.
    expect_removed(ctx, &fat, &["/mnt/ext", "/mnt/fat"])?;
    // Nothing is left, and nothing else is touched.
    ctx.unmoor(6, &["eject", &fat])?;
    Ok(())
}

fn luks(ctx: &mut TestContext) -> Result<()> {
    stacks::make_luks(ctx)?;
    ctx.sh("mkfs.ext4 -q /dev/mapper/rigluks")?;
    ctx.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    ctx.sh("echo lost >/mnt/luks/lost")?;
    ctx.machine.yank(&STICK)?;
    expect_removed(ctx, "/mnt/luks", &["/mnt/luks"])?;
    ctx.sh("! test -e /sys/block/dm-0 && ! test -e /dev/mapper/rigluks").map(drop)
}

fn btrfs(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 1)?;
    ctx.sh(&format!("modprobe btrfs; mkfs.btrfs -q -f -M {part}"))?;
    ctx.mount(&part, "/mnt/btrfs")?;
    ctx.sh("echo lost >/mnt/btrfs/lost")?;
    ctx.machine.yank(&STICK)?;
    expect_removed(ctx, "/mnt/btrfs", &["/mnt/btrfs"])
}

fn in_use(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    ctx.sh("mkdir /mnt/ext/other && mount -t tmpfs other /mnt/ext/other")?;
    ctx.hold("cd /mnt/ext && exec 7>file && echo held && exec sleep 1000")?;
    ctx.machine.yank(&STICK)?;
    let output = ctx.unmoor(1, &["eject", "/mnt/ext"])?;
    ensure!(output.stderr.contains("/mnt/ext/other"), "it says {}", output.stderr);
    ctx.expect_mounted("/mnt/ext/other", true)?;
    ctx.sh("umount /mnt/ext/other")?;
    let output = ctx.unmoor(1, &["eject", "/mnt/ext"])?;
    ensure!(output.stderr.contains("/mnt/ext"), "it says {}", output.stderr);
    ctx.expect_mounted("/mnt/ext", false)
}
