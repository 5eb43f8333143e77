//! Mounts of one stick on, in and over each other.

use anyhow::{Context, Result, ensure};

use crate::stick_files::{mount_both, write};
use crate::test_context::TestContext;
use crate::vm::doc_output;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test {
        name: "stack.mounts",
        promise: "nested, bind and stacked mounts, all of one stick: unmounted in order, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: mounts,
    },
    Test {
        name: "stack.mounts-busy",
        promise: "a directory held below a mount that covers it: exit 3, named, every mount still there",
        drives: &[&STICK],
        machine: &STANDARD,
        run: busy_below,
    },
    Test {
        name: "stack.hidden",
        promise: "another file system mounted over the mount point, or above it: exit 3, that mount named, untouched; flush writes it all the same; the printed command frees the stick",
        drives: &[&STICK],
        machine: &STANDARD,
        run: hidden,
    },
];

/// Mounts ext4 on `/mnt/ext` and, as a bind mount, on `/mnt/bound`; and vfat twice inside of it.
fn mount_all(ctx: &mut TestContext) -> Result<()> {
    let (ext, fat) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    ctx.mount(&ext, "/mnt/ext")?;
    ctx.sh(&format!(
        "set -e; head -c 4000000 /dev/urandom >/tmp/data; mkdir -p /mnt/ext/in /mnt/ext/dir /mnt/bound; \
         mount {fat} /mnt/ext/in; cp /tmp/data /mnt/ext/in/data.bin; cp /tmp/data /mnt/ext/dir/data.bin; \
         mount --bind /mnt/ext/dir /mnt/bound; mount {fat} /mnt/ext"
    ))
    .map(drop)
}

/// Returns the mount points of the stick, as the kernel lists them.
fn points(ctx: &mut TestContext) -> Result<Vec<String>> {
    let listed = ctx.sh("cut -d' ' -f2 /proc/self/mounts | grep '^/mnt/[eb]' || true")?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn mounts(ctx: &mut TestContext) -> Result<()> {
    mount_all(ctx)?;
    let before = points(ctx)?;
    ensure!(before.len() == 4, "mounted: {before:?}");
    doc_output::hold(ctx, "mounts", "", &[&STICK])?;
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "/mnt/bound"])?;
    ctx.expect_tray(mark, &STICK, true)?;
    let left = points(ctx)?;
    ensure!(left.is_empty(), "still mounted: {left:?}");
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    mount_both(ctx)?;
    ctx.sh("cmp /tmp/data /mnt/ext/dir/data.bin && cmp /tmp/data /mnt/fat/data.bin").map(drop)
}

fn busy_below(ctx: &mut TestContext) -> Result<()> {
    let ext = ctx.partition(&STICK, 1)?;
    ctx.mount(&ext, "/mnt/ext")?;
    ctx.hold("cd /mnt/ext; echo held; exec sleep 1000")?;
    mount_all_over(ctx)?;
    let before = points(ctx)?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, &["eject", &ext])?;
    let blockers = &document["targets"][0]["blockers"];
    ensure!(blockers[0]["process"]["name"] == "sleep", "{blockers}");
    ensure!(blockers[0]["uses"][0]["kind"] == "cwd", "{blockers}");
    ensure!(points(ctx)? == before, "no longer mounted as before: {before:?}");
    ctx.expect_untouched(mark, &STICK)
}

fn mount_all_over(ctx: &mut TestContext) -> Result<()> {
    let fat = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!("mount {fat} /mnt/ext")).map(drop)
}

fn hidden(ctx: &mut TestContext) -> Result<()> {
    for over in ["/mnt/ext", "/mnt"] {
        mount_both(ctx)?;
        let written = write(ctx, 1_000_000)?;
        ctx.sh(&format!("mount -t tmpfs tmpfs {over} && mkdir -p {over}/ext"))?;
        let node = ctx.node(&STICK)?;
        let flushed = ctx.unmoor_json(0, &["flush", &node])?;
        let image = ctx.snapshot(&STICK)?;
        written.expect_ext4_after_its_journal(&image)?;
        let warnings = flushed["targets"][0]["warnings"].to_string();
        ensure!(warnings.contains("/mnt/ext is hidden by another mount"), "{flushed}");
        let mark = ctx.machine.qmp.mark();
        let document = ctx.unmoor_json(3, &["eject", &node])?;
        ctx.expect_untouched(mark, &STICK)?;
        let blockers = document["targets"][0]["blockers"].as_array().context("blockers")?;
        let [blocker] = &blockers[..] else { anyhow::bail!("over {over}: {blockers:#?}") };
        ensure!(blocker["kind"] == "mount", "over {over}: {blocker}");
        ensure!(blocker["uses"][0]["path"] == over, "over {over}: {blocker}");
        let command = blocker["command"].as_str().context("no command")?.to_owned();
        ctx.sh(&command)?;
        ctx.unmoor(0, &["eject", &node])?;
        ctx.expect_tray(mark, &STICK, true)?;
        ctx.unmoor(0, &["load", &node])?;
        ctx.await_partitions(&STICK, 2)?;
    }
    Ok(())
}
