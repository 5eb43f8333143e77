//! Commands of a user who is not root, where there is no udisks2.

use crate::command::{Run, answer};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use unmoor_test_support::{Holder, LOOP_DEVICES, LoopImage, SCRIPT, Test, ok, shell, test};

/// User id 65534, and no group.
const UNPRIVILEGED: [&str; 5] = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// The command at a place that everybody may go to.
fn program(image: &LoopImage) -> PathBuf {
    let program = image.beside("bin").join("unmoor");
    std::fs::copy(env!("CARGO_BIN_EXE_unmoor"), &program).unwrap();
    for dir in [image.beside("bin"), image.beside(""), image.mount.clone()] {
        assert!(ok(Command::new("chmod").arg("755").arg(dir)));
    }
    program
}

fn who(program: &Path, image: &LoopImage, more: &[&str]) -> Run {
    let mut command = Command::new("setpriv");
    answer(command.args(UNPRIVILEGED).arg(program).args(["who", &image.device]).args(more))
}

fn a_user_without_permission_is_shown_how_much_was_not_seen() {
    let image = LoopImage::new("unmoor-other");
    let program = program(&image);
    let _hidden = shell("exec 9>\"$1\"; echo; exec sleep 600", &image.mount.join("root"));
    let answer = who(&program, &image, &[]);
    assert_eq!(answer.code, 5, "{}", answer.text);
    assert!(answer.text.contains("could not be inspected"), "{}", answer.text);
    assert!(answer.text.contains("as root"), "{}", answer.text);
    assert!(!answer.text.contains("not in use"), "{}", answer.text);

    let document: Value = serde_json::from_str(&who(&program, &image, &["--json"]).text).unwrap();
    let target = &document["targets"][0];
    assert_eq!(target["outcome"], "not-permitted", "{document:#}");
    assert_eq!(target["scan"]["complete"], false, "{document:#}");
    let unseen = target["scan"]["unseen_processes"].as_u64().unwrap();
    assert!(unseen > 0, "{document:#}");
    // The counts of two searches differ by who came and went; of one they are the same number.
    let said = format!("{unseen} process");
    assert!(target["message"].as_str().unwrap().contains(&said), "{document:#}");
}

fn a_user_without_permission_sees_own_processes_and_that_there_may_be_more() {
    let image = LoopImage::new("unmoor-own");
    let program = program(&image);
    let mut own = Command::new("setpriv");
    own.args(UNPRIVILEGED).args(["sleep", "600"]).current_dir(&image.mount);
    let own = Holder(own.stdin(Stdio::null()).spawn().unwrap());
    // It is root's until it has become somebody else's.
    let status = format!("/proc/{}/status", own.0.id());
    while !std::fs::read_to_string(&status).unwrap().contains("Name:\tsleep") {
        std::thread::yield_now();
    }
    let answer = who(&program, &image, &[]);
    assert_eq!(answer.code, 3, "{}", answer.text);
    assert!(answer.text.contains(&format!("sleep (pid {}", own.0.id())), "{}", answer.text);
    assert!(answer.text.contains("could not be inspected"), "{}", answer.text);
}

fn a_user_who_may_not_open_it_is_told_what_would_help() {
    let image = LoopImage::new("unmoor-user");
    let program = image.beside("bin").join("unmoor");
    std::fs::copy(env!("CARGO_BIN_EXE_unmoor"), &program).unwrap();
    for dir in [image.beside("bin"), image.beside("")] {
        assert!(ok(Command::new("chmod").arg("755").arg(dir)));
    }
    let run = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        answer(command.args(UNPRIVILEGED).arg(&program).args(words))
    };
    // The exact words, whichever program there is to run them as root.
    for words in [&["eject", &image.device][..], &["-v", "--wait", "1ms", &image.device]] {
        let run = run(words);
        assert_eq!(run.code, 5, "{}", run.text);
        let command = format!("{} {}\n", program.display(), words.join(" "));
        assert!(run.text.contains("run it as root: "), "{}", run.text);
        assert!(run.text.contains(&command), "{command} {}", run.text);
    }
    assert_eq!(image.mounts(), 1);
}

fn the_same_words_are_run_by_what_elevates() {
    let image = LoopImage::new("unmoor-elevate");
    let program = program(&image);
    let bin = image.beside("bin");
    for elevator in ["run0", "doas", "sudo"] {
        // Stands in for the real one, and prints what it is to run, and where.
        let script = "#!/bin/sh\npwd; printf '%s|' \"${0##*/}\" \"$@\"; exit 42\n";
        std::fs::write(bin.join(elevator), script).unwrap();
        assert!(ok(Command::new("chmod").arg("755").arg(bin.join(elevator))));
        let words = ["--elevate", "--json", "--wait", "1ms", "eject", &image.device];
        let mut command = Command::new("setpriv");
        command.args(UNPRIVILEGED).arg(&program).args(words).current_dir(&bin);
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let run = answer(command.env("PATH", path));
        assert_eq!(run.code, 42, "{}", run.text);
        let bin = bin.display();
        let expected = format!("{bin}\n{elevator}|{}|{}|", program.display(), words.join("|"));
        assert_eq!(run.text, expected);
    }
    assert_eq!(image.mounts(), 1);
}

fn a_flush_needs_the_mount_and_not_the_device() {
    let image = LoopImage::new("unmoor-flush");
    let program = program(&image);
    for target in [&*image.device, image.mount.to_str().unwrap()] {
        let mut command = Command::new("setpriv");
        let run = answer(command.args(UNPRIVILEGED).arg(&program).args(["flush", "-v", target]));
        assert_eq!(run.code, 0, "{}", run.text);
        assert!(run.text.contains("syncfs"), "{}", run.text);
        // The node of the device and the drive's own cache are root's.
        assert!(run.text.contains("warning"), "{}", run.text);
        assert!(!run.text.contains("everything written is on the drive"), "{}", run.text);
    }
    // A mount that this user may not enter is not flushed, and that is an error.
    assert!(ok(Command::new("chmod").arg("700").arg(image.mount.parent().unwrap().join("mnt"))));
    let mut command = Command::new("setpriv");
    let run = answer(command.args(UNPRIVILEGED).arg(&program).args(["flush", &image.device]));
    assert_eq!(run.code, 5, "{}", run.text);
}

/// Runs a command on a terminal of `script` (util-linux), and types this.
fn on_a_terminal(command: &str, path: &str, typed: &str) -> Run {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(UNPRIVILEGED).args(["timeout", "100", "script", "-qec", command, "/dev/null"]);
    let streams = setpriv.env("PATH", path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = streams.spawn().unwrap();
    let (mut stdin, mut stdout) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    stdin.write_all(typed.as_bytes()).unwrap();
    let mut text = Vec::new();
    stdout.read_to_end(&mut text).unwrap();
    let code = script.wait().unwrap().code().unwrap_or(-1);
    Run { code, text: String::from_utf8_lossy(&text).into_owned() }
}

fn on_a_terminal_the_user_is_asked_and_the_default_is_no() {
    let image = LoopImage::new("unmoor-ask");
    let program = program(&image);
    let bin = image.beside("bin");
    std::fs::write(bin.join("sudo"), "#!/bin/sh\necho \"as root: $*\"; exit 42\n").unwrap();
    assert!(ok(Command::new("chmod").arg("755").arg(bin.join("sudo"))));
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let command = format!("{} eject {}", program.display(), image.device);
    for (typed, code) in [("y\n", 42), ("\n", 5), ("n\n", 5)] {
        let run = on_a_terminal(&command, &path, typed);
        assert_eq!(run.code, code, "{typed:?}: {}", run.text);
        assert!(run.text.contains(&format!("run it as root: sudo {command}")), "{}", run.text);
        assert!(run.text.contains("[y/N]"), "{}", run.text);
        assert_eq!(run.text.contains(&format!("as root: {command}")), code == 42, "{}", run.text);
    }
    // Without such a program there is nothing to offer.
    let run = on_a_terminal(&command, "/usr/bin:/bin", "y\n");
    let asked = ["sudo", "doas", "run0"].iter().any(|name| {
        ["/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(name).exists())
    });
    assert_eq!(run.text.contains("[y/N]"), asked, "{}", run.text);
    assert_eq!(image.mounts(), 1);
}

/// Runs the command on the image as a member of the group `disk`, which may open it.
fn as_member_of_disk(image: &LoopImage, words: &[&str]) -> Run {
    let program = program(image);
    assert!(ok(Command::new("chgrp").args(["disk", &image.device])));
    assert!(ok(Command::new("chmod").args(["660", &image.device])));
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "disk", "--clear-groups"]);
    answer(command.arg(program).args(words).arg(&image.device))
}

fn a_mount_that_may_not_be_reached_is_neither_in_use_nor_forced() {
    for options in [&["eject"][..], &["eject", "--force"], &["eject", "-u", "--force"]] {
        let image = LoopImage::new("unmoor-hidden");
        let secret = image.beside("secret");
        std::fs::create_dir(secret.join("stick")).unwrap();
        assert!(ok(Command::new("umount").arg(&image.mount)));
        image.mount_at(&secret.join("stick"));
        assert!(ok(Command::new("chmod").arg("700").arg(&secret)));
        let run = as_member_of_disk(&image, options);
        assert_eq!(run.code, 5, "{options:?}: {}", run.text);
        assert!(!run.text.contains("forced"), "{options:?}: {}", run.text);
        assert!(!run.text.contains("in use"), "{options:?}: {}", run.text);
        assert_eq!(image.mounts(), 1, "{options:?}");
    }
}

pub const TESTS: &[Test] = &[
    test!(a_user_without_permission_is_shown_how_much_was_not_seen, LOOP_DEVICES),
    test!(a_user_without_permission_sees_own_processes_and_that_there_may_be_more, LOOP_DEVICES),
    test!(a_user_who_may_not_open_it_is_told_what_would_help, LOOP_DEVICES),
    test!(the_same_words_are_run_by_what_elevates, LOOP_DEVICES),
    test!(on_a_terminal_the_user_is_asked_and_the_default_is_no, LOOP_DEVICES, SCRIPT),
    test!(a_flush_needs_the_mount_and_not_the_device, LOOP_DEVICES),
    test!(a_mount_that_may_not_be_reached_is_neither_in_use_nor_forced, LOOP_DEVICES),
];
