//! Conventions that people and scripts expect of every program.
#![cfg(unix)]

mod common;

use common::{line, unmoor};
use std::fs::File;
use std::process::{Command, Stdio};

const COMMANDS: [&str; 15] = [
    "sim:stick",
    "-v sim:stick",
    "--dry-run sim:stick",
    "--json sim:stick",
    "list --simulated",
    "list --simulated --json",
    "list --watch sim:stick",
    "who --watch --json sim:busy",
    "status sim:stick",
    "who sim:busy",
    "load sim:tray",
    "demo --simulated",
    "--version",
    "--help",
    "help eject",
];

#[cfg(target_os = "linux")]
#[test]
fn lost_output_is_an_error_of_every_command() {
    for words in COMMANDS {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_unmoor"));
        let run =
            command.args(words.split(' ')).stdin(Stdio::null()).stdout(full).output().unwrap();
        let err = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(1), "{words}: {err}");
        assert!(err.contains("No space left on device"), "{words}: {err}");
    }
}

#[test]
fn a_reader_who_left_is_no_error() {
    for words in ["list --simulated", "status sim:stick", "sim:stick", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_unmoor"));
        let run =
            command.args(words.split(' ')).stdin(Stdio::null()).stdout(writer).output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{words}: {}", String::from_utf8_lossy(&run.stderr));
        assert!(run.stderr.is_empty(), "{words}");
    }
}

#[test]
fn the_version_is_told_wherever_it_is_asked_for() {
    let version = line("--version").out;
    for words in
        ["-V", "version", "eject -V", "list --version", "who -V sim:stick", "eject sim:stick -V"]
    {
        let run = line(words);
        assert_eq!((run.code, &*run.out), (0, &*version), "{words}: {}", run.err);
    }
    // After `--` everything is a target.
    assert_eq!(line("eject -- -V").code, 6);
}

#[test]
fn help_is_told_wherever_it_is_asked_for() {
    let help = line("--help").out;
    for words in ["-h", "help", "help --help", "help -h", "help help"] {
        let run = line(words);
        assert_eq!((run.code, &*run.out), (0, &*help), "{words}: {}", run.err);
    }
    for (words, same) in [("help eject", "eject --help"), ("help --help eject", "eject --help")] {
        assert_eq!(line(words).out, line(same).out, "{words}");
    }
}

#[test]
fn the_help_lists_the_options_of_releasing() {
    let help = line("--help").out;
    for option in ["--wait", "--force", "--kill", "--power-off", "--dry-run", "--timeout"] {
        assert!(help.contains(option), "{option}");
    }
    for words in ["--help", "eject --help", "who --help", "list --help"] {
        let run = line(words);
        assert!(!run.out.contains("docs/"), "{words} names a file that is not on this machine");
        assert!(run.out.lines().all(|line| line.chars().count() <= 100), "{words}");
    }
}

#[test]
fn forever_is_a_time_to_wait() {
    for time in ["forever", "inf", "infinite"] {
        let run = unmoor(["--wait", time, "sim:slow"]);
        assert_eq!(run.code, 0, "{time}: {}", run.err);
    }
    assert_eq!(line("--wait forever --timeout 2s sim:busy").code, 3);
    assert_eq!(line("--grace forever --kill --yes sim:busy").code, 0);
}

#[test]
fn colours_without_a_terminal_follow_the_option() {
    let is_coloured = |words: &str| line(words).out.contains("\x1b[");
    assert!(is_coloured("--color always sim:stick"));
    assert!(is_coloured("--color always list --simulated"));
    assert!(!is_coloured("--color auto sim:stick"));
    let run = line("--color sometimes sim:stick");
    assert_eq!((run.code, run.out.is_empty()), (2, true));
}
