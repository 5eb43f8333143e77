//! Components and targets of the Rust toolchain that rustup's minimal profile leaves out.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;

/// Cargo commands that the checks call, and their components.
const COMPONENTS: [(&str, &str); 2] = [("fmt", "rustfmt"), ("clippy", "clippy")];

/// Adds the missing components to the toolchain that runs this program.
pub fn ensure() -> Result<()> {
    let missing: Vec<&str> =
        COMPONENTS.into_iter().filter(|(verb, _)| !works(verb)).map(|(_, name)| name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("rust: {}", missing.join(" "));
    let by_hand = format!("rustup component add {}", missing.join(" "));
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add"]).args(&missing);
    process::run(&mut rustup).with_context(|| {
        format!("cargo {} is missing here; try by hand: {by_hand}", missing.join(" and cargo "))
    })?;
    match COMPONENTS.into_iter().find(|(verb, _)| !works(verb)) {
        Some((verb, _)) => bail!("cargo {verb} does not work after: {by_hand}"),
        None => Ok(()),
    }
}

fn works(verb: &str) -> bool {
    let mut cargo = Command::new(process::cargo());
    let run = cargo.args([verb, "--version"]).stdin(Stdio::null()).output();
    run.is_ok_and(|output| output.status.success())
}

/// Adds a target to the toolchain that runs this program, unless it is there.
pub fn ensure_target(target: &str) -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]);
    let is_there = process::run(rustc.current_dir(crate::paths::repository()))
        .is_ok_and(|directory| Path::new(directory.trim()).exists());
    if is_there {
        return Ok(());
    }
    println!("rust: {target}");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", target]).current_dir(crate::paths::repository());
    process::run(&mut rustup).map(drop).with_context(|| {
        format!(
            "the standard library for {target} is missing here; try by hand: {}",
            process::line(&rustup)
        )
    })
}
