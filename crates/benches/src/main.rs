//! Program behind `cargo xtask bench`: the command's cost, beside programs that do the same work.
//!
//! A comparison first makes sure that both programs give the same answer, then runs them in turn (A B A B),
//! so that other load on the machine affects both alike, and prints medians.

mod busy_load;
mod cost;
mod eject;
mod floor;
mod installed;
mod list;
mod loop_control;
mod many;
mod measure;
mod process_load;
mod slow_images;
mod table;
mod wait4;
mod who;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use unmoor_rig::guest_command::GuestCommand;
use xtask::{build, packages, setup};

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Compares unmoor's cost with other programs'")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(clap::Args)]
struct Options {
    /// Number of runs of each program
    #[arg(long, global = true, default_value_t = 11)]
    rounds: usize,
    /// Measure this program instead of the one built here
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// A release: against util-linux eject on emulated drives, against umount -d on a loop device
    Eject,
    /// The comparison on a loop device of this machine
    #[command(hide = true)]
    Loop,
    /// The list of drives on a machine with 1, 20 and 200 loop devices: against lsblk
    List,
    /// 32 slow drives in one call: against one of them, and against a shell loop of util-linux eject
    Many,
    /// The search for blockers among 50 to 8,000 processes: against fuser, lsof and lsofrs
    Who,
    /// Run a program and print what it cost, as one line of JSON
    #[command(hide = true)]
    Measure(measure::Options),
    /// Compute until the parent ends
    #[command(hide = true)]
    Compute,
    /// Run an empty program in the kernel for each open file
    #[command(hide = true)]
    EveryFile { function: u32 },
    /// List the descriptors of each process, and ask the kernel once for each
    #[command(hide = true)]
    EveryDescriptor,
    /// Unmount and eject a drive with nothing but the system calls for it
    #[command(hide = true)]
    BareEject { node: String },
    /// Keep many processes with many open files, for a comparison to search
    #[command(hide = true)]
    ProcessLoad(process_load::Options),
    #[command(flatten)]
    Guest(GuestCommand),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Measure(options)) => measure::command(&options),
        Some(Command::Compute) => busy_load::command(),
        Some(Command::EveryFile { function }) => floor::every_file(function),
        Some(Command::EveryDescriptor) => floor::every_descriptor(),
        Some(Command::BareEject { node }) => floor::eject(&node),
        Some(Command::ProcessLoad(options)) => process_load::command(&options),
        Some(Command::Guest(command)) => command.run(),
        comparison => compare(comparison, &arguments.options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("unmoor-benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one comparison, or all of them.
fn compare(comparison: Option<Command>, options: &Options) -> Result<ExitCode> {
    setup::ensure(&[&packages::VM])?;
    let built = match &options.binary {
        Some(path) => path.clone(),
        None => build::packaged()?,
    };
    let binary = installed::copy(&built, "unmoor")?;
    let rounds = options.rounds;
    match comparison {
        Some(Command::Eject) => eject::command(&binary, rounds)?,
        Some(Command::Loop) => eject::loop_device(&binary, rounds)?,
        Some(Command::List) => list::command(&binary, rounds)?,
        Some(Command::Who) => who::command(&binary, rounds)?,
        Some(Command::Many) => many::command(&binary, rounds)?,
        _ => {
            eject::command(&binary, rounds)?;
            list::command(&binary, rounds)?;
            who::command(&binary, rounds)?;
            many::command(&binary, rounds.min(3))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
