//! What the command has to say about one target, whether to a person or in JSON.

use crate::command_kind::CommandKind;
use crate::messages;
use crate::outcome::Outcome;
use std::ffi::OsString;
use unmoor::{Action, BlockerScan, Drive, Error, Presence, Report, StepReport, Termination};

/// What came of one target.
pub struct TargetResult {
    /// As it was given.
    pub target: OsString,
    pub outcome: Outcome,
    /// One sentence.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// The drive as it was before.
    pub drive: Option<Drive>,
    pub action: Option<Action>,
    pub medium_after: Option<Presence>,
    pub steps: Vec<StepReport>,
    /// What is in the way, where that was looked for.
    pub scan: Option<BlockerScan>,
    /// The programs that were told to end.
    pub ended: Vec<Termination>,
    pub warnings: Vec<String>,
    /// What could not be written and was given up.
    pub lost: Vec<Error>,
    pub error: Option<Error>,
}

impl TargetResult {
    /// Puts the library's report into words.
    pub fn from_report(target: OsString, verb: CommandKind, report: Report) -> TargetResult {
        let outcome = match &report.outcome {
            unmoor::Outcome::Planned => Outcome::Planned,
            unmoor::Outcome::Completed if matches!(verb, CommandKind::Eject(_)) => {
                Outcome::Released
            }
            unmoor::Outcome::Completed => Outcome::Done,
            unmoor::Outcome::Failed(error) => Outcome::from(error),
        };
        let message = messages::message(verb, &report);
        let way_back = messages::reattach_hint(&report);
        let Report {
            drive, action, steps, medium_after, ended, warnings, lost, outcome: end, ..
        } = report;
        let error = match end {
            unmoor::Outcome::Failed(error) => Some(error),
            _ => None,
        };
        let help =
            error.as_ref().and_then(|e| messages::help(verb, &target, e, &steps)).or(way_back);
        let scan = error.as_ref().and_then(|e| e.scan().cloned());
        TargetResult {
            target,
            outcome,
            message,
            help,
            drive,
            action,
            medium_after,
            steps,
            scan,
            ended,
            warnings,
            lost,
            error,
        }
    }

    /// An answer without a report: it stopped at this error, or was never begun.
    pub fn from_error(
        target: OsString,
        verb: CommandKind,
        drive: Option<Drive>,
        error: Error,
    ) -> TargetResult {
        TargetResult {
            outcome: Outcome::from(&error),
            message: messages::failure(drive.as_ref(), &error),
            help: messages::help(verb, &target, &error, &[]),
            target,
            drive,
            action: None,
            medium_after: None,
            steps: Vec::new(),
            scan: error.scan().cloned(),
            ended: Vec::new(),
            warnings: Vec::new(),
            lost: Vec::new(),
            error: Some(error),
        }
    }
}
