//! Stops a program at a certain step of a release, so that something can happen to it exactly there.
//!
//! It runs in the guest, follows the program and its children from system call to system call, and when one
//! of them enters the call with which the step begins, keeps that one stopped until it is told to go on.
//! What happens meanwhile is the business of whoever asked for it; nothing of the program is changed.

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
    /// Where to stop
    point: PausePoint,
    /// The drive's device node
    node: String,
    /// Where `reached` appears when it is stopped, `go` is waited for, and `over` appears when it has ended
    directory: PathBuf,
    /// The program
    #[arg(last = true, required = true)]
    words: Vec<String>,
}

/// Ends as the program does; as a shell says it when a signal has ended it.
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

/// What a process has open there.
fn descriptor_path(pid: libc::pid_t, descriptor: u64) -> String {
    let link = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// Whoever sees the file sees all of it.
fn report_pause(options: &Options, text: &str) -> Result<()> {
    let unfinished = options.directory.join("reached.unfinished");
    fs::write(&unfinished, text)?;
    fs::rename(unfinished, options.directory.join("reached")).context("cannot say so")
}
