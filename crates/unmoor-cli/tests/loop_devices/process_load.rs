//! Scans while processes start and exit.

use crate::image::{Image, Running, shell, unmoor_with};
use serde_json::Value;
use std::process::{Command, Stdio};

/// Number of concurrent shells, and number of processes that each of them starts.
const LOAD: (usize, usize) = (4, 2500);

fn pids(blockers: &Value) -> Vec<u64> {
    let all = blockers.as_array().expect("blockers").iter();
    all.filter(|b| b["kind"] == "process").filter_map(|b| b["process"]["pid"].as_u64()).collect()
}

#[test]
fn ten_thousand_short_lived_processes_cause_no_error_and_no_blocker() {
    let (Some(idle), Some(held)) = (Image::new("unmoor-idle"), Image::new("unmoor-held")) else {
        return;
    };
    let holder = shell("exec 9>\"$1\"; echo; exec sleep 600", &held.mount.join("open"));
    let search = || -> Value {
        let run = unmoor_with(["who", "--json", &idle.device, &held.device]);
        serde_json::from_slice(&run.stdout).expect("a document")
    };
    // Some machines do not let even root inspect the first process.
    let seen = |document: &Value| document["targets"][0]["scan"].clone();
    let before = seen(&search());

    let start = |_| {
        let script = format!("i=0; while [ $i -lt {} ]; do (:); i=$((i+1)); done", LOAD.1);
        let mut shell = Command::new("sh");
        Running(shell.args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap())
    };
    let mut shells: Vec<Running> = (0..LOAD.0).map(start).collect();
    let mut searches = 0;
    while shells.iter_mut().any(|shell| shell.0.try_wait().unwrap().is_none()) {
        let document = search();
        let targets = &document["targets"];
        assert_eq!(pids(&targets[0]["blockers"]), [0; 0], "{document:#}");
        assert_eq!(pids(&targets[1]["blockers"]), [u64::from(holder.0.id())], "{document:#}");
        assert!(targets.as_array().unwrap().iter().all(|t| t["error"].is_null()), "{document:#}");
        assert_eq!(seen(&document), before, "{document:#}");
        searches += 1;
    }
    assert!(searches > 1, "the shells were gone before the second search");
    assert!(shells.iter_mut().all(|shell| shell.0.wait().unwrap().success()), "all were started");
}
