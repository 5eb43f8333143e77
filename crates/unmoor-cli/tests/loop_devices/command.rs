//! Runs of the command.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// Result of a run.
pub struct Run {
    /// Exit code.
    pub code: i32,
    /// Everything that was printed, on both streams.
    pub text: String,
}

/// Runs the command with arguments that need not be UTF-8.
pub fn unmoor_with<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unmoor"));
    command.args(words).stdin(Stdio::null()).output().unwrap()
}

/// Runs the command.
pub fn unmoor(arguments: &[&str]) -> Run {
    answer(Command::new(env!("CARGO_BIN_EXE_unmoor")).args(arguments))
}

/// Runs any command, and returns its exit code and output.
pub fn answer(command: &mut Command) -> Run {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Run {
        code: output.status.code().unwrap_or(-1),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}
