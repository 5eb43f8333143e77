//! Commands that a program which boots the rig runs inside the guest.
//!
//! The rig copies the running program into the guest as [`GUEST_TOOLS`](crate::machine::GUEST_TOOLS). Each of
//! these programs flattens [`GuestCommand`] into its own command line.

use std::process::ExitCode;

use anyhow::Result;

use crate::{agent, blockers_fixture, step_tracer};

/// Hidden subcommands that every program with a rig has.
#[derive(clap::Subcommand)]
pub enum GuestCommand {
    /// Serve the host's requests
    #[command(hide = true)]
    Agent,
    /// Keep a file system busy, for a test to find
    #[command(hide = true)]
    Hold(blockers_fixture::Options),
    /// Pause a program at a step of a release
    #[command(hide = true)]
    Trace(step_tracer::Options),
}

impl GuestCommand {
    /// Runs the command.
    pub fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Agent => agent::command(),
            Self::Hold(options) => blockers_fixture::command(options),
            Self::Trace(options) => step_tracer::command(options),
        }
    }
}
