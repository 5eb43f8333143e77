//! Results for a user who may not inspect other users' processes.

use crate::image::{Image, Running, answer, ran, shell};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// `setpriv` options for an unprivileged user (65534) without groups.
const UNPRIVILEGED: [&str; 5] = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// Copies the command to a place that every user may read.
fn program(image: &Image) -> PathBuf {
    let program = image.beside("bin").join("unmoor");
    std::fs::copy(env!("CARGO_BIN_EXE_unmoor"), &program).unwrap();
    for dir in [image.beside("bin"), image.beside(""), image.mount.clone()] {
        assert!(ran(Command::new("chmod").arg("755").arg(dir)));
    }
    program
}

fn who(program: &Path, image: &Image, more: &[&str]) -> crate::image::CommandOutput {
    let mut command = Command::new("setpriv");
    answer(command.args(UNPRIVILEGED).arg(program).args(["who", &image.device]).args(more))
}

#[test]
fn an_incomplete_scan_counts_uninspected_processes_and_never_reports_nothing() {
    let Some(image) = Image::new("unmoor-unpriv") else { return };
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
    // Process counts differ between two scans, so both values are taken from one.
    let said = format!("{unseen} process");
    assert!(target["message"].as_str().unwrap().contains(&said), "{document:#}");
}

#[test]
fn an_unprivileged_user_sees_own_processes_and_a_note_that_there_may_be_more() {
    let Some(image) = Image::new("unmoor-own") else { return };
    let program = program(&image);
    let mut own = Command::new("setpriv");
    own.args(UNPRIVILEGED).args(["sleep", "600"]).current_dir(&image.mount);
    let own = Running(own.stdin(Stdio::null()).spawn().unwrap());
    // The process belongs to root until `setpriv` has changed its user.
    let status = format!("/proc/{}/status", own.0.id());
    while !std::fs::read_to_string(&status).unwrap().contains("Name:\tsleep") {
        std::thread::yield_now();
    }
    let answer = who(&program, &image, &[]);
    assert_eq!(answer.code, 3, "{}", answer.text);
    assert!(answer.text.contains(&format!("sleep (pid {}", own.0.id())), "{}", answer.text);
    assert!(answer.text.contains("could not be inspected"), "{}", answer.text);
}
