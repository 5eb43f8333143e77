//! The SD card: it cannot be ejected, and the report says so.

use anyhow::{Result, ensure};

use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::CARD;
use unmoor_rig::media::{FileSystem, ONE, check, checksum};

pub const TESTS: &[Test] = &[Test {
    name: "card.released",
    promise: "exit 0, dismounted, every byte on the card, and it says that there is nothing to eject",
    drives: &[&CARD],
    machine: &STANDARD,
    run: released,
}];

fn released(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&CARD, 1)?;
    ctx.mount(&node, "/mnt/card")?;
    let sum = ctx.sh(
        "head -c 5000000 /dev/urandom >/tmp/data && cp /tmp/data /mnt/card/data.bin && sha256sum </tmp/data",
    )?;
    let document = ctx.unmoor_json(0, &["eject", "/mnt/card"])?;
    let image = ctx.snapshot(&CARD)?;
    let target = &document["targets"][0];
    ensure!(target["outcome"] == "released", "{target}");
    ensure!(target["action"] == "nothing", "the action is {}", target["action"]);
    let message = target["message"].as_str().unwrap_or_default();
    ensure!(message.contains("nothing to eject"), "the message does not say it: {message}");
    ctx.expect_mounted("/mnt/card", false)?;
    let part = image.partition(ONE)?;
    let found = checksum(FileSystem::Vfat, &part, "data.bin")?;
    ensure!(sum.starts_with(&found), "the card has other bytes than were written");
    check(FileSystem::Vfat, &part)
}
