//! Users who are not root, without a desktop: members of the group `disk`.

use anyhow::Result;

use crate::test_context::{TestContext, expect_code, words};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[Test {
    name: "unprivileged.disk-group",
    promise: "a member of the group disk ejects a stick that is not mounted",
    drives: &[&STICK],
    machine: &STANDARD,
    run: disk_group,
}];

fn disk_group(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    // udev gives every disk to this group.
    ctx.sh(&format!("chgrp 6 {node}* && chmod 660 {node}*"))?;
    let mark = ctx.machine.qmp.mark();
    let member = ["setpriv", "--reuid", "1000", "--regid", "6", "--clear-groups"];
    let output = ctx.run(words(&[&member[..], &["unmoor", "eject", "-v", &node]].concat()))?;
    expect_code(&output, 0)?;
    ctx.expect_tray(mark, &STICK, true)
}
