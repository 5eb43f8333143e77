//! Users who are not root, without a desktop: members of the group `disk`.

use anyhow::{Result, ensure};

use crate::test_context::{TestContext, expect_code, words};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test {
        name: "unprivileged.disk-group",
        promise: "a member of the group disk ejects a stick that is not mounted",
        drives: &[&STICK],
        machine: &STANDARD,
        run: disk_group,
    },
    Test {
        name: "unprivileged.hidden-mount",
        promise: "a mount that the user may not reach is not permitted, and neither in use nor forced",
        drives: &[&STICK],
        machine: &STANDARD,
        run: hidden_mount,
    },
];

/// Gives the group `disk` (6) the stick, and returns words that run a program as a member of it.
fn as_member(ctx: &mut TestContext, arguments: &[&str]) -> Result<(String, Vec<String>)> {
    let node = ctx.node(&STICK)?;
    ctx.sh(&format!("chgrp 6 {node}* && chmod 660 {node}*"))?;
    let setpriv = "setpriv --reuid 1000 --regid 6 --clear-groups unmoor";
    let words = setpriv.split(' ').chain(arguments.iter().copied()).chain([&*node]);
    let words = words.map(str::to_string).collect();
    Ok((node, words))
}

fn disk_group(ctx: &mut TestContext) -> Result<()> {
    let mark = ctx.machine.qmp.mark();
    let (_, command) = as_member(ctx, &["eject", "-v"])?;
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = ctx.run(words(&command))?;
    expect_code(&output, 0)?;
    ctx.expect_tray(mark, &STICK, true)
}

fn hidden_mount(ctx: &mut TestContext) -> Result<()> {
    let mark = ctx.machine.qmp.mark();
    let device = ctx.partition(&STICK, 1)?;
    ctx.sh("mkdir -p -m 700 /mnt/secret && mkdir -p /mnt/secret/stick")?;
    ctx.mount(&device, "/mnt/secret/stick")?;
    let (_, command) = as_member(ctx, &["eject", "--force"])?;
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = ctx.run(words(&command))?;
    expect_code(&output, 5)?;
    ensure!(!output.stderr.contains("forced"), "nothing was forced");
    ctx.expect_mounted("/mnt/secret/stick", true)?;
    ctx.expect_untouched(mark, &STICK)
}
