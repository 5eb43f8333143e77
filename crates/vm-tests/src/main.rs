//! Program behind `cargo xtask vm`, `faults` and `soak`, and its counterpart inside the guest.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use unmoor_rig::guest_command::GuestCommand;
use unmoor_vm_tests::{faults, soak, vm};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tests of unmoor on emulated drives")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boot emulated drives in a virtual machine and hold the command to its promises
    Vm(vm::Options),
    /// Make each fault happen at each step of a release
    Faults(faults::Options),
    /// Write, eject, cut the power and compare, on random stacks of file systems
    Soak(soak::Options),
    /// Run one of the soak's processes inside the virtual machine
    #[command(hide = true)]
    GuestWriter(soak::writer::Options),
    #[command(flatten)]
    Guest(GuestCommand),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Vm(options) => vm::command(&options),
        Command::Faults(options) => faults::command(&options),
        Command::Soak(options) => soak::command(&options),
        Command::GuestWriter(options) => soak::writer::command(&options),
        Command::Guest(command) => command.run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("unmoor-vm-tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}
