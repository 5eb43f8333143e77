//! What a document shows as printed is what is printed: the blocks of docs/stacks.md are compared with the
//! command's output in the machine, and written anew when `UNMOOR_WRITE_DOCS` is set.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::trial::{Trial, words};
use crate::paths;
use crate::rig::drives::{Drive, STICK2};

const FILE: &str = "docs/stacks.md";
const INDENT: &str = "    ";

/// Fails unless the document has, under `<!-- printed: NAME -->`, this call and what it prints. The drive
/// is called `sdb` there, whatever it is in the machine, and a second one `sdc`.
pub fn hold(trial: &mut Trial, name: &str, options: &str, drives: &[&Drive]) -> Result<()> {
    let nodes: Vec<String> = drives.iter().map(|d| trial.node(d)).collect::<Result<_>>()?;
    let mut names: Vec<String> = nodes.iter().map(|node| node.replace("/dev/", "")).collect();
    let call = format!("unmoor eject --dry-run {options}");
    let all: Vec<&str> = call.split_whitespace().chain(names.iter().map(String::as_str)).collect();
    let ended = trial.run(words(&all))?;
    let mut text = format!("$ {}\n{}{}", all.join(" "), ended.stdout, ended.stderr);
    // One that is not called may be spoken of.
    if drives.len() == 1 {
        names.push(trial.node(&STICK2)?.replace("/dev/", ""));
    }
    // By way of names that no drive has: one may be called as the other is to be.
    for (number, name) in names.iter().enumerate() {
        text = text.replace(name, &format!("\u{1}{number}"));
    }
    for (number, shown) in ["sdb", "sdc"].iter().enumerate() {
        text = text.replace(&format!("\u{1}{number}"), shown);
    }
    let text: String = text.trim_end().lines().map(|line| format!("{INDENT}{line}\n")).collect();
    let path = paths::repository().join(FILE);
    let document = fs::read_to_string(&path)?;
    let mark = format!("<!-- printed: {name} -->\n");
    let (before, rest) =
        document.split_once(&mark).with_context(|| format!("{FILE}: no {mark}"))?;
    let length =
        rest.split_inclusive('\n').take_while(|line| line.starts_with(INDENT)).map(str::len);
    let (shown, after) = rest.split_at(length.sum());
    if std::env::var_os("UNMOOR_WRITE_DOCS").is_some() {
        fs::write(path, format!("{before}{mark}{text}{after}"))?;
        return Ok(());
    }
    ensure!(shown == text, "{FILE} shows under {name}\n{shown}and it is\n{text}");
    Ok(())
}
