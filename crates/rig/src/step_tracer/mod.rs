//! Pauses a program at a step of a release, so that a test can act at exactly that moment.
//!
//! The tracer runs in the guest and follows the program and its children from system call to system call.
//! When one of them enters the call with which the step begins, the tracer keeps that process stopped until
//! the file `go` appears. The program itself is not changed.

pub mod pause_point;
mod ptrace;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use pause_point::{PausePoint, StepTracker};
use ptrace::{Call, Event, Until};

#[derive(clap::Args)]
pub struct Options {
    /// Step at which to pause
    point: PausePoint,
    /// Device node of the drive
    node: String,
    /// Folder of the files `reached` (the process is paused), `go` (continue) and `ended`
    directory: PathBuf,
    /// Program and its arguments
    #[arg(last = true, required = true)]
    words: Vec<String>,
}

/// Runs the program to its end and returns its exit code, or 128 and the number of the signal.
pub fn command(options: &Options) -> Result<ExitCode> {
    let _ = fs::remove_dir_all(&options.directory);
    fs::create_dir_all(&options.directory)?;
    let result = follow(options);
    fs::write(options.directory.join("ended"), "")?;
    Ok(ExitCode::from(u8::try_from(result?).unwrap_or(u8::MAX)))
}

fn follow(options: &Options) -> Result<i32> {
    let (name, arguments) = options.words.split_first().context("no program")?;
    let main = ptrace::start(Command::new(name).args(arguments))?;
    let mut tracker = StepTracker::of(&options.node);
    let mut until = Until::NextCall;
    // The one that is stopped at the point.
    let mut held = None;
    ptrace::resume(main, until, 0);
    loop {
        if held.is_some() && options.directory.join("go").exists() {
            until = Until::End;
            if let Some(pid) = held.take() {
                ptrace::resume(pid, until, 0);
            }
        }
        let Some((pid, event)) = ptrace::next(held.is_none())? else {
            sleep(Duration::from_millis(1));
            continue;
        };
        match event {
            Event::Exited(code) if pid == main => return Ok(code),
            Event::Exited(_) if held == Some(pid) => {
                held = None;
                until = Until::End;
            }
            Event::Exited(_) => {}
            Event::Signal(signal) => ptrace::resume(pid, until, signal),
            Event::Other => ptrace::resume(pid, until, 0),
            Event::Call => {
                let at_point = match ptrace::call(pid) {
                    Some(Call::Enters(entry)) => tracker
                        .enters(
                            pid,
                            &entry,
                            |address| ptrace::text(pid, address),
                            |descriptor| descriptor_path(pid, descriptor),
                        )
                        .contains(&options.point),
                    Some(Call::Leaves { result }) => {
                        tracker.leaves(pid, result);
                        false
                    }
                    None => false,
                };
                if at_point && held.is_none() && matches!(until, Until::NextCall) {
                    report_pause(options, &format!("{main} {pid}"))?;
                    held = Some(pid);
                } else {
                    ptrace::resume(pid, until, 0);
                }
            }
        }
    }
}

/// Returns the path behind a descriptor of a process.
fn descriptor_path(pid: libc::pid_t, descriptor: u64) -> String {
    let link = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// Creates the file `reached` in one step, so that a reader never sees half of it.
fn report_pause(options: &Options, text: &str) -> Result<()> {
    let unfinished = options.directory.join("reached.unfinished");
    fs::write(&unfinished, text)?;
    fs::rename(unfinished, options.directory.join("reached")).context("cannot say so")
}
