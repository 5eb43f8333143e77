//! File systems whose log or journal is on another volume.

use anyhow::{Context, Result, ensure};

use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{STICK, STICK2};

pub const TESTS: &[Test] = &[
    Test {
        name: "stack.own-journal",
        promise: "an ext4 with its journal on the other partition of the stick: released, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: own,
    },
    Test {
        name: "stack.foreign-journal",
        promise: "the journal of an ext4 on another stick: refused, also with --force, and named; the command releases it",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: foreign,
    },
];

/// Makes and mounts an ext4 whose journal is on another device.
fn mount(ctx: &mut TestContext, journal: &str, data: &str) -> Result<()> {
    ctx.sh(&format!(
        "umount {journal} {data} 2>/dev/null; mke2fs -q -F -O journal_dev -b 1024 {journal} && \
         mkfs.ext4 -q -F -b 1024 -J device={journal} {data} && mkdir -p /mnt/data && \
         mount {data} /mnt/data && head -c 3000000 /dev/urandom >/tmp/data && cp /tmp/data /mnt/data/"
    ))
    .map(drop)
}

fn own(ctx: &mut TestContext) -> Result<()> {
    let (data, journal) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    mount(ctx, &journal, &data)?;
    let node = ctx.node(&STICK)?;
    ctx.unmoor(0, &["who", &node])?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", &node])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    ctx.mount(&data, "/mnt/data")?;
    ctx.sh("cmp /tmp/data /mnt/data/data").map(drop)
}

fn foreign(ctx: &mut TestContext) -> Result<()> {
    let (journal, data) = (ctx.partition(&STICK, 2)?, ctx.partition(&STICK2, 1)?);
    mount(ctx, &journal, &data)?;
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    for options in [&["eject"][..], &["eject", "--force"]] {
        let words: Vec<&str> = options.iter().copied().chain([&*node]).collect();
        let refused = ctx.unmoor(3, &words)?;
        ensure!(!refused.stderr.contains("--force to cut"), "force is no advice: {refused:?}");
    }
    ctx.expect_untouched(mark, &STICK)?;
    let document = ctx.unmoor_json(3, &["who", &node])?;
    let blockers = document["targets"][0]["blockers"].as_array().context("blockers")?;
    ensure!(blockers.len() == 1, "{blockers:#?}");
    let command = blockers[0]["command"].as_str().context("command")?.to_owned();
    ctx.sh(&command)?;
    ctx.unmoor(0, &["eject", &node])?;
    ctx.expect_tray(mark, &STICK, true)
}
