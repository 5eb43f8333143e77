//! Checks a document that `unmoor … --json` printed against `docs/json.md`.
//!
//! The check covers every field, its type, its words, and the relations between fields. Tests on every
//! system use it: simulated drives, the virtual machine, Wine.
//!
//! ```
//! let printed = r#"{"schema": 1, "unmoor": "0.1.0", "command": "list",
//!                   "exit_code": 0, "drives": [], "error": null}"#;
//! assert_eq!(unmoor_contract::check(printed, Some(0)), Ok(()));
//! assert!(unmoor_contract::check("{}", None).is_err());
//! ```

mod fields;
mod shape;

use serde_json::Value;

/// Checks the whole standard output of one run. `exit_code` is the exit code of the process, if it is
/// known.
///
/// # Errors
/// Every fault found, each with the path of the field.
pub fn check(printed: &str, exit_code: Option<i32>) -> Result<(), Vec<String>> {
    let document: Value =
        serde_json::from_str(printed).map_err(|e| vec![format!("not one JSON document: {e}")])?;
    let mut faults = Vec::new();
    shape::check("", &document, fields::DOCUMENT, &mut faults);
    if faults.is_empty() {
        agree(&document, exit_code, &mut faults);
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Checks one line that `unmoor list --watch --json` printed.
///
/// # Errors
/// As [`check`].
pub fn check_event(line: &str) -> Result<(), Vec<String>> {
    let event: Value =
        serde_json::from_str(line).map_err(|e| vec![format!("not one JSON object: {e}")])?;
    let mut faults = Vec::new();
    shape::check("", &event, fields::EVENT, &mut faults);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Exit codes from the worst to the best.
const WORST_FIRST: [u64; 9] = [130, 1, 3, 5, 7, 2, 6, 4, 0];

/// Checks the relations between the fields.
fn agree(document: &Value, exit_code: Option<i32>, faults: &mut Vec<String>) {
    let code = document["exit_code"].as_u64().unwrap_or(u64::MAX);
    if exit_code.is_some_and(|real| u64::try_from(real) != Ok(code)) {
        faults.push(format!("exit_code says {code}, the process ended with {exit_code:?}"));
    }
    let is_list = document["command"] == "list";
    // Without a port, `attach` lists them.
    let is_ports = document["command"] == "attach" && document.get("ports").is_some();
    for (field, wanted) in
        [("drives", is_list), ("ports", is_ports), ("targets", !is_list && !is_ports)]
    {
        if document.get(field).is_some() != wanted {
            faults
                .push(format!("{field}: there should be {}", if wanted { "one" } else { "none" }));
        }
    }
    let Some(targets) = document["targets"].as_array() else { return };
    if targets.is_empty() && document["command"] == "eject" {
        // An empty selection is not a success.
        if code == 0 || document["error"].is_null() || document.get("left_out").is_none() {
            faults.push("no targets, and no word why".into());
        }
        return;
    }
    if document.get("left_out").is_some() && document["command"] != "eject" {
        faults.push("only eject chooses its drives".into());
    }
    let worst = |codes: &[u64]| WORST_FIRST.into_iter().find(|c| codes.contains(c)).unwrap_or(0);
    let codes: Vec<u64> = targets.iter().filter_map(|t| t["exit_code"].as_u64()).collect();
    if worst(&codes) != code {
        faults.push(format!("exit_code {code} is not the worst of {codes:?}"));
    }
    for (index, target) in targets.iter().enumerate() {
        let mut fault = |what: String| faults.push(format!("targets[{index}]: {what}"));
        agree_target(document["command"].as_str().unwrap_or_default(), target, &mut fault);
    }
}

fn agree_target(command: &str, target: &Value, fault: &mut impl FnMut(String)) {
    let outcome = target["outcome"].as_str().unwrap_or_default();
    let code = target["exit_code"].as_u64();
    let meant = fields::OUTCOMES.iter().find(|(name, _)| *name == outcome).map(|(_, code)| *code);
    if meant != code {
        fault(format!("outcome {outcome} means exit code {meant:?}, not {code:?}"));
    }
    let success = code == Some(0);
    if success && !target["error"].is_null() {
        fault("there is an error beside a success".into());
    }
    if !success && command != "who" && target["error"].is_null() {
        fault(format!("outcome {outcome} without an error"));
    }
    if outcome == "released" && command != "eject" {
        fault("only eject releases".into());
    }
    let blocked = !target["blockers"].as_array().is_none_or(Vec::is_empty);
    if blocked && outcome != "busy" {
        fault(format!("blockers beside the outcome {outcome}"));
    }
    if command == "who" && !target["drive"].is_null() && target["scan"].is_null() {
        fault("who found the drive and searched nothing".into());
    }
    if command == "who" && outcome == "done" && target["scan"]["complete"] != true {
        fault("who reports no blocker after an incomplete scan".into());
    }
    let ended = !target["ended"].as_array().is_none_or(Vec::is_empty);
    if ended && command != "eject" {
        fault("only eject ends programs".into());
    }
    let steps: &[Value] = target["steps"].as_array().map_or(&[], Vec::as_slice);
    if outcome == "released"
        && steps
            .iter()
            .any(|s| s["status"] == "failed" && s["step"] != "lock" && s["step"] != "flush")
    {
        fault("released although a step failed".into());
    }
    if ended && !steps.iter().any(|s| s["step"] == "kill" && s["status"] != "skipped") {
        fault("programs were ended in no step".into());
    }
    if outcome == "released" && steps.last().is_none_or(|s| s["step"] != "unlock") {
        fault("released without being unlocked at the end".into());
    }
    let failed = |s: &&Value| s["status"] == "failed" && s["reason"].is_null();
    if let Some(step) = steps.iter().find(failed) {
        fault(format!("step {} failed without a reason", step["step"]));
    }
}
