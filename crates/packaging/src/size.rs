//! Limits of the program's size.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use xtask::{paths, process};

/// Maximum size of the program with every feature, in bytes.
const WHOLE: u64 = 4 << 20;

/// Maximum size of the program without its optional features, in bytes.
const SMALLEST: u64 = 2 << 20;

/// Fails if the program with every feature is too large.
pub fn check_whole(program: &Path) -> Result<()> {
    check(program, WHOLE)
}

/// Builds the program without its optional features, and fails if it is too large.
pub fn check_smallest() -> Result<()> {
    let directory = paths::target().join("smallest");
    let mut cargo = Command::new(process::cargo());
    cargo.args(["build", "--release", "--quiet", "--package", "unmoor-cli"]);
    // Incremental builds leave out optimizations across crates.
    cargo.args(["--no-default-features", "--target-dir"]).arg(&directory);
    cargo.env("CARGO_INCREMENTAL", "0").current_dir(paths::repository());
    process::run_visibly(&mut cargo)?;
    check(&directory.join("release/unmoor"), SMALLEST)
}

fn check(program: &Path, limit: u64) -> Result<()> {
    let size = fs::metadata(program)?.len();
    println!("{}: {size} of {limit} bytes", program.display());
    ensure!(size <= limit, "{}: {size} bytes, more than {limit}", program.display());
    Ok(())
}
