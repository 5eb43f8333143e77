//! Asks on the terminal whether programs may be ended. The default is no.

use crate::console::{self, Style, print_err};
use crate::{blockers, messages};
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use unmoor::{Blocker, Cancel, Drive, PromptFn};

/// Interval between checks for Ctrl-C and the timeout while waiting for an answer.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Returns true if a terminal can show the question and read the answer.
pub fn can_answer() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Returns a prompt that asks for one drive at a time.
pub fn user() -> PromptFn {
    let one_at_a_time = Mutex::new(());
    Arc::new(move |drive, programs, wait| {
        let _one = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        question(drive, programs).iter().for_each(|line| print_err(Style::Plain, line));
        let prompt = "End them? What is not saved there may be lost. [y/N] ";
        // A simulated clock stands still meanwhile, so the real one counts.
        let until = Instant::now() + wait.remaining();
        answer(prompt, until, || wait.check().is_err())
    })
}

/// Asks a question whose default is no. Returns false once `cancel` is set, or after ten minutes.
pub fn yes_or_no(prompt: &str, cancel: &Cancel) -> bool {
    const QUESTION_TIMEOUT: Duration = Duration::from_secs(600);
    let until = Instant::now() + QUESTION_TIMEOUT;
    answer(prompt, until, || cancel.is_cancelled())
}

fn question(drive: &Drive, programs: &[&Blocker]) -> Vec<String> {
    let count = blockers::processes(programs.len());
    let room = blockers::Room { all: false, width: console::width_of_errors() };
    let mut lines = vec![format!("{}: {count} would be ended:", messages::describe(drive))];
    lines.extend(programs.iter().flat_map(|blocker| blockers::who(blocker, room)));
    lines
}

/// Reads a line on its own thread, so that Ctrl-C and the timeout end the wait.
fn answer(prompt: &str, until: Instant, is_over: impl Fn() -> bool) -> bool {
    let mut err = io::stderr().lock();
    _ = write!(err, "{prompt}").and_then(|()| err.flush());
    drop(err);
    let (said, heard) = mpsc::channel();
    let reader = std::thread::Builder::new().spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        _ = said.send(read.is_ok() && is_yes(&line));
    });
    if reader.is_err() {
        return false;
    }
    loop {
        match heard.recv_timeout(POLL_INTERVAL) {
            Ok(yes) => return yes,
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) if is_over() || Instant::now() >= until => {
                // Ends the prompt's line.
                print_err(Style::Plain, "");
                return false;
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for yes in ["y\n", "Y\n", "yes\n", " Yes \r\n"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yesterday\n", "j\n", "y n\n", "\u{fffd}\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
