//! Builds of the command.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{components, paths, process};

/// Target of the program that is packaged: it needs no library of the system, and so starts faster.
const STATIC: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-musl"
} else {
    "x86_64-unknown-linux-musl"
};

/// Returns the target of the program that is packaged, and adds it to the toolchain.
///
/// Where that is impossible, the program is built with the C library of this system: `None`.
pub fn packaged_target() -> Option<&'static str> {
    let added = components::ensure_target(STATIC);
    added.inspect_err(|error| println!("going on without a static program: {error:#}")).ok()?;
    Some(STATIC)
}

/// Returns the path of the program that is packaged, below a target directory.
pub fn program_in(directory: &Path, target: Option<&str>) -> PathBuf {
    directory.join(target.unwrap_or_default()).join("release/unmoor")
}

/// Builds the command as it is packaged, and returns its path.
pub fn packaged() -> Result<PathBuf> {
    let target = packaged_target();
    command(&target.map_or_else(Vec::new, |target| vec!["--target", target]))?;
    Ok(program_in(&paths::target(), target))
}

/// Builds the command with the C library of this system, as `cargo install` does, and returns its path.
pub fn dynamic() -> Result<PathBuf> {
    command(&[])?;
    Ok(program_in(&paths::target(), None))
}

/// Builds the command in release mode, with these arguments of cargo besides.
fn command(words: &[&str]) -> Result<()> {
    let mut cargo = Command::new(process::cargo());
    cargo.args(["build", "--release", "--quiet", "--package", "unmoor-cli"]).args(words);
    process::run_visibly(cargo.current_dir(paths::repository()))
}
