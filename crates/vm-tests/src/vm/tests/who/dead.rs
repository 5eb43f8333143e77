//! A file system elsewhere whose server does not answer any more: whatever asks it waits for good. The
//! search does not ask it, and is right about the drive.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Named, expect_named, refused};
use crate::test_context::{Trial, document, expect_code, unmoor, words};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test {
        name: "who.dead-fuse",
        promise: "with a FUSE server that is stopped, its files open, one its directory, a mount in it: the search ends and is right",
        drives: &[&STICK],
        machine: &STANDARD,
        run: elsewhere,
    },
    Test {
        name: "who.below-dead-fuse",
        promise: "with the drive itself mounted below such a file system: the search ends and is right",
        drives: &[&STICK],
        machine: &STANDARD,
        run: below,
    },
    Test {
        name: "who.stuck-exit",
        promise: "a killed program that waits for such a server on its way out: it is not said that nothing is in the way",
        drives: &[&STICK],
        machine: &STANDARD,
        run: on_its_way_out,
    },
];

/// Long enough for the slowest of machines, and far from for good.
const PATIENCE: &str = "100";

/// Mounts it on `/mnt/dead`, with a tmpfs on its directory, and returns the server's number.
fn serve(trial: &mut Trial) -> Result<String> {
    trial.sh("modprobe fuse; mkdir /mnt/dead")?;
    let server = trial.hold("exec $AGENT hold fuse /mnt/dead")?;
    trial.sh("test -f /mnt/dead/file && mount -t tmpfs tmpfs /mnt/dead/dir")?;
    trial.hold("exec 7</mnt/dead/file; cd /mnt/dead; echo held $$; exec sleep 1000")?;
    Ok(server)
}

/// Holds a file on the stick, and everything that the dead server has.
fn hold(trial: &mut Trial, file: &str) -> Result<String> {
    trial.hold(&format!(
        "exec 6</mnt/dead/file 7>{file} 8</mnt/dead; cd /mnt/dead/dir; echo held $$; exec sleep 1000"
    ))
}

fn named<'a>(pid: &'a str, file: &'a str) -> Named<'a> {
    Named {
        kind: "process",
        usage: "open-for-writing",
        path: file,
        fd: Some(7),
        process: Some((pid, "sleep")),
        ..Named::default()
    }
}

/// Stops the server and makes sure that who asks it waits.
fn stop(trial: &mut Trial, server: &str) -> Result<()> {
    trial.sh(&format!("kill -STOP {server}"))?;
    let asked = trial.try_sh("timeout -s KILL 2 ls /mnt/dead/file")?;
    ensure!(asked.code != Some(0), "the server still answers");
    Ok(())
}

/// Runs the command, and cuts it off when it does not end.
fn in_time(trial: &mut Trial, code: i32, arguments: &[&str]) -> Result<Value> {
    let program = unmoor(arguments).words;
    let program: Vec<&str> = ["timeout", "-s", "KILL", PATIENCE]
        .into_iter()
        .chain(program.iter().map(String::as_str))
        .chain(["--json"])
        .collect();
    let ended = trial.run(words(&program))?;
    expect_code(&ended, code)?;
    document(&ended, code)
}

fn who_in_time(trial: &mut Trial, target: &str, wanted: &[Named<'_>]) -> Result<()> {
    let document = in_time(trial, 3, &["who", target])?;
    let found = &document["targets"][0];
    expect_named(found, wanted)?;
    ensure!(found["scan"]["complete"] == true, "not everything was seen: {}", found["scan"]);
    Ok(())
}

fn elsewhere(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 1)?;
    trial.mount(&node, "/mnt/ext")?;
    let server = serve(trial)?;
    let pid = hold(trial, "/mnt/ext/file")?;
    stop(trial, &server)?;
    let named = [named(&pid, "/mnt/ext/file")];
    who_in_time(trial, &node, &named)?;
    refused(trial, &node, &named)?;
    // A program that ends closes what it has open, and waits for the dead server with it.
    trial.sh(&format!("kill -CONT {server}; kill {pid}"))?;
    trial.unmoor(0, &["eject", "--wait", "60s", &node]).map(drop)
}

fn below(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 1)?;
    let server = serve(trial)?;
    trial.mount(&node, "/mnt/dead/dir/ext")?;
    let pid = hold(trial, "/mnt/dead/dir/ext/file")?;
    stop(trial, &server)?;
    let named = [named(&pid, "/mnt/dead/dir/ext/file")];
    who_in_time(trial, &node, &named)?;
    let late = in_time(trial, 1, &["eject", "--timeout", "20s", &node])?;
    ensure!(late["targets"][0]["error"]["kind"] == "timed-out", "{late}");
    let late = in_time(trial, 1, &["eject", "/mnt/dead/dir/ext/file"])?;
    ensure!(late["targets"][0]["error"]["kind"] == "timed-out", "{late}");
    trial.sh(&format!("kill -CONT {server}; kill {pid}"))?;
    trial.unmoor(0, &["eject", "--wait", "60s", &node]).map(drop)
}

/// Its file on the stick is open still, and proc shows nothing of it.
fn on_its_way_out(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 1)?;
    trial.mount(&node, "/mnt/ext")?;
    let server = serve(trial)?;
    let pid = hold(trial, "/mnt/ext/file")?;
    stop(trial, &server)?;
    trial.sh(&format!(
        "kill {pid}; i=0; while test -n \"$(ls /proc/{pid}/fd)\"; do sleep 0.1; \
         i=$((i+1)); test $i -lt 300; done"
    ))?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(3, &["eject", &node])?;
    trial.expect_untouched(mark, &STICK)?;
    // The search sees no file of it; the kernel is asked then, and says busy.
    let document = trial.unmoor_json(3, &["who", &node])?;
    let blockers = &document["targets"][0]["blockers"];
    ensure!(blockers[0]["kind"] == "unknown", "in the way: {blockers}");
    let scan = &document["targets"][0]["scan"];
    let told = |note: &serde_json::Value| {
        note.as_str().is_some_and(|note| note.contains(&format!("sleep (pid {pid}) is ending")))
    };
    let notes = scan["notes"].as_array();
    ensure!(notes.is_some_and(|notes| notes.iter().any(told)), "who it is: {scan}");
    trial.sh(&format!("kill -CONT {server}"))?;
    trial.unmoor(0, &["eject", "--wait", "60s", &node]).map(drop)
}
