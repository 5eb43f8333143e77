//! The result of one target, for people and for JSON.

use crate::command_kind::CommandKind;
use crate::messages;
use crate::outcome::Outcome;
use crate::steps;
use std::ffi::OsString;
use unmoor::{Action, BlockerScan, Drive, Error, Presence, Report, StepReport, Termination};

/// Result of one target.
pub struct TargetResult {
    /// Target as typed.
    pub target: OsString,
    pub outcome: Outcome,
    /// One sentence.
    pub message: String,
    /// Next step for the user.
    pub help: Option<String>,
    /// Drive as it was before.
    pub drive: Option<Drive>,
    pub action: Option<Action>,
    pub medium_after: Option<Presence>,
    pub steps: Vec<StepReport>,
    /// Blockers, if they were scanned for.
    pub scan: Option<BlockerScan>,
    /// Programs that were terminated.
    pub ended: Vec<Termination>,
    pub warnings: Vec<String>,
    /// Data that could not be written and was discarded.
    pub lost: Vec<Error>,
    pub error: Option<Error>,
}

impl TargetResult {
    /// Converts the library's report.
    pub fn from_report(target: OsString, command: CommandKind, report: Report) -> TargetResult {
        let outcome = match &report.outcome {
            unmoor::Outcome::Planned => Outcome::Planned,
            unmoor::Outcome::Completed if matches!(command, CommandKind::Eject(_)) => {
                Outcome::Released
            }
            unmoor::Outcome::Completed => Outcome::Done,
            unmoor::Outcome::Failed(error) => Outcome::from(error),
        };
        let message = messages::message(command, &report);
        let way_back = messages::reattach_hint(&report);
        let Report {
            drive,
            action,
            mut steps,
            medium_after,
            ended,
            warnings,
            lost,
            outcome: end,
            ..
        } = report;
        for step in &mut steps {
            step.reason = steps::reason(step).map(String::from);
        }
        let error = match end {
            unmoor::Outcome::Failed(error) => Some(error),
            _ => None,
        };
        let help = error.as_ref().and_then(|e| messages::help(command, e, &steps)).or(way_back);
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

    /// Returns a result without a report: the target failed early or was never started.
    pub fn from_error(
        target: OsString,
        command: CommandKind,
        drive: Option<Drive>,
        error: Error,
    ) -> TargetResult {
        TargetResult {
            outcome: Outcome::from(&error),
            message: messages::failure(drive.as_ref(), &error),
            help: messages::help(command, &error, &[]),
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
