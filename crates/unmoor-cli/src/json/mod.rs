//! The JSON document of docs/json.md: a contract, kept apart from the library's own types, which may
//! change without it.

mod blocker;
mod drive;
mod lossy;
mod names;

use crate::steps;
use crate::target_result::TargetResult;
use blocker::{BlockerDto, ScanDto, TerminationDto};
use drive::DriveDto;
use lossy::{bytes_of, plain};
use serde::Serialize;
use unmoor::{Attempt, Bus, Drive, Error, Port, StepReport};

/// Grows by new fields only; another number would mean that old ones changed.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    unmoor: &'static str,
    command: &'a str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<TargetDto<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<Vec<LeftOutDto<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drives: Option<Vec<DriveDto<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<Vec<PortDto<'a>>>,
    error: Option<ErrorDto>,
}

/// A drive that `--all-removable` does not mean.
#[derive(Serialize)]
struct LeftOutDto<'a> {
    name: &'a str,
    path: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct PortDto<'a> {
    port: &'a str,
    bus: &'static str,
}

#[derive(Serialize)]
struct TargetDto<'a> {
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_bytes: Option<String>,
    outcome: &'static str,
    exit_code: u8,
    message: &'a str,
    help: Option<&'a str>,
    drive: Option<DriveDto<'a>>,
    action: Option<&'static str>,
    medium_after: Option<&'static str>,
    steps: Vec<StepDto<'a>>,
    blockers: Vec<BlockerDto<'a>>,
    scan: Option<ScanDto<'a>>,
    ended: Vec<TerminationDto<'a>>,
    warnings: &'a [String],
    lost: Vec<ErrorDto>,
    error: Option<ErrorDto>,
}

#[derive(Serialize)]
struct StepDto<'a> {
    step: &'static str,
    status: &'static str,
    ms: f64,
    reason: Option<&'a str>,
    attempts: Vec<AttemptDto<'a>>,
}

#[derive(Serialize)]
struct AttemptDto<'a> {
    method: &'a str,
    ok: bool,
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorDto {
    kind: &'static str,
    message: String,
    step: Option<&'static str>,
    os_code: Option<i32>,
}

/// The document of a command that works on targets. `left_out`: the drives that were not meant, where
/// the command chose by itself.
pub fn of_targets(
    command: &str,
    exit_code: u8,
    answers: &[TargetResult],
    left_out: Option<&[(Drive, String)]>,
) -> String {
    let targets = Some(answers.iter().map(TargetDto::from).collect());
    print(&Document {
        schema: SCHEMA,
        unmoor: env!("CARGO_PKG_VERSION"),
        command,
        exit_code,
        targets,
        left_out: left_out.map(of_left_out),
        drives: None,
        ports: None,
        error: None,
    })
}

/// The document of a command that found no target.
pub fn of_no_targets(
    command: &str,
    exit_code: u8,
    error: &Error,
    left_out: &[(Drive, String)],
) -> String {
    print(&Document {
        schema: SCHEMA,
        unmoor: env!("CARGO_PKG_VERSION"),
        command,
        exit_code,
        targets: Some(Vec::new()),
        left_out: Some(of_left_out(left_out)),
        drives: None,
        ports: None,
        error: Some(ErrorDto::from(error)),
    })
}

fn of_left_out(left_out: &[(Drive, String)]) -> Vec<LeftOutDto<'_>> {
    left_out
        .iter()
        .map(|(drive, reason)| LeftOutDto {
            name: &drive.name,
            path: drive.path.display().to_string(),
            reason,
        })
        .collect()
}

/// The document of `list`.
pub fn of_drives(exit_code: u8, drives: &[Drive], error: Option<&Error>) -> String {
    print(&Document {
        schema: SCHEMA,
        unmoor: env!("CARGO_PKG_VERSION"),
        command: "list",
        exit_code,
        targets: None,
        left_out: None,
        drives: Some(drives.iter().map(DriveDto::from).collect()),
        ports: None,
        error: error.map(ErrorDto::from),
    })
}

/// The document of `attach` without a port.
pub fn of_ports(exit_code: u8, ports: &[Port], error: Option<&Error>) -> String {
    let ports = ports.iter().map(|p| PortDto { port: &p.name, bus: names::bus(p.bus) }).collect();
    print(&Document {
        schema: SCHEMA,
        unmoor: env!("CARGO_PKG_VERSION"),
        command: "attach",
        exit_code,
        targets: None,
        left_out: None,
        drives: None,
        ports: Some(ports),
        error: error.map(ErrorDto::from),
    })
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

fn print(document: &Document<'_>) -> String {
    serde_json::to_string_pretty(document).expect("strings, numbers and lists are always JSON")
}

impl<'a> From<&'a TargetResult> for TargetDto<'a> {
    fn from(answer: &'a TargetResult) -> Self {
        TargetDto {
            target: plain(&answer.target),
            target_bytes: bytes_of(&answer.target),
            outcome: answer.outcome.name(),
            exit_code: answer.outcome.exit_code(),
            message: &answer.message,
            help: answer.help.as_deref(),
            drive: answer.drive.as_ref().map(DriveDto::from),
            action: answer.action.map(|a| a.name()),
            medium_after: answer.medium_after.map(names::presence),
            steps: answer.steps.iter().map(StepDto::from).collect(),
            blockers: answer
                .scan
                .iter()
                .flat_map(|scan| &scan.blockers)
                .map(BlockerDto::from)
                .collect(),
            scan: answer.scan.as_ref().map(ScanDto::from),
            ended: answer.ended.iter().map(TerminationDto::from).collect(),
            warnings: &answer.warnings,
            lost: answer.lost.iter().map(ErrorDto::from).collect(),
            error: answer.error.as_ref().map(ErrorDto::from),
        }
    }
}

impl<'a> From<&'a StepReport> for StepDto<'a> {
    fn from(step: &'a StepReport) -> Self {
        StepDto {
            step: step.step.name(),
            status: step.status.name(),
            ms: step.took.as_micros() as f64 / 1000.0,
            reason: steps::reason(step),
            attempts: step.attempts.iter().map(AttemptDto::from).collect(),
        }
    }
}

impl<'a> From<&'a Attempt> for AttemptDto<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        AttemptDto { method: &attempt.method, ok: attempt.ok, detail: attempt.detail.as_deref() }
    }
}

impl From<&Error> for ErrorDto {
    fn from(error: &Error) -> Self {
        ErrorDto {
            kind: names::error(error.kind()),
            message: error.to_string(),
            step: error.step().map(|s| s.name()),
            os_code: error.os_code(),
        }
    }
}

/// The contract's word for what sort of drive this is.
pub fn kind_of(drive: &Drive) -> &'static str {
    names::drive_kind(drive.kind)
}

/// The contract's word for how it is attached.
pub fn bus_of(drive: &Drive) -> &'static str {
    bus(drive.bus)
}

/// The contract's word for a bus.
pub fn bus(bus: Bus) -> &'static str {
    names::bus(bus)
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
