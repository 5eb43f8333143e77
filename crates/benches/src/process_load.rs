//! Many processes with many open files, for the blocker scan to search.
//!
//! A hidden command of its own, because it forks and must be small: its children share its memory.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

#[derive(clap::Args)]
pub struct Options {
    processes: usize,
    /// Number of open files of each
    files: usize,
    /// Folder of the files
    directory: PathBuf,
}

/// Forks, says "ready", and stays until its standard input ends.
pub fn command(options: &Options) -> Result<ExitCode> {
    // Standard input, output and errors count among the open files.
    let mut files = Vec::new();
    for number in 3..options.files {
        files.push(File::create(options.directory.join(number.to_string()))?);
    }
    let parent = std::process::id();
    for _ in 0..options.processes {
        // SAFETY: this process has one thread, so its child may go on as it likes.
        match unsafe { libc::fork() } {
            -1 => bail!("fork: {}", std::io::Error::last_os_error()),
            0 => stay(parent),
            _ => {}
        }
    }
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new()).context("standard input")?;
    Ok(ExitCode::SUCCESS)
}

/// Sleeps until the parent ends.
fn stay(parent: u32) -> ! {
    // SAFETY: prctl with PR_SET_PDEATHSIG takes a number; getppid, pause and _exit take no memory.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        while u32::try_from(libc::getppid()) == Ok(parent) {
            libc::pause();
        }
        libc::_exit(0)
    }
}
