//! Searches while processes come and go.

use crate::command::unmoor_with;
use serde_json::Value;
use std::process::{Command, Stdio};
use unmoor_test_support::{Holder, LOOP_DEVICES, LoopImage, Test, shell, test};

/// Shells at a time, and how many processes each of them starts.
const CROWD: (usize, usize) = (4, 2500);

fn pids(blockers: &Value) -> Vec<u64> {
    let all = blockers.as_array().expect("blockers").iter();
    all.filter(|b| b["kind"] == "process").filter_map(|b| b["process"]["pid"].as_u64()).collect()
}

fn ten_thousand_processes_that_come_and_go_are_no_error() {
    let (idle, held) = (LoopImage::new("unmoor-idle"), LoopImage::new("unmoor-held"));
    let holder = shell("exec 9>\"$1\"; echo; exec sleep 600", &held.mount.join("open"));
    let search = || -> Value {
        let run = unmoor_with(["who", "--json", &idle.device, &held.device]);
        serde_json::from_slice(&run.stdout).expect("a document")
    };
    // There are machines that let not even root look into their first process.
    // Readers of the device are left out: another program may look at all block devices.
    let seen = |document: &Value| {
        let scan = &document["targets"][0]["scan"];
        (scan["complete"].clone(), scan["notes"].clone())
    };
    let before = seen(&search());

    let start = |_| {
        let script = format!("i=0; while [ $i -lt {} ]; do (:); i=$((i+1)); done", CROWD.1);
        let mut shell = Command::new("sh");
        Holder(shell.args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap())
    };
    let mut crowd: Vec<Holder> = (0..CROWD.0).map(start).collect();
    let mut searches = 0;
    while crowd.iter_mut().any(|shell| shell.0.try_wait().unwrap().is_none()) {
        let document = search();
        let targets = &document["targets"];
        assert_eq!(pids(&targets[0]["blockers"]), [0; 0], "{document:#}");
        assert_eq!(pids(&targets[1]["blockers"]), [u64::from(holder.0.id())], "{document:#}");
        assert!(targets.as_array().unwrap().iter().all(|t| t["error"].is_null()), "{document:#}");
        assert_eq!(seen(&document), before, "{document:#}");
        searches += 1;
    }
    assert!(searches > 1, "the crowd was gone before the second search");
    assert!(crowd.iter_mut().all(|shell| shell.0.wait().unwrap().success()), "all were started");
}

pub const TESTS: &[Test] =
    &[test!(ten_thousand_processes_that_come_and_go_are_no_error, LOOP_DEVICES)];
