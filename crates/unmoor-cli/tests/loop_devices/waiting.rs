//! `--wait` names the blockers, and those that have left.

use crate::image::{Image, shell};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn blockers_are_named_and_those_that_left_are_reported() {
    let Some(image) = Image::new("unmoor-shrinking") else { return };
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
        // The next process leaves once the command has reported the current blockers.
        if line.contains("blocking") {
            drop(holders.pop());
        }
        lines.push(line);
    }
    assert!(unmoor.wait().unwrap().success(), "{lines:#?}");
    let reports: Vec<&String> = lines.iter().filter(|l| l.contains("blocking")).collect();
    assert!(reports[0].contains(&one) && reports[0].contains(&two), "{lines:#?}");
    assert!(reports[1].contains("left: ") && reports[1].contains(&one), "{lines:#?}");
    let rest = reports[1].split("still blocking").nth(1).unwrap();
    assert!(rest.contains(&two) && !rest.contains(&one), "{lines:#?}");
    assert!(lines.len() <= 4, "no more than what changes: {lines:#?}");
}
