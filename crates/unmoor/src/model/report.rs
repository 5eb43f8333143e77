//! The report of an operation: its steps, warnings and outcome.

use crate::model::blocker::Process;
use crate::model::drive::{Drive, Presence};
use crate::model::error::{Error, ErrorKind, Result};
#[cfg(feature = "serde")]
use crate::model::serialize;
use crate::model::step::Action;
use crate::model::step::{Attempt, Status, Step};
use std::time::Duration;

/// Report of an operation on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// Target of the operation.
    pub target: String,
    /// The drive before the operation; `None` if the target was not resolved.
    pub drive: Option<Drive>,
    /// Action that follows the dismount.
    pub action: Option<Action>,
    /// Steps, in the order they were carried out.
    pub steps: Vec<StepReport>,
    /// State that the verification found.
    pub medium_after: Option<Presence>,
    /// Processes that were terminated, and how each ended.
    pub ended: Vec<Termination>,
    /// Problems that did not stop the operation.
    pub warnings: Vec<String>,
    /// Unwritten data that was discarded, as errors. The data is not on the drive.
    ///
    /// [`Options::discard_unwritten`](crate::Options::discard_unwritten) allowed that. Each is among the
    /// warnings too.
    pub lost: Vec<Error>,
    /// Outcome of the operation.
    pub outcome: Outcome,
}

/// Outcome of an operation.
///
/// The list is closed on purpose: a program must not mistake a new outcome for success.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Outcome {
    /// Every planned step was carried out, and verified as far as possible.
    Completed,
    /// Nothing was carried out. The steps are the plan.
    Planned,
    /// The operation failed with this error.
    Failed(Error),
}

impl Report {
    /// Returns the report of an operation on `target` that has done nothing yet.
    pub(crate) fn new(target: String) -> Self {
        Report {
            target,
            drive: None,
            action: None,
            steps: Vec::new(),
            medium_after: None,
            ended: Vec::new(),
            warnings: Vec::new(),
            lost: Vec::new(),
            outcome: Outcome::Planned,
        }
    }

    /// Returns the report, or the error that the operation failed with.
    ///
    /// # Errors
    /// [`Report::error`].
    pub fn into_result(self) -> Result<Report> {
        match self.outcome {
            Outcome::Failed(error) => Err(error),
            _ => Ok(self),
        }
    }

    /// Returns the kind of the error that the operation failed with.
    pub fn error_kind(&self) -> Option<ErrorKind> {
        self.error().map(Error::kind)
    }

    /// Returns the error that the operation failed with.
    pub fn error(&self) -> Option<&Error> {
        match &self.outcome {
            Outcome::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the report of this step, if it was reached.
    ///
    /// That of a step that was repeated is the last one.
    pub fn step(&self, step: Step) -> Option<&StepReport> {
        self.steps.iter().rfind(|s| s.step == step)
    }
}

/// Termination of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Termination {
    /// The process.
    pub process: Process,
    /// Result of the termination.
    #[cfg_attr(feature = "serde", serde(rename = "how"))]
    pub result: TerminationResult,
}

/// Result of the termination of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TerminationResult {
    /// Exited when asked to (SIGTERM, WM_CLOSE).
    Exited,
    /// Killed after the grace period. Its unsaved data is lost.
    Killed,
    /// Asked to exit, but not waited for: the time ran out, or the operation was cancelled.
    Signaled,
    /// Still there: the kernel has not removed it, or it is a service, which is not killed.
    Unkillable,
}

impl TerminationResult {
    /// Returns the name of the result in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            TerminationResult::Exited => "terminated",
            TerminationResult::Killed => "killed",
            TerminationResult::Signaled => "asked",
            TerminationResult::Unkillable => "remains",
        }
    }
}

/// Outcome of a step that did not fail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepOutcome {
    /// Reason why there was nothing to do; `None` if the step was carried out.
    pub skipped: Option<String>,
    /// Note on what was done.
    pub note: Option<String>,
    /// Methods that were tried, in order.
    pub attempts: Vec<Attempt>,
    /// Problems that did not stop the step.
    pub warnings: Vec<String>,
    /// Unwritten data that was discarded, as errors.
    pub discarded: Vec<Error>,
    /// Volumes that a forced dismount could not cut off.
    ///
    /// Programs that have files open there can write to the drive as long as the medium is in it.
    pub still_writable: Vec<String>,
}

impl StepOutcome {
    /// Returns the outcome of a step without anything to do, and the reason.
    pub fn skipped(why: impl Into<String>) -> Self {
        StepOutcome { skipped: Some(why.into()), ..StepOutcome::default() }
    }

    /// Returns the outcome of a step that this method carried out.
    pub fn via(attempt: Attempt) -> Self {
        StepOutcome { attempts: vec![attempt], ..StepOutcome::default() }
    }

    /// Sets the note.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Adds a warning.
    #[must_use]
    pub fn with_warning(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    /// Adds unwritten data that was discarded.
    #[must_use]
    pub fn with_discarded(mut self, error: Error) -> Self {
        self.discarded.push(error);
        self
    }

    /// Adds the outcome of another part of the same step.
    ///
    /// The step counts as skipped only if all its parts were.
    pub fn merge(&mut self, other: StepOutcome) {
        let nothing_yet = *self == StepOutcome::default();
        self.skipped = match (self.skipped.take(), other.skipped) {
            (Some(mine), Some(_)) => Some(mine),
            (None, theirs) if nothing_yet => theirs,
            _ => None,
        };
        self.note = match (self.note.take(), other.note) {
            (Some(mine), Some(theirs)) if mine.contains(&theirs) => Some(mine),
            (Some(mine), Some(theirs)) => Some(format!("{mine}; {theirs}")),
            (mine, theirs) => mine.or(theirs),
        };
        self.attempts.extend(other.attempts);
        self.warnings.extend(other.warnings);
        self.discarded.extend(other.discarded);
        self.still_writable.extend(other.still_writable);
    }
}

/// Report of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StepReport {
    /// The step.
    pub step: Step,
    /// Status of the step.
    pub status: Status,
    /// Time that the step took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "ms", serialize_with = "serialize::milliseconds")
    )]
    pub took: Duration,
    /// Reason why the step was skipped or failed, or a note on what was done.
    pub reason: Option<String>,
    /// Methods that were tried, in order.
    pub attempts: Vec<Attempt>,
}
