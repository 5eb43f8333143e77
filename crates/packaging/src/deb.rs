//! The Debian package: built by cargo-deb from the table in `crates/unmoor-cli/Cargo.toml`, checked by lintian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::{build, packages, paths, process, setup};

use crate::files::write_files;
use crate::output::output;
use crate::size;

/// Version of cargo-deb that is installed if there is none.
const CARGO_DEB: &str = "3.8.0";

/// Builds the program and the package, checks it, and returns its path.
pub fn make() -> Result<PathBuf> {
    setup::ensure(&[&packages::PACKAGE])?;
    ensure_cargo_deb()?;
    write_files(&output())?;
    let target = build::packaged_target();
    size::check_whole(&build::packaged()?)?;
    let mut cargo = Command::new(process::cargo());
    // The profile strips the program already.
    cargo.args([
        "deb",
        "--package",
        "unmoor-cli",
        "--no-build",
        "--no-strip",
        "--quiet",
        "--output",
    ]);
    cargo.arg(output()).current_dir(paths::repository());
    if let Some(target) = target {
        cargo.args(["--target", target]);
    }
    process::run_visibly(&mut cargo)?;
    let package = find()?;
    check(&package)?;
    Ok(package)
}

/// Returns the package that was built last.
pub fn find() -> Result<PathBuf> {
    let entries = fs::read_dir(output())?.filter_map(Result::ok).map(|entry| entry.path());
    let packages = entries.filter(|path| path.extension().is_some_and(|kind| kind == "deb"));
    let changed = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified()).ok();
    packages.max_by_key(changed).context("there is no package; `cargo xtask package` makes it")
}

/// Fails if lintian finds an error or a warning.
fn check(package: &Path) -> Result<()> {
    let mut lintian = process::program("lintian");
    lintian.args(["--fail-on", "error,warning", "--tag-display-limit", "0"]).arg(package);
    if is_root() {
        lintian.arg("--allow-root");
    }
    process::run_visibly(&mut lintian)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn ensure_cargo_deb() -> Result<()> {
    let works = Command::new(process::cargo()).args(["deb", "--version"]).output();
    if works.is_ok_and(|run| run.status.success()) {
        return Ok(());
    }
    println!("cargo-deb {CARGO_DEB} is installed; that takes a few minutes");
    let mut cargo = Command::new(process::cargo());
    cargo.args(["install", "--quiet", "--locked", "--version", CARGO_DEB, "cargo-deb"]);
    process::run_visibly(&mut cargo)
}
