//! Compares the output blocks of docs/stacks.md and docs/kinds.md with the command's output in the machine.
//!
//! `UNMOOR_WRITE_DOCS` makes the tests write the blocks anew.

use std::fs;

use anyhow::{Result, ensure};

use crate::test_context::{TestContext, words};
use unmoor_rig::drives::{Drive, STICK2};
use xtask::paths;

const FILES: [&str; 2] = ["docs/stacks.md", "docs/kinds.md"];
const INDENT: &str = "    ";

/// Fails unless a document has, under `<!-- printed: NAME -->`, this call and its output. The output may
/// mention the second stick.
pub fn hold(ctx: &mut TestContext, name: &str, options: &str, drives: &[&Drive]) -> Result<()> {
    let nodes: Vec<String> = drives.iter().map(|d| ctx.node(d)).collect::<Result<_>>()?;
    // A test before may have powered the second stick off.
    let second = if drives.len() == 1 { ctx.node(&STICK2).ok() } else { None };
    let others = Vec::from_iter(second);
    hold_nodes(ctx, name, options, &nodes, &others)
}

/// Compares the output for these nodes, as [`hold`] does. The output may mention `others`.
pub fn hold_nodes(
    ctx: &mut TestContext,
    name: &str,
    options: &str,
    nodes: &[String],
    others: &[String],
) -> Result<()> {
    let names: Vec<&str> = nodes.iter().map(|node| bare(node)).collect();
    let call = format!("unmoor eject --dry-run {options}");
    let all: Vec<&str> = call.split_whitespace().chain(names.iter().copied()).collect();
    let output = ctx.run(words(&all))?;
    let text = format!("$ {}\n{}{}", all.join(" "), output.stdout, output.stderr);
    let spoken: Vec<&str> = names.into_iter().chain(others.iter().map(|node| bare(node))).collect();
    let text: String =
        renamed(&text, &spoken).trim_end().lines().map(|l| format!("{INDENT}{l}\n")).collect();
    let mark = format!("<!-- printed: {name} -->\n");
    for file in FILES {
        let path = paths::repository().join(file);
        let document = fs::read_to_string(&path)?;
        let Some((before, rest)) = document.split_once(&mark) else { continue };
        let length =
            rest.split_inclusive('\n').take_while(|line| line.starts_with(INDENT)).map(str::len);
        let (shown, after) = rest.split_at(length.sum());
        if std::env::var_os("UNMOOR_WRITE_DOCS").is_some() {
            fs::write(path, format!("{before}{mark}{text}{after}"))?;
            return Ok(());
        }
        ensure!(shown == text, "{file} shows under {name}\n{shown}and it is\n{text}");
        return Ok(());
    }
    anyhow::bail!("none of {FILES:?} has {mark}")
}

fn bare(node: &str) -> &str {
    node.trim_start_matches("/dev/")
}

/// Renames the drives: in a document the first is `sdb` (`sr0`, `nvme0n1`), the second `sdc`.
fn renamed(text: &str, names: &[&str]) -> String {
    let mut text = text.to_owned();
    // By way of names that no drive has: one may be called as the other is to be.
    for (number, name) in names.iter().enumerate() {
        text = text.replace(name, &format!("\u{1}{number}\u{2}"));
    }
    let mut disks = "bcdef".chars();
    for (number, name) in names.iter().enumerate() {
        let shown = match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "sr" => "sr0".to_owned(),
            "loop" => "loop0".to_owned(),
            kind if kind.starts_with("nvme") => "nvme0n1".to_owned(),
            kind if kind.starts_with("sd") => format!("sd{}", disks.next().unwrap_or('z')),
            _ => (*name).to_owned(),
        };
        text = text.replace(&format!("\u{1}{number}\u{2}"), &shown);
    }
    same_host(&text)
}

/// Renames the SCSI host to host 2, since the kernel's numbers vary.
fn same_host(text: &str) -> String {
    const BEFORE: &str = "/sys/bus/scsi/devices/";
    let mut parts = text.split(BEFORE);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shown, part| {
        shown + BEFORE + "2" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}
