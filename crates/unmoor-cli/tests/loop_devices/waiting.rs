//! `--wait` names the blockers, and those that leave.

use crate::command::unmoor;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use unmoor_test_support::{LOOP_DEVICES, LoopImage, Test, ok, shell, test, with_default_signals};

fn the_blockers_of_a_wait_are_named_and_so_is_each_that_ends() {
    let image = LoopImage::new("unmoor-shrinking");
    let hold = "exec 9>\"$1\"/held; echo; exec sleep 600";
    let (first, second) = (shell(hold, &image.mount), shell(hold, &image.mount));
    let (one, two) = (format!("pid {}", first.0.id()), format!("pid {}", second.0.id()));
    let mut holders = vec![second, first];
    let mut unmoor = Command::new(env!("CARGO_BIN_EXE_unmoor"));
    unmoor.args(["eject", "--wait", "500s", &image.device]).stdin(Stdio::null());
    let mut unmoor = unmoor.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(unmoor.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        // The next one leaves when it was told who is there.
        if line.contains("blocking") {
            drop(holders.pop());
        }
        lines.push(line);
    }
    assert!(unmoor.wait().unwrap().success(), "{lines:#?}");
    let told: Vec<&String> = lines.iter().filter(|l| l.contains("blocking")).collect();
    assert!(told[0].contains(&one) && told[0].contains(&two), "{lines:#?}");
    assert!(told[1].contains("left: ") && told[1].contains(&one), "{lines:#?}");
    let rest = told[1].split("still blocking").nth(1).unwrap();
    assert!(rest.contains(&two) && !rest.contains(&one), "{lines:#?}");
    assert!(lines.len() <= 4, "no more than what changes: {lines:#?}");
}

fn wait_goes_on_when_the_holder_leaves() {
    let image = LoopImage::new("unmoor-wait");
    let _holder = shell("cd \"$1\"; echo; exec sleep 2", &image.mount);
    let answer = unmoor(&["eject", "--wait", "60s", &image.device]);
    assert_eq!(answer.code, 0, "{}", answer.text);
    assert!(!image.attached());
}

/// Starts this command, which waits for a drive in use, sends the signal, and returns the exit code and
/// what it printed.
fn signalled(command: &mut Command, signal: &str) -> (Option<i32>, String) {
    let mut waiting = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut lines = BufReader::new(waiting.stderr.take().expect("it is piped"));
    let mut told = String::new();
    while !told.contains("waiting up to") && lines.read_line(&mut told).expect("text") > 0 {}
    let pid = waiting.id().to_string();
    assert!(ok(Command::new("kill").args([signal, &pid])), "it still waits");
    lines.read_to_string(&mut told).expect("text");
    (waiting.wait().expect("it ends").code(), told)
}

fn every_signal_that_ends_a_program_ends_the_waiting_and_leaves_everything_as_it_was() {
    let image = LoopImage::new("unmoor-signals");
    let held = File::create(image.mount.join("letter.txt")).expect("it can be written");
    for signal in ["-INT", "-TERM", "-HUP", "-QUIT"] {
        let mut command = with_default_signals(env!("CARGO_BIN_EXE_unmoor"));
        command.args(["eject", "--wait", "1h"]).arg(&image.mount);
        let (code, told) = signalled(&mut command, signal);
        assert_eq!(code, Some(130), "{signal}: {told}");
        assert!(told.contains("interrupted"), "{signal}: {told}");
        assert_eq!(image.mounts(), 1);
    }
    drop(held);
}

fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let image = LoopImage::new("unmoor-nohup");
    let held = File::create(image.mount.join("letter.txt")).expect("it can be written");
    let mut command = Command::new("sh");
    let script = "trap '' HUP; exec \"$0\" eject --wait 2s \"$1\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_unmoor")]).arg(&image.mount);
    let (code, told) = signalled(&mut command, "-HUP");
    assert_eq!(code, Some(3), "{told}");
    drop(held);
}

pub const TESTS: &[Test] = &[
    test!(the_blockers_of_a_wait_are_named_and_so_is_each_that_ends, LOOP_DEVICES),
    test!(wait_goes_on_when_the_holder_leaves, LOOP_DEVICES),
    test!(
        every_signal_that_ends_a_program_ends_the_waiting_and_leaves_everything_as_it_was,
        LOOP_DEVICES
    ),
    test!(a_signal_that_was_ignored_at_the_start_stays_ignored, LOOP_DEVICES),
];
