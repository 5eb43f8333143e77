//! `cargo xtask vm`: the command, held to its promises on emulated drives.

mod printed;
pub mod run;
pub mod tests;
pub mod trapped;
pub mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::rig::machine::Hardware;
use crate::rig::{self, drives};
use crate::{packages, process, setup, windows};

use trial::Trial;

#[derive(clap::Args)]
pub struct Options {
    /// Only the tests whose name or promise contains this
    filter: Option<String>,
    /// Name the tests and stop
    #[arg(long)]
    list: bool,
    /// Test this program instead of the one built here: to see the tests fail on a broken one
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// One promise, and the function that fails when it is broken.
pub struct Test {
    pub name: &'static str,
    pub promise: &'static str,
    /// The drives that must be there with an untouched medium when it starts.
    pub drives: &'static [&'static drives::Drive],
    /// What the test needs to be booted. Tests of the same machine share a boot.
    pub machine: &'static Hardware,
    pub run: fn(&mut Trial) -> Result<()>,
}

/// Returned by a test that cannot be carried out here; the text says why.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "skipped: {}", self.0)
    }
}

impl std::error::Error for Skip {}

/// The machine with every drive that most tests need.
pub static STANDARD: Hardware =
    Hardware { name: "standard", memory_mb: 1536, drives: drives::STANDARD, shared: true };

/// A machine whose stick records what it is told.
pub static LOGGED: Hardware =
    Hardware { name: "logged", memory_mb: 1024, drives: &[&drives::LOGGED_STICK], shared: false };

/// A machine with one drive of each kind that the standard one has not.
pub static KINDS: Hardware =
    Hardware { name: "kinds", memory_mb: 1024, drives: drives::KINDS, shared: true };

/// A machine whose stick has a bad sector.
pub static FLAWED: Hardware =
    Hardware { name: "flawed", memory_mb: 1024, drives: &[&drives::FLAWED_STICK], shared: false };

pub fn command(options: &Options) -> Result<ExitCode> {
    let chosen = tests::chosen(options.filter.as_deref().unwrap_or_default());
    if options.list {
        for test in &chosen {
            println!("{:32} {}", test.name, test.promise);
        }
        return Ok(ExitCode::SUCCESS);
    }
    setup::ensure(&[&packages::VM])?;
    let binary = match &options.binary {
        Some(path) => path.clone(),
        None => process::build_unmoor()?,
    };
    let rig = rig::machine::Rig::prepare(&binary)?;
    if chosen.iter().any(|test| test.machine.name == tests::WINE.name) {
        rig::machine::Rig::add_program(&windows::build_for_tests()?, "unmoor.exe")?;
        windows::prefix::Prefix::ensure()?;
    }
    let summary = run::all(&rig, &chosen);
    Ok(if summary.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
