//! What a release reports: its steps, while it runs (events) and when it is over (the report).

use crate::model::blocker::Process;
use crate::model::drive::{Drive, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::step::Action;
use crate::model::step::{Attempt, Status, Step};
use std::time::Duration;

/// What came of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The target, as it was given.
    pub target: String,
    /// The drive as it was before; `None` when the target was not found.
    pub drive: Option<Drive>,
    /// What the plan does once everything is dismounted.
    pub action: Option<Action>,
    /// The steps, in the order they were carried out.
    pub steps: Vec<StepReport>,
    /// What the verification saw.
    pub medium_after: Option<Presence>,
    /// The programs that were told to end, and what came of it.
    pub ended: Vec<Termination>,
    /// What the user should know all the same.
    pub warnings: Vec<String>,
    /// What could not be written, and was given up because the options say so
    /// ([`Options::discard_unwritten`](crate::Options::discard_unwritten)): it is not on the drive. Each
    /// is told as a warning too.
    pub lost: Vec<Error>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an operation ended.
///
/// The list is closed on purpose: a program must not mistake a new outcome for success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was planned was done, and was seen to have happened.
    Completed,
    /// Nothing was carried out: the steps are the plan.
    Planned,
    /// It stopped at an error.
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

    /// The error it stopped at.
    pub fn error(&self) -> Option<&Error> {
        match &self.outcome {
            Outcome::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The step of this name, if it was reached.
    pub fn step(&self, step: Step) -> Option<&StepReport> {
        self.steps.iter().find(|s| s.step == step)
    }
}

/// What came of one program that was to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Termination {
    /// Which.
    pub process: Process,
    /// How it ended, or not.
    pub result: TerminationResult,
}

/// How a program ended, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TerminationResult {
    /// It was asked to, and did.
    Exited,
    /// It was asked to, did not within its time, and was made to: what it had not saved is lost.
    Killed,
    /// It was asked to; nobody waited for the end, because the time ran out or the user wished to stop.
    Signaled,
    /// It was made to, and is still there: the kernel does not let go of it.
    Unkillable,
}

impl TerminationResult {
    /// Its name, as in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            TerminationResult::Exited => "terminated",
            TerminationResult::Killed => "killed",
            TerminationResult::Signaled => "asked",
            TerminationResult::Unkillable => "remains",
        }
    }
}

/// What a step that did not fail has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepOutcome {
    /// Why there was nothing to do; `None` when it was done.
    pub skipped: Option<String>,
    /// What it did, for a person.
    pub note: Option<String>,
    /// Every method tried.
    pub attempts: Vec<Attempt>,
    /// What the user should know all the same.
    pub warnings: Vec<String>,
    /// What could not be written, and was given up because the options say so.
    pub discarded: Vec<Error>,
    /// What was forced and could not be cut off: programs that have it open can write to the drive for as
    /// long as the medium is in it.
    pub still_writable: Vec<String>,
}

impl StepOutcome {
    /// There was nothing to do, and why.
    pub fn skipped(why: impl Into<String>) -> Self {
        StepOutcome { skipped: Some(why.into()), ..StepOutcome::default() }
    }

    /// It was done by this method.
    pub fn via(attempt: Attempt) -> Self {
        StepOutcome { attempts: vec![attempt], ..StepOutcome::default() }
    }

    /// Says what it did.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Says what the user should know all the same.
    #[must_use]
    pub fn with_warning(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    /// Says what could not be written and was given up.
    #[must_use]
    pub fn with_discarded(mut self, error: Error) -> Self {
        self.discarded.push(error);
        self
    }

    /// Takes in what another part of the same step has to say. The step counts as skipped only when
    /// all its parts were.
    pub fn merge(&mut self, other: StepOutcome) {
        let nothing_yet = *self == StepOutcome::default();
        self.skipped = match (self.skipped.take(), other.skipped) {
            (Some(mine), Some(_)) => Some(mine),
            (None, theirs) if nothing_yet => theirs,
            _ => None,
        };
        self.note = match (self.note.take(), other.note) {
            (Some(mine), Some(theirs)) => Some(format!("{mine}; {theirs}")),
            (mine, theirs) => mine.or(theirs),
        };
        self.attempts.extend(other.attempts);
        self.warnings.extend(other.warnings);
        self.discarded.extend(other.discarded);
        self.still_writable.extend(other.still_writable);
    }
}

/// One step, as it was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepReport {
    /// Which.
    pub step: Step,
    /// How it ended.
    pub status: Status,
    /// How long it took.
    pub took: Duration,
    /// Why it was skipped, how it failed, or what it did.
    pub reason: Option<String>,
    /// Every method tried.
    pub attempts: Vec<Attempt>,
}
