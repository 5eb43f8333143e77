//! The Debian package: built by cargo-deb from the table in `crates/unmoor-cli/Cargo.toml`, checked by lintian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::{packages, paths, process, setup};

/// Version of cargo-deb that is installed if there is none.
const CARGO_DEB: &str = "3.8.0";

/// Builds the program and the package, checks it, and returns its path.
pub fn make() -> Result<PathBuf> {
    setup::ensure(&[&packages::PACKAGE])?;
    ensure_cargo_deb()?;
    crate::write_files(&crate::output())?;
    process::build_unmoor()?;
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
    cargo.arg(crate::output()).current_dir(paths::repository());
    process::run_visibly(&mut cargo)?;
    let package = find()?;
    check(&package)?;
    Ok(package)
}

/// Returns the package that was built last.
pub fn find() -> Result<PathBuf> {
    let entries = fs::read_dir(crate::output())?.filter_map(Result::ok).map(|entry| entry.path());
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

/// Writes the changelog in Debian's format (deb-changelog(5)), from CHANGELOG.md.
pub fn write_changelog(directory: &Path) -> Result<()> {
    let changes = fs::read_to_string(paths::repository().join("CHANGELOG.md"))?;
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("unmoor ({version}-1) unstable; urgency=medium\n\n");
    for change in changes.split("\n- ").skip(1) {
        // A change ends before the next heading.
        let change = change.split("\n## ").next().unwrap_or_default();
        text += &item(change);
    }
    text += &format!("\n -- {MAINTAINER}  {DATE}\n");
    fs::write(directory.join("changelog"), text).context("the changelog")
}

/// Returns an item of the list, in lines of at most 76 characters.
fn item(change: &str) -> String {
    let (mut text, mut line) = (String::new(), String::from("  *"));
    for word in change.split_whitespace() {
        if line.len() + 1 + word.len() > 76 {
            text += &format!("{line}\n");
            line = "   ".into();
        }
        line += &format!(" {word}");
    }
    text + &line + "\n"
}

/// Maintainer, as in `crates/unmoor-cli/Cargo.toml`.
const MAINTAINER: &str = "unmoor contributors <unmoor@packages.example>";

/// Date of the package: fixed, so that the same sources make the same package.
const DATE: &str = "Sun, 01 Nov 2026 12:00:00 +0000";
