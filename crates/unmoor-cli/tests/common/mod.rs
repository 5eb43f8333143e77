//! Runs the real command, as a user does.
#![allow(dead_code)] // Each test program uses a part of it.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// Output and exit code of one run.
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs `unmoor` with these words, without input and in a fixed locale.
pub fn unmoor<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Run {
    let run = Command::new(env!("CARGO_BIN_EXE_unmoor"))
        .args(words)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let text =
        |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8").replace('\r', "");
    let run =
        Run { code: run.status.code().unwrap_or(-1), out: text(run.stdout), err: text(run.stderr) };
    assert!(!run.err.contains("panicked"), "{}", run.err);
    run
}

/// Runs `unmoor` with the words of one line.
pub fn line(line: &str) -> Run {
    unmoor(line.split(' '))
}

/// Returns the document that this line prints, checked against the contract and the exit code.
pub fn document(words: &str) -> serde_json::Value {
    let run = line(words);
    if let Err(faults) = unmoor_contract::check(&run.out, Some(run.code)) {
        panic!("unmoor {words}: {}\n{}", faults.join("\n"), run.out);
    }
    serde_json::from_str(&run.out).expect("it was checked above")
}
