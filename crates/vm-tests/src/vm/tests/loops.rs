//! Loop devices: released means detached, with every byte in the image file.

use anyhow::{Result, ensure};

use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};

pub const TESTS: &[Test] = &[
    Test {
        name: "loop.by-mount-point",
        promise: "a mounted image: dismounted, detached, every byte in the file, fsck clean",
        drives: &[],
        machine: &STANDARD,
        run: |ctx| released(ctx, "/mnt/image"),
    },
    Test {
        name: "loop.by-image",
        promise: "the image file's own path names its loop device",
        drives: &[],
        machine: &STANDARD,
        run: |ctx| released(ctx, "/tmp/loop.img"),
    },
    Test {
        name: "loop.busy",
        promise: "a loop device in use: exit 3, still attached and mounted",
        drives: &[],
        machine: &STANDARD,
        run: busy,
    },
];

fn attach(ctx: &mut TestContext) -> Result<()> {
    ctx.sh("rm -f /tmp/loop.img; truncate -s 32M /tmp/loop.img; mkfs.ext4 -q /tmp/loop.img; \
         mkdir -p /mnt/image; mount $(losetup --show -f /tmp/loop.img) /mnt/image")?;
    ctx.sh("head -c 8000000 /dev/urandom >/tmp/data; cp /tmp/data /mnt/image/data.bin").map(drop)
}

fn released(ctx: &mut TestContext, target: &str) -> Result<()> {
    attach(ctx)?;
    ctx.unmoor(0, &["eject", target])?;
    ctx.expect_mounted("/mnt/image", false)?;
    let attached = ctx.sh("losetup -j /tmp/loop.img")?;
    ensure!(attached.is_empty(), "still attached: {attached}");
    ctx.sh("fsck.ext4 -fn /tmp/loop.img")?;
    ctx.sh("debugfs -R 'dump /data.bin /tmp/back' /tmp/loop.img && cmp /tmp/data /tmp/back")
        .map(drop)
}

fn busy(ctx: &mut TestContext) -> Result<()> {
    attach(ctx)?;
    ctx.start_sh("cd /mnt/image && exec sleep 1000")?;
    ctx.sh("while ! fuser -s -m /mnt/image; do sleep 0.1; done")?;
    ctx.unmoor(3, &["eject", "/mnt/image"])?;
    ctx.expect_mounted("/mnt/image", true)
}
