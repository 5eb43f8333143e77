//! `--kill`: who is ended, who is not, and that the release goes on.

use crate::command::{Run, unmoor};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use unmoor_test_support::{Holder, LOOP_DEVICES, LoopImage, Test, shell, test};

/// A process that holds a file open, after this.
fn holder(image: &LoopImage, first: &str) -> Holder {
    let script = format!("{first} exec 9>\"$1\"/held; echo held >&9; echo; exec sleep 600");
    shell(&script, &image.mount)
}

fn target(answer: &Run) -> Value {
    unmoor_contract::check(&answer.text, Some(answer.code)).expect("it keeps the contract");
    let document: Value = serde_json::from_str(&answer.text).unwrap();
    document["targets"][0].clone()
}

fn is_alive(holder: &mut Holder) -> bool {
    holder.0.try_wait().unwrap().is_none()
}

fn ended(target: &Value) -> Vec<(u64, String)> {
    let of =
        |e: &Value| (e["process"]["pid"].as_u64().unwrap(), e["how"].as_str().unwrap().to_string());
    target["ended"].as_array().unwrap().iter().map(of).collect()
}

fn a_process_with_an_open_file_is_terminated_and_the_drive_is_released() {
    let image = LoopImage::new("unmoor-kill");
    let mut holder = holder(&image, "");
    let pid = u64::from(holder.0.id());
    let target = target(&unmoor(&["eject", "--kill", "--yes", "--json", &image.device]));
    assert_eq!(target["outcome"], "released", "{target:#}");
    assert_eq!(ended(&target), [(pid, "terminated".to_string())]);
    assert!(!is_alive(&mut holder) && !image.attached());
    let fsck = image.fsck();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}

fn a_process_that_ignores_sigterm_is_killed_after_the_grace() {
    let image = LoopImage::new("unmoor-stubborn");
    let mut holder = holder(&image, "trap '' TERM HUP;");
    let pid = u64::from(holder.0.id());
    let words = ["eject", "--kill", "--yes", "--grace", "500ms", "--json", &image.device];
    let target = target(&unmoor(&words));
    assert_eq!(target["outcome"], "released", "{target:#}");
    assert_eq!(ended(&target), [(pid, "killed".to_string())]);
    assert!(!is_alive(&mut holder));
}

fn without_a_terminal_and_without_yes_nothing_is_done() {
    let image = LoopImage::new("unmoor-no-yes");
    let mut holder = holder(&image, "");
    let answer = unmoor(&["eject", "--kill", &image.device]);
    assert_eq!((answer.code, image.mounts()), (2, 1), "{}", answer.text);
    assert!(answer.text.contains("--yes"), "{}", answer.text);
    assert!(is_alive(&mut holder));
}

fn the_parents_of_the_command_are_never_ended() {
    let image = LoopImage::new("unmoor-caller");
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "cd \"$1\"; (cd /; \"$2\" eject --kill --yes \"$3\"); echo \"code $?\"",
        "sh",
    ]);
    shell.arg(&image.mount).arg(env!("CARGO_BIN_EXE_unmoor")).arg(&image.device);
    let answer = crate::command::answer(&mut shell);
    assert!(answer.code == 0 && answer.text.contains("code 3"), "{}", answer.text);
    assert!(answer.text.contains("what started it"), "{}", answer.text);
    assert_eq!(image.mounts(), 1);
}

fn no_process_is_ended_while_something_else_blocks_too() {
    let image = LoopImage::new("unmoor-in-vain");
    let inside = image.mount.join("inside");
    std::fs::create_dir(&inside).unwrap();
    let mount = |on: &Path| Command::new("mount").args(["-t", "tmpfs", "none"]).arg(on).status();
    assert!(mount(&inside).unwrap().success());
    let mut holder = holder(&image, "");
    let answer = unmoor(&["eject", "--kill", "--yes", &image.device]);
    Command::new("umount").arg(&inside).status().unwrap();
    assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
    assert!(is_alive(&mut holder), "{}", answer.text);
    let answer = unmoor(&["eject", "--kill", "--yes", &image.device]);
    assert_eq!((answer.code, is_alive(&mut holder)), (0, false), "{}", answer.text);
}

fn the_refusal_offers_it_only_where_it_would_work() {
    let image = LoopImage::new("unmoor-offer");
    let _holder = holder(&image, "");
    let answer = unmoor(&["eject", &image.device]);
    assert!(answer.code == 3 && answer.text.contains("--kill"), "{}", answer.text);
    let mut shell = Command::new("sh");
    shell.args(["-c", "cd \"$1\"; (cd /; exec \"$2\" eject \"$3\")", "sh"]);
    shell.arg(&image.mount).arg(env!("CARGO_BIN_EXE_unmoor")).arg(&image.device);
    let answer = crate::command::answer(&mut shell);
    assert!(answer.code == 3 && !answer.text.contains("--kill"), "{}", answer.text);
}

/// Runs the command in a PID namespace whose `/proc` is of another one, beside a process with the holder's number.
fn no_bystander_with_the_number_of_a_holder_is_ended() {
    let image = LoopImage::new("unmoor-pidns");
    let mut holder = holder(&image, "");
    let number = holder.0.id();
    // The next process of the namespace gets the number after this one.
    let script = format!(
        "echo {} >/proc/sys/kernel/ns_last_pid; sleep 600 & bystander=$!; test $bystander = {number} || \
         echo no such number; \"$1\" eject --kill --yes --json \"$2\"; echo code $?; \
         \"$1\" who --json \"$2\"; echo code $?; kill -0 $bystander && echo lives; kill -KILL $bystander",
        number - 1
    );
    for options in [&["--pid", "--fork"][..], &["--pid"]] {
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", "sh -c \"$0\" sh \"$@\"; exit $?"]).arg(&script);
        command.arg(env!("CARGO_BIN_EXE_unmoor")).arg(&image.device);
        let answer = crate::command::answer(&mut command);
        assert!(answer.text.contains("lives") && is_alive(&mut holder), "{}", answer.text);
        assert!(!answer.text.contains("no such number"), "{}", answer.text);
        assert_eq!(answer.text.matches("code 3").count(), 2, "{}", answer.text);
        assert!(answer.text.contains("\"complete\": false"), "{}", answer.text);
        let ends = format!("kill {number}");
        assert!(!answer.text.contains(&ends), "{}", answer.text);
        assert_eq!(image.mounts(), 1);
    }
}

pub const TESTS: &[Test] = &[
    test!(a_process_with_an_open_file_is_terminated_and_the_drive_is_released, LOOP_DEVICES),
    test!(a_process_that_ignores_sigterm_is_killed_after_the_grace, LOOP_DEVICES),
    test!(without_a_terminal_and_without_yes_nothing_is_done, LOOP_DEVICES),
    test!(the_parents_of_the_command_are_never_ended, LOOP_DEVICES),
    test!(no_process_is_ended_while_something_else_blocks_too, LOOP_DEVICES),
    test!(the_refusal_offers_it_only_where_it_would_work, LOOP_DEVICES),
    test!(no_bystander_with_the_number_of_a_holder_is_ended, LOOP_DEVICES),
];
