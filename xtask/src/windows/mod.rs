//! The Windows program: `cargo xtask windows` builds it, `cargo xtask wine` runs it.

mod held;
mod imports;
mod own_drive;
pub mod prefix;
mod toolchain;
pub mod wine;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::{packages, process, setup};
use toolchain::{Bits, Toolchain};

#[derive(clap::Args)]
pub struct Options {
    /// Lints and documentation of the Windows half only; builds nothing for use
    #[arg(long)]
    lints: bool,
}

pub fn command(options: &Options) -> Result<ExitCode> {
    if options.lints {
        lints()?;
        return Ok(ExitCode::SUCCESS);
    }
    print_programs()?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the command for 64 and 32 bits, and returns the paths.
pub fn build_all() -> Result<[PathBuf; 2]> {
    Ok([build(Bits::SixtyFour)?, build(Bits::ThirtyTwo)?])
}

/// Builds the command for 64 and 32 bits, and prints the paths.
pub fn print_programs() -> Result<()> {
    build_all()?.iter().for_each(|program| println!("{}", program.display()));
    Ok(())
}

/// Builds the command for 64 bits, and checks that it compiles for 32.
pub fn build_64() -> Result<()> {
    println!("{}", build(Bits::SixtyFour)?.display());
    let mut check = toolchain(Bits::ThirtyTwo)?.cargo("check");
    process::run_visibly(check.args(["--quiet", "--package", "unmoor-cli"]))
}

/// Builds the command for use, and checks that Windows 7 could start it.
fn build(bits: Bits) -> Result<PathBuf> {
    let toolchain = toolchain(bits)?;
    let mut cargo = toolchain.cargo("build");
    cargo.args(["--release", "--quiet", "--package", "unmoor-cli"]);
    process::run_visibly(&mut cargo)?;
    let program = toolchain.output().join("release/unmoor.exe");
    imports::check(&program)?;
    Ok(program)
}

/// Builds the 64-bit command without optimisation, for tests.
pub fn build_for_tests() -> Result<PathBuf> {
    let toolchain = toolchain(Bits::SixtyFour)?;
    let mut cargo = toolchain.cargo("build");
    process::run_visibly(cargo.args(["--quiet", "--package", "unmoor-cli"]))?;
    Ok(toolchain.output().join("debug/unmoor.exe"))
}

/// Builds the program that occupies a drive for `who`: `crates/unmoor/examples/hold.rs`.
pub fn build_holder() -> Result<PathBuf> {
    let toolchain = toolchain(Bits::SixtyFour)?;
    let mut cargo = toolchain.cargo("build");
    process::run_visibly(cargo.args(["--quiet", "--package", "unmoor", "--example", "hold"]))?;
    Ok(toolchain.output().join("debug/examples/hold.exe"))
}

/// Runs `cargo clippy` and `cargo doc` on the Windows half for 64 bits.
pub fn lints_64() -> Result<()> {
    clippy(Bits::SixtyFour)?;
    let mut doc = toolchain(Bits::SixtyFour)?.cargo("doc");
    doc.args(["--quiet", "--package", "unmoor", "--package", "unmoor-cli", "--no-deps"]);
    process::run_visibly(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Runs [`lints_64`], and `cargo clippy` for 32 bits.
pub fn lints() -> Result<()> {
    lints_64()?;
    clippy(Bits::ThirtyTwo)
}

fn clippy(bits: Bits) -> Result<()> {
    let mut clippy = toolchain(bits)?.cargo("clippy");
    clippy.args(["--quiet", "--package", "unmoor", "--package", "unmoor-cli", "--all-targets"]);
    process::run_visibly(clippy.args(["--", "-D", "warnings"]))
}

/// Installs the packages of the compiler and returns it.
fn toolchain(bits: Bits) -> Result<Toolchain> {
    setup::ensure(&[&packages::WINDOWS])?;
    Toolchain::find(bits)
}
