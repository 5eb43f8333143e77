//! `cargo xtask vm`: holds the command to its promises on emulated drives.

mod doc_output;
pub mod run;
pub mod test_case;
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use unmoor_rig::machine::Rig;
use xtask::{build, packages, setup, windows};

#[derive(clap::Args)]
pub struct Options {
    /// Only the tests whose name or promise contains this, or one of these with commas between
    filter: Option<String>,
    /// Print the tests' names and stop
    #[arg(long)]
    list: bool,
    /// Leave out the tests whose promise a faster test keeps too (vm/tests/full_only.rs)
    #[arg(long)]
    quick: bool,
    /// Number of virtual machines that share the work
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    machines: u8,
    /// Test this program instead of the one built here, to see tests fail on a broken one
    #[arg(long)]
    binary: Option<PathBuf>,
}

pub fn command(options: &Options) -> Result<ExitCode> {
    let chosen = tests::chosen(options.filter.as_deref().unwrap_or_default(), options.quick);
    if options.list {
        for test in &chosen {
            println!("{:32} {}", test.name, test.promise);
        }
        return Ok(ExitCode::SUCCESS);
    }
    setup::ensure(&[&packages::VM])?;
    let binary = match &options.binary {
        Some(path) => path.clone(),
        None => build::packaged()?,
    };
    let rig = Rig::prepare(&binary)?;
    if chosen.iter().any(|test| test.machine.name == tests::WINE.name) {
        Rig::add_program(&windows::build_for_tests()?, "unmoor.exe")?;
        windows::prefix::Prefix::ensure()?;
    }
    let summary = run::run_tests(&rig, &chosen, options.machines.into());
    Ok(if summary.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
