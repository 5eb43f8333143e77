//! The JSON document of docs/json.md. The library serializes what lies in it: drives, steps, blockers, errors.

use crate::target_result::TargetResult;
use serde::{Serialize, Serializer};
use std::ffi::OsStr;
use unmoor::{
    Action, Blocker, BlockerScan, Drive, Error, Port, Presence, StepReport, Termination,
    name_and_bytes,
};

/// Grows by new fields only; another number would mean that old ones changed.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    unmoor: &'static str,
    command: &'a str,
    exit_code: u8,
    #[serde(flatten)]
    content: Content<'a>,
    error: Option<&'a Error>,
}

/// Fields that depend on the command.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Targets {
        targets: Vec<TargetObject<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        left_out: Option<Vec<LeftOut<'a>>>,
    },
    Drives {
        drives: &'a [Drive],
    },
    Ports {
        ports: &'a [Port],
    },
}

/// A line of `list --watch`.
#[derive(Serialize)]
struct EventObject<'a> {
    schema: u32,
    unmoor: &'static str,
    command: &'a str,
    event: &'a str,
    drive: &'a Drive,
}

/// A drive that `--all-removable` does not mean.
#[derive(Serialize)]
struct LeftOut<'a> {
    name: &'a str,
    path: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct TargetObject<'a> {
    #[serde(flatten, serialize_with = "target")]
    target: &'a OsStr,
    outcome: &'static str,
    exit_code: u8,
    message: &'a str,
    help: Option<&'a str>,
    drive: Option<&'a Drive>,
    action: Option<Action>,
    medium_after: Option<Presence>,
    steps: &'a [StepReport],
    blockers: &'a [Blocker],
    scan: Option<Coverage<'a>>,
    ended: &'a [Termination],
    warnings: &'a [String],
    lost: &'a [Error],
    error: Option<&'a Error>,
}

/// Coverage of a scan, whose blockers stand beside it.
#[derive(Serialize)]
struct Coverage<'a> {
    complete: bool,
    unseen_processes: usize,
    notes: &'a [String],
    bystanders: &'a [Blocker],
}

fn target<S: Serializer>(name: &OsStr, serializer: S) -> Result<S::Ok, S::Error> {
    name_and_bytes("target", "target_bytes", Some(name), serializer)
}

/// Returns the document of a command that works on targets.
///
/// `left_out` are the drives that were not meant, where the command chose by itself.
pub fn of_targets(
    command: &str,
    exit_code: u8,
    results: &[TargetResult],
    left_out: Option<&[(Drive, String)]>,
) -> String {
    let content = Content::Targets {
        targets: results.iter().map(TargetObject::from).collect(),
        left_out: left_out.map(left_out_objects),
    };
    print(command, exit_code, content, None)
}

/// Returns the document of a command that found no target.
pub fn of_no_targets(
    command: &str,
    exit_code: u8,
    error: &Error,
    left_out: &[(Drive, String)],
) -> String {
    let left_out = Some(left_out_objects(left_out));
    print(command, exit_code, Content::Targets { targets: Vec::new(), left_out }, Some(error))
}

/// Returns the document of `list`.
pub fn of_drives(exit_code: u8, drives: &[Drive], error: Option<&Error>) -> String {
    print("list", exit_code, Content::Drives { drives }, error)
}

/// Returns the object of one event of `list --watch`, on one line.
pub fn of_event(event: &str, drive: &Drive) -> String {
    let unmoor = env!("CARGO_PKG_VERSION");
    let object = EventObject { schema: SCHEMA, unmoor, command: "list", event, drive };
    serde_json::to_string(&object).expect("strings, numbers and lists are always JSON")
}

/// Returns the document of a command that works on targets, on one line.
pub fn line_of_targets(command: &str, exit_code: u8, results: &[TargetResult]) -> String {
    let targets = results.iter().map(TargetObject::from).collect();
    let content = Content::Targets { targets, left_out: None };
    let document = document(command, exit_code, content, None);
    serde_json::to_string(&document).expect("strings, numbers and lists are always JSON")
}

/// Returns the document of `attach` without a port.
pub fn of_ports(exit_code: u8, ports: &[Port], error: Option<&Error>) -> String {
    print("attach", exit_code, Content::Ports { ports }, error)
}

fn left_out_objects(left_out: &[(Drive, String)]) -> Vec<LeftOut<'_>> {
    left_out
        .iter()
        .map(|(drive, reason)| LeftOut {
            name: &drive.name,
            path: drive.path.display().to_string(),
            reason,
        })
        .collect()
}

fn print(command: &str, exit_code: u8, content: Content<'_>, error: Option<&Error>) -> String {
    let document = document(command, exit_code, content, error);
    serde_json::to_string_pretty(&document).expect("strings, numbers and lists are always JSON")
}

fn document<'a>(
    command: &'a str,
    exit_code: u8,
    content: Content<'a>,
    error: Option<&'a Error>,
) -> Document<'a> {
    let unmoor = env!("CARGO_PKG_VERSION");
    Document { schema: SCHEMA, unmoor, command, exit_code, content, error }
}

/// Returns the document in ASCII: other characters become `\uXXXX`. PowerShell 5.1 and `for /f` decode
/// what comes from a pipe with the OEM code page, not as UTF-8.
pub fn ascii(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for character in document.chars() {
        match character.is_ascii() {
            true => text.push(character),
            false => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text
}

impl<'a> From<&'a TargetResult> for TargetObject<'a> {
    fn from(result: &'a TargetResult) -> Self {
        TargetObject {
            target: &result.target,
            outcome: result.outcome.name(),
            exit_code: result.outcome.exit_code(),
            message: &result.message,
            help: result.help.as_deref(),
            drive: result.drive.as_ref(),
            action: result.action,
            medium_after: result.medium_after,
            steps: &result.steps,
            blockers: result.scan.as_ref().map_or(&[], |scan| &scan.blockers),
            scan: result.scan.as_ref().map(Coverage::from),
            ended: &result.ended,
            warnings: &result.warnings,
            lost: &result.lost,
            error: result.error.as_ref(),
        }
    }
}

impl<'a> From<&'a BlockerScan> for Coverage<'a> {
    fn from(scan: &'a BlockerScan) -> Self {
        Coverage {
            complete: scan.complete,
            unseen_processes: scan.inaccessible_processes,
            notes: &scan.notes,
            bystanders: &scan.readers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_in_ascii_means_the_same() {
        let label = "\u{dc}ber \u{1f4be} \"x\"";
        let document = serde_json::to_string(&label).unwrap();
        let ascii = ascii(&document);
        assert!(ascii.is_ascii() && ascii.contains(r"\u00dcber \ud83d\udcbe"), "{ascii}");
        assert_eq!(serde_json::from_str::<String>(&ascii).unwrap(), label);
    }
}
