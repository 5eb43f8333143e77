//! The program behind `cargo xtask structure` and `cargo xtask prose`.

mod prose;
mod structure;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks of unmoor's own sources")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Root of the repository
    #[arg(long, global = true, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))]
    root: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Find import circles, and imports that run upward between layers
    Structure,
    /// Find house phrases, unclear first sentences and old names in comments, docs and messages
    Prose,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("unmoor-source-checks: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Carries out the command and returns the number of offences.
fn run(arguments: &Arguments) -> Result<usize> {
    match arguments.command {
        Command::Structure => structure::check(&arguments.root),
        Command::Prose => prose::check(&arguments.root),
    }
}
