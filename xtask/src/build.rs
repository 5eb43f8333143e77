//! Builds of the command.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{components, paths, process};

/// Target of the program that is packaged: it needs no library of the system, and so starts faster.
pub const PACKAGED_TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds the command as it is packaged, and returns its path.
pub fn packaged() -> Result<PathBuf> {
    components::ensure_target(PACKAGED_TARGET)?;
    command(&["--target", PACKAGED_TARGET])?;
    Ok(paths::target().join(PACKAGED_TARGET).join("release/unmoor"))
}

/// Builds the command with the C library of this system, as `cargo install` does, and returns its path.
pub fn dynamic() -> Result<PathBuf> {
    command(&[])?;
    Ok(paths::target().join("release/unmoor"))
}

/// Builds the command in release mode, with these arguments of cargo besides.
fn command(words: &[&str]) -> Result<()> {
    let mut cargo = Command::new(process::cargo());
    cargo.args(["build", "--release", "--quiet", "--package", "unmoor-cli"]).args(words);
    process::run_visibly(cargo.current_dir(paths::repository()))
}
