//! Drives that must never be released, or not by this user.

use anyhow::{Result, ensure};

use crate::test_context::{TestContext, document, expect_code, unmoor};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CD, OWN, STICK};

/// User ID of Debian's unprivileged user.
const NOBODY: u32 = 65534;

pub const TESTS: &[Test] = &[
    Test {
        name: "refused.root",
        promise: "/ is refused",
        drives: &[],
        machine: &STANDARD,
        run: |ctx| refused(ctx, "/"),
    },
    Test {
        name: "refused.boot",
        promise: "the disk that carries /boot is refused, by device and by mount point",
        drives: &[&OWN],
        machine: &STANDARD,
        run: boot,
    },
    Test {
        name: "refused.root-disk",
        promise: "the disk that carries / is refused, as seen from inside that root",
        drives: &[&OWN],
        machine: &STANDARD,
        run: root_disk,
    },
    Test {
        name: "refused.swap",
        promise: "a stick with active swap is in use, also by force: the swap is named, and stays as it is",
        drives: &[&STICK],
        machine: &STANDARD,
        run: swap,
    },
    Test {
        name: "refused.not-permitted",
        promise: "a user who may not open the device: exit 5, with what would help",
        drives: &[&CD],
        machine: &STANDARD,
        run: not_permitted,
    },
];

fn refused(ctx: &mut TestContext, target: &str) -> Result<()> {
    let document = ctx.unmoor_json(1, &["eject", target])?;
    ensure!(document["targets"][0]["outcome"] == "refused", "{document}");
    Ok(())
}

fn boot(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&OWN)?;
    // A namespace of its own, so that only this test sees the guest booted from there.
    for target in [node.as_str(), "/boot"] {
        let script = format!("mount {node} /boot && exec unmoor eject --json {target}");
        let output = ctx.run(in_namespace(&script))?;
        expect_code(&output, 1)?;
        let document = document(&output, 1)?;
        ensure!(document["targets"][0]["outcome"] == "refused", "{document}");
    }
    Ok(())
}

fn root_disk(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&OWN)?;
    let script = format!(
        "mkdir -p /mnt/own && mount {node} /mnt/own && cd /mnt/own && mkdir -p proc sys dev bin && \
         cp $(command -v unmoor) bin && \
         for f in $(ldd bin/unmoor | grep -o '/[^ ]*'); do mkdir -p .${{f%/*}}; cp -L $f .$f; done; \
         for d in proc sys dev; do mount --rbind /$d $d; done; exec chroot . /bin/unmoor eject --json /"
    );
    let output = ctx.run(in_namespace(&script))?;
    expect_code(&output, 1)?;
    let document = document(&output, 1)?;
    ensure!(document["targets"][0]["outcome"] == "refused", "{document}");
    Ok(())
}

fn in_namespace(script: &str) -> unmoor_rig::agent::protocol::Program {
    crate::test_context::words(&["unshare", "-m", "sh", "-c", script])
}

fn swap(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!("mkswap -q {part} && swapon {part}"))?;
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    for options in [&["eject"][..], &["eject", "--force"]] {
        let words: Vec<&str> = options.iter().copied().chain([&*node]).collect();
        let document = ctx.unmoor_json(3, &words)?;
        let it = &document["targets"][0];
        ensure!(it["error"]["kind"] == "held", "{it}");
        ensure!(it["blockers"][0]["kind"] == "swap", "{it}");
    }
    ctx.expect_untouched(mark, &STICK)?;
    ctx.sh(&format!("grep -q {part} /proc/swaps")).map(drop)
}

fn not_permitted(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&CD)?;
    let mark = ctx.machine.qmp.mark();
    let mut program = unmoor(&["eject", "--json", &node]);
    program.user = Some(NOBODY);
    let output = ctx.run(program)?;
    expect_code(&output, 5)?;
    let document = document(&output, 5)?;
    let target = &document["targets"][0];
    ensure!(target["outcome"] == "not-permitted", "{target}");
    ensure!(target["help"].as_str().is_some_and(|help| !help.is_empty()), "no help: {target}");
    ctx.expect_untouched(mark, &CD)
}
