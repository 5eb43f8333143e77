//! Developers' commands. `cargo xtask help` lists them.

mod agent;
mod bench;
mod ci;
mod components;
mod demo;
mod faults;
mod fuzz;
mod hold;
mod packages;
mod paths;
mod process;
mod rig;
mod setup;
mod soak;
mod trap;
mod vm;
mod windows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developers' commands of unmoor")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the other commands need and this machine lacks
    Setup,
    /// Set up, build, and show one real release on a drive made for it
    Demo,
    /// Boot emulated drives in a virtual machine and hold the command to its promises
    Vm(vm::Options),
    /// Let everything go wrong at every step of a release, in a virtual machine
    Faults(faults::Options),
    /// Build the command for Windows, 64 and 32 bits
    Windows(windows::Options),
    /// Run the tests and the command as Windows programs, in Wine
    Wine(windows::wine::Options),
    /// Everything that must pass before a change lands
    Ci(ci::Options),
    /// Feed every reader of foreign text and bytes with what no friend would send
    Fuzz(fuzz::Options),
    /// Write, eject, cut the power, look: again and again, on random stacks of file systems
    Soak(soak::Options),
    /// Compare the command's whole-process cost with other programs'
    Bench(bench::Options),
    /// The rig's own half inside the virtual machine
    #[command(hide = true)]
    GuestAgent,
    /// The soak's processes inside the virtual machine
    #[command(hide = true)]
    GuestWriter(soak::writer::Options),
    /// Run a program and print what it cost, as one line of JSON, to a file
    #[command(hide = true)]
    Measure(bench::measure::Options),
    /// Many processes with many open files, for a comparison to search
    #[command(hide = true)]
    Crowd(bench::crowd::Options),
    /// Keep something busy, for a test to find
    #[command(hide = true)]
    Hold(hold::Options),
    /// Run a program up to a step of a release, and on when told so
    #[command(hide = true)]
    Trap(trap::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup => setup::command(),
        Command::Demo => demo::command(),
        Command::Vm(options) => vm::command(&options),
        Command::Faults(options) => faults::command(&options),
        Command::Windows(options) => windows::command(&options),
        Command::Wine(options) => windows::wine::command(&options),
        Command::Ci(options) => ci::command(&options),
        Command::Fuzz(options) => fuzz::command(&options),
        Command::Soak(options) => soak::command(&options),
        Command::GuestWriter(options) => soak::writer::command(&options),
        Command::Bench(options) => bench::command(&options),
        Command::GuestAgent => agent::command(),
        Command::Measure(options) => bench::measure::command(&options),
        Command::Crowd(options) => bench::crowd::command(&options),
        Command::Hold(options) => hold::command(&options),
        Command::Trap(options) => trap::command(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
