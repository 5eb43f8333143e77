//! Developers' commands. `cargo xtask help` lists them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use xtask::{ci, demo, fuzz, process, setup, windows};

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
    #[command(disable_help_flag = true)]
    Vm(Forwarded),
    /// Make each fault happen at each step of a release, in a virtual machine
    #[command(disable_help_flag = true)]
    Faults(Forwarded),
    /// Build the command for Windows, 64 and 32 bits
    Windows(windows::Options),
    /// Run the tests and the command as Windows programs, in Wine
    Wine(windows::wine::Options),
    /// Run everything that must pass before a change lands
    Ci(ci::Options),
    /// Feed malformed input to every parser of foreign text and bytes
    Fuzz(fuzz::Options),
    /// Write, eject, cut the power and compare, on random stacks of file systems
    #[command(disable_help_flag = true)]
    Soak(Forwarded),
    /// Compare the command's whole-process cost with other programs'
    #[command(disable_help_flag = true)]
    Bench(Forwarded),
    /// Make the Debian package, and check it with lintian
    #[command(disable_help_flag = true)]
    Package(Forwarded),
    /// Use the actions of Thunar, Nautilus and Dolphin, in a copy of this system (as root)
    #[command(disable_help_flag = true)]
    FileManagers(Forwarded),
    /// Build the program without its optional features, and fail if it is larger than 2 MiB
    #[command(disable_help_flag = true)]
    Size(Forwarded),
    /// Make the Debian package, archives for Linux and Windows, and their checksums
    #[command(disable_help_flag = true)]
    Release(Forwarded),
    /// Find import circles, and imports that run upward between layers
    #[command(disable_help_flag = true)]
    Structure(Forwarded),
    /// Find house phrases, unclear first sentences and old names in comments, docs and messages
    #[command(disable_help_flag = true)]
    Prose(Forwarded),
}

/// Arguments of a command that another program of this workspace carries out.
#[derive(clap::Args)]
struct Forwarded {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, help = "`--help` lists them")]
    arguments: Vec<OsString>,
}

const VM_TESTS: &str = "unmoor-vm-tests";
const BENCHES: &str = "unmoor-benches";
const PACKAGING: &str = "unmoor-packaging";
const SOURCE_CHECKS: &str = "unmoor-source-checks";

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Setup => setup::command(),
        Command::Demo => demo::command(),
        Command::Vm(arguments) => arguments.forward(VM_TESTS, &["vm"]),
        Command::Faults(arguments) => arguments.forward(VM_TESTS, &["faults"]),
        Command::Soak(arguments) => arguments.forward(VM_TESTS, &["soak"]),
        Command::Bench(arguments) => arguments.forward(BENCHES, &[]),
        Command::Package(arguments) => arguments.forward(PACKAGING, &["package"]),
        Command::FileManagers(arguments) => arguments.forward(PACKAGING, &["file-managers"]),
        Command::Size(arguments) => arguments.forward(PACKAGING, &["size"]),
        Command::Release(arguments) => arguments.forward(PACKAGING, &["release"]),
        Command::Structure(arguments) => arguments.forward(SOURCE_CHECKS, &["structure"]),
        Command::Prose(arguments) => arguments.forward(SOURCE_CHECKS, &["prose"]),
        Command::Windows(options) => windows::command(&options),
        Command::Wine(options) => windows::wine::command(&options),
        Command::Ci(options) => ci::command(&options),
        Command::Fuzz(options) => fuzz::command(&options),
    }
}

impl Forwarded {
    /// Builds the package's program and replaces this process with it.
    fn forward(self, package: &str, words: &[&str]) -> Result<ExitCode> {
        let error = process::cargo_run(package).args(words).args(self.arguments).exec();
        Err(error).with_context(|| format!("cannot start {package}"))
    }
}
