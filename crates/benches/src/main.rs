//! `cargo xtask bench`: what the command costs, beside programs that do the same work.
//!
//! A comparison first makes sure that both gave the same answer, then runs them in turn (A B A B), so that
//! whatever else the machine does falls on both alike, and prints medians.

mod cost;
pub mod crowd;
mod eject;
mod list;
mod loop_control;
pub mod many;
pub mod measure;
mod table;
mod wait4;
mod who;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::{packages, process, setup};

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: Option<What>,
    /// How often each is run
    #[arg(long, global = true, default_value_t = 11)]
    rounds: usize,
    /// Measure this program instead of the one built here
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// A release: against util-linux eject on emulated drives, against umount -d on a loop device
    Eject,
    /// The part of `eject` that is about a loop device on this machine
    #[command(hide = true)]
    Loop,
    /// The list of drives on a machine with 200 loop devices: against lsblk
    List,
    /// 32 slow drives in one call: against one of them, and against a shell loop of util-linux eject
    Many,
    /// The search for blockers among 200, 2,000 and 8,000 processes: against fuser, lsof and lsofrs
    Who,
}

pub fn command(options: &Options) -> Result<ExitCode> {
    setup::ensure(&[&packages::VM])?;
    let binary = match &options.binary {
        Some(path) => path.clone(),
        None => process::build_unmoor()?,
    };
    match options.what {
        Some(What::Eject) => eject::command(&binary, options.rounds)?,
        Some(What::Loop) => eject::looped(&binary, options.rounds)?,
        Some(What::List) => list::command(&binary, options.rounds)?,
        Some(What::Who) => who::command(&binary, options.rounds)?,
        Some(What::Many) => many::command(&binary, options.rounds)?,
        None => {
            eject::command(&binary, options.rounds)?;
            list::command(&binary, options.rounds)?;
            who::command(&binary, options.rounds)?;
            many::command(&binary, options.rounds.min(3))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
