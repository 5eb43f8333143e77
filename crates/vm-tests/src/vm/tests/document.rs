//! The JSON document on real drives, the dry run, and the list.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::stick_files::mount_both;
use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CARD, CD, OWN, STICK};

pub const TESTS: &[Test] = &[
    Test {
        name: "document.eject",
        promise: "the document of a release has every field of the contract, and the steps in order",
        drives: &[&STICK],
        machine: &STANDARD,
        run: eject,
    },
    Test {
        name: "document.dry-run",
        promise: "--dry-run prints the plan and touches nothing",
        drives: &[&STICK],
        machine: &STANDARD,
        run: dry_run,
    },
    Test {
        name: "document.list",
        promise: "list shows removable drives with label, file system and mounts; --all shows the rest",
        drives: &[&CD, &STICK, &CARD, &OWN],
        machine: &STANDARD,
        run: list,
    },
    Test {
        name: "document.status",
        promise: "status says what is in the drive, and changes nothing",
        drives: &[&STICK],
        machine: &STANDARD,
        run: status,
    },
    Test {
        name: "document.usage",
        promise: "a command line that makes no sense: exit 2",
        drives: &[],
        machine: &STANDARD,
        run: usage,
    },
    Test {
        name: "document.demo",
        promise: "demo shows a release on a drive it makes itself, and leaves nothing behind",
        drives: &[],
        machine: &STANDARD,
        run: demo,
    },
];

const TARGET: &[&str] = &[
    "target",
    "outcome",
    "exit_code",
    "message",
    "help",
    "drive",
    "action",
    "medium_after",
    "steps",
    "blockers",
    "scan",
    "warnings",
    "lost",
    "error",
];

const DRIVE: &[&str] = &[
    "name",
    "path",
    "kind",
    "bus",
    "vendor",
    "model",
    "serial",
    "size",
    "removable",
    "hotplug",
    "read_only",
    "medium",
    "system",
    "backing_file",
    "siblings",
    "volumes",
];

const VOLUME: &[&str] = &[
    "name",
    "path",
    "kind",
    "on",
    "label",
    "uuid",
    "file_system",
    "size",
    "read_only",
    "unwritten",
    "mounts",
];

fn expect_fields(what: &str, value: &Value, fields: &[&str]) -> Result<()> {
    let object = value.as_object().with_context(|| format!("{what} is not an object: {value}"))?;
    for field in fields {
        ensure!(object.contains_key(*field), "{what} has no {field}: {value}");
    }
    Ok(())
}

fn steps(target: &Value) -> Vec<String> {
    let steps = target["steps"].as_array().into_iter().flatten();
    steps.map(|step| format!("{}:{}", step["step"], step["status"]).replace('"', "")).collect()
}

fn eject(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let document = ctx.unmoor_json(0, &["eject", "/mnt/ext"])?;
    ensure!(document["command"] == "eject", "the command is {}", document["command"]);
    let target = &document["targets"][0];
    expect_fields("the target", target, TARGET)?;
    expect_fields("the drive", &target["drive"], DRIVE)?;
    expect_fields("the volume", &target["drive"]["volumes"][0], VOLUME)?;
    ensure!(target["outcome"] == "released", "{target}");
    ensure!(target["action"] == "eject", "the action is {}", target["action"]);
    ensure!(target["drive"]["bus"] == "usb", "{target}");
    ensure!(target["drive"]["serial"] == "RIGSTICK1", "{target}");
    let done = ["resolve", "flush", "lock", "dismount", "eject", "verify", "unlock"];
    let wanted: Vec<String> = done.iter().map(|step| format!("{step}:done")).collect();
    let found = steps(target);
    ensure!(found == wanted, "the steps were {found:?}");
    Ok(())
}

fn dry_run(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "--dry-run", "/mnt/ext"])?;
    let document = ctx.unmoor_json(0, &["eject", "--dry-run", "/mnt/ext"])?;
    let target = &document["targets"][0];
    ensure!(target["outcome"] == "planned", "{target}");
    ensure!(steps(target).iter().any(|step| step == "eject:planned"), "{:?}", steps(target));
    ctx.expect_mounted("/mnt/ext", true)?;
    ctx.expect_mounted("/mnt/fat", true)?;
    ctx.expect_untouched(mark, &STICK)
}

fn listed<'a>(document: &'a Value, node: &str) -> Option<&'a Value> {
    document["drives"].as_array().into_iter().flatten().find(|drive| drive["path"] == node)
}

fn list(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let nodes = [ctx.node(&CD)?, ctx.node(&STICK)?, ctx.node(&CARD)?, ctx.node(&OWN)?];
    ctx.unmoor(0, &["list"])?;
    let document = ctx.unmoor_json(0, &["list"])?;
    let stick = listed(&document, &nodes[1]).context("the stick is not listed")?;
    expect_fields("the drive", stick, DRIVE)?;
    let volumes = stick["volumes"].as_array().cloned().unwrap_or_default();
    let fat = volumes.iter().find(|v| v["label"] == "RIGFAT").context("no volume RIGFAT")?;
    ensure!(fat["file_system"] == "vfat", "{fat}");
    ensure!(fat["mounts"][0]["path"] == "/mnt/fat", "{fat}");
    let cd = listed(&document, &nodes[0]).context("the CD is not listed")?;
    ensure!(cd["kind"] == "optical" && cd["medium"] == "present", "{cd}");
    let card = listed(&document, &nodes[2]).context("the card is not listed")?;
    ensure!(card["kind"] == "card" && card["bus"] == "mmc", "{card}");
    ensure!(listed(&document, &nodes[3]).is_none(), "the fixed disk is listed among the removable");
    let all = ctx.unmoor_json(0, &["list", "--all"])?;
    ensure!(listed(&all, &nodes[3]).is_some(), "--all does not list the fixed disk");
    Ok(())
}

fn status(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(0, &["status", &node])?;
    ensure!(document["targets"][0]["drive"]["medium"] == "present", "{document}");
    ctx.expect_untouched(mark, &STICK)
}

fn usage(ctx: &mut TestContext) -> Result<()> {
    ctx.unmoor(2, &["eject"])?;
    ctx.unmoor(2, &["eject", "--no-such-option", "/mnt"])?;
    let output = ctx.unmoor(2, &["eject", "--wait", "soon", "--json", "/mnt"])?;
    ensure!(output.stdout.is_empty(), "a document was printed");
    Ok(())
}

fn demo(ctx: &mut TestContext) -> Result<()> {
    let before = ctx.sh("losetup -a; cat /proc/mounts")?;
    ctx.unmoor(0, &["demo"])?;
    let after = ctx.sh("losetup -a; cat /proc/mounts")?;
    ensure!(before == after, "left behind:\n{after}");
    Ok(())
}
