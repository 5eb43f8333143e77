//! `cargo xtask package` and `cargo xtask release`.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use unmoor_packaging::{deb, file_managers, output, release, size, write_files};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Man pages, completions, packages")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write man pages and completions
    Files {
        /// Folder for them [default: target/package]
        directory: Option<PathBuf>,
    },
    /// Make the Debian package, and check it with lintian
    Package,
    /// Use the actions of Thunar, Nautilus and Dolphin, in a copy of this system (as root)
    FileManagers,
    /// Build the program without its optional features, and fail if it is larger than 2 MiB
    Size,
    /// Make the Debian package, archives for Linux and Windows, and their checksums
    Release {
        /// Leave out the programs for Windows
        #[arg(long)]
        without_windows: bool,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Files { directory } => write_files(&directory.unwrap_or_else(output)),
        Command::Package => deb::make().map(|package| println!("{}", package.display())),
        Command::FileManagers => file_managers::check(),
        Command::Size => size::check_smallest(),
        Command::Release { without_windows } => release::make(without_windows),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packaging: {error:#}");
            ExitCode::FAILURE
        }
    }
}
