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

/// Builds the command as it is packaged, and returns its path.
pub fn packaged() -> Result<PathBuf> {
    packaged_from(&paths::repository(), &paths::target())
}

/// Builds the command as it is packaged, from a copy of the repository, and returns its path.
pub fn packaged_from(sources: &Path, directory: &Path) -> Result<PathBuf> {
    build(sources, directory, packaged_target())
}

/// Builds the command with the C library of this system, as `cargo install` does, and returns its path.
pub fn dynamic() -> Result<PathBuf> {
    build(&paths::repository(), &paths::target(), None)
}

/// Builds the command in release mode, and returns its path below the target directory.
fn build(sources: &Path, directory: &Path, target: Option<&str>) -> Result<PathBuf> {
    let mut cargo = Command::new(process::cargo());
    cargo.args(["build", "--release", "--quiet", "--package", "unmoor-cli"]);
    if let Some(target) = target {
        cargo.args(["--target", target]);
    }
    process::run_visibly(cargo.arg("--target-dir").arg(directory).current_dir(sources))?;
    Ok(directory.join(target.unwrap_or_default()).join("release/unmoor"))
}
