//! Keeps a file system busy in ways that a shell cannot.
//!
//! The VM tests run it in the guest as a process of its own, because that process is what the search must
//! find.

mod fuse;

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    how: How,
}

#[derive(Subcommand)]
enum How {
    /// Change the root directory to this one
    Root { directory: PathBuf },
    /// Map a file into memory and close it
    Map {
        file: PathBuf,
        /// Delete the file
        #[arg(long)]
        delete: bool,
    },
    /// Start a thread with a working directory and open files of its own
    Thread { directory: PathBuf },
    /// Bind a socket
    Socket { path: PathBuf },
    /// Mount a FUSE file system of one file and one directory
    Fuse {
        directory: PathBuf,
        /// Serve the content of this file
        #[arg(long)]
        container: Option<PathBuf>,
        /// Mount it in a mount namespace of its own
        #[arg(long)]
        apart: bool,
    },
}

/// Occupies the file system, prints `held` and the process ID, and stays until it is killed.
pub fn command(options: &Options) -> Result<ExitCode> {
    match &options.how {
        How::Root { directory } => {
            let path = CString::new(directory.as_os_str().as_bytes())?;
            // SAFETY: the kernel reads a string that ends in 0 from the address, which `path` is.
            ensure!(unsafe { libc::chroot(path.as_ptr()) } == 0, io::Error::last_os_error());
            // The working directory stays where it was, outside.
            stay()
        }
        How::Map { file, delete } => {
            map(file)?;
            if *delete {
                std::fs::remove_file(file)?;
            }
            stay()
        }
        How::Thread { directory } => {
            let directory = directory.clone();
            let thread = std::thread::spawn(move || own_tables(&directory));
            thread.join().ok().context("the thread panicked")?
        }
        How::Socket { path } => {
            let _socket = std::os::unix::net::UnixListener::bind(path)?;
            stay()
        }
        How::Fuse { directory, container, apart } => {
            if *apart {
                // SAFETY: this process has one thread; only its own view of the mounts changes.
                let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
                ensure!(unshared == 0, io::Error::last_os_error());
            }
            fuse::serve(directory, container.as_deref(), held)
        }
    }
}

fn held() -> Result<()> {
    println!("held {}", std::process::id());
    Ok(io::stdout().flush()?)
}

fn stay() -> Result<ExitCode> {
    held()?;
    loop {
        std::thread::park();
    }
}

fn map(file: &Path) -> Result<()> {
    let file: File =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file)?;
    file.set_len(4096)?;
    // SAFETY: a new mapping at an address of the kernel's choice, which nothing here ever reads.
    let address = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    ensure!(address != libc::MAP_FAILED, io::Error::last_os_error());
    Ok(())
}

fn own_tables(directory: &Path) -> Result<ExitCode> {
    // SAFETY: gives this thread copies of the tables of open files and of the working directory; all
    // that it opened before stays open in both.
    let unshared = unsafe { libc::unshare(libc::CLONE_FILES | libc::CLONE_FS) };
    ensure!(unshared == 0, io::Error::last_os_error());
    std::env::set_current_dir(directory)?;
    let _file = File::create("file")?;
    stay()
}
