//! `cargo xtask demo`: from a fresh clone to a real release, in one command.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{build, packages, setup};

pub fn command() -> Result<ExitCode> {
    // The demonstration itself needs none of the packages: without them it still has its simulated drives.
    if let Err(error) = setup::ensure(packages::ALL) {
        eprintln!("xtask: going on without: {error:#}");
    }
    let binary = build::dynamic()?;
    println!("$ unmoor demo");
    let status = Command::new(binary).arg("demo").status()?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}
