//! `--watch` on simulated drives, on every system.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Returns the first lines that this prints. It runs until its reader has left.
fn first_lines(words: &str, count: usize) -> Vec<String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_unmoor"))
        .args(words.split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines = out.lines().take(count).map(|line| line.unwrap().replace('\r', "")).collect();
    // On Windows only a write would show that the reader has left.
    _ = child.kill();
    child.wait().unwrap();
    lines
}

#[test]
fn every_drive_that_is_there_is_an_event() {
    let lines = first_lines("list --simulated --watch --json", 3);
    for line in &lines {
        unmoor_contract::check_event(line).unwrap_or_else(|faults| panic!("{faults:?}: {line}"));
        assert!(line.contains(r#""event":"present""#), "{line}");
    }
    let lines = first_lines("list --watch -o name,label sim:stick", 4);
    let words: Vec<Vec<&str>> = lines.iter().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["EVENT", "NAME", "LABEL"]);
    assert_eq!(words[1], ["present", "sim:stick"]);
    assert_eq!(words[2][..2], ["present", "sim:stick1"]);
}

#[test]
fn a_line_of_who_is_a_document() {
    let lines = first_lines("who --watch --json sim:busy", 1);
    unmoor_contract::check(&lines[0], None).unwrap_or_else(|faults| panic!("{faults:?}"));
    let lines = first_lines("who --watch sim:busy", 1);
    assert!(lines[0].contains("in use by"), "{lines:?}");
}

#[test]
fn a_target_that_can_be_none_is_an_error_as_ever() {
    let run = common::line("list --watch LABEL=");
    assert_eq!(run.code, 2, "{}{}", run.out, run.err);
}
