//! One procedure under way on one drive: every step it takes is told, and written down in its report.

pub(crate) use crate::release::steps::LockState;

use crate::model::drive::Drive;
use crate::model::error::{Error, Result};
use crate::model::report::Event;
use crate::model::report::Outcome;
use crate::model::report::Report;
use crate::model::report::StepOutcome;
use crate::model::report::StepReport;
use crate::model::step::Status;
use crate::model::step::Step;
use crate::model::target::Target;
use crate::options::Options;
use crate::platform::Platform;
use crate::policy::plan::PlannedStep;
use crate::release::opened::{Opened, StageError};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// One procedure under way: what it works on, and the report it writes.
pub(crate) struct DriveOperation<'r> {
    pub(crate) platform: &'r dyn Platform,
    pub(crate) target: &'r Target,
    pub(crate) options: Options,
    pub(crate) ear: SharedHandler<'r>,
    /// When the whole call began: its timeout counts from there.
    pub(crate) start: Duration,
    /// It had to wait for something that was in the way.
    pub(crate) had_to_wait: Rc<Cell<bool>>,
    /// Drives of the same device, which a power-off takes along: held as long as this run.
    pub(crate) siblings: Vec<Opened<'r>>,
    pub(crate) report: Report,
}

/// Who is told, shared by a run and the drive that it has open.
pub(crate) type SharedHandler<'r> = Rc<RefCell<dyn FnMut(&Event<'_>) + 'r>>;

impl<'r> DriveOperation<'r> {
    pub(crate) fn new(
        platform: &'r dyn Platform,
        target: &'r Target,
        options: &Options,
        ear: SharedHandler<'r>,
        start: Duration,
    ) -> Self {
        DriveOperation {
            platform,
            target,
            options: options.clone(),
            ear,
            start,
            had_to_wait: Rc::default(),
            siblings: Vec::new(),
            report: Report {
                target: target.to_string(),
                drive: None,
                action: None,
                steps: Vec::new(),
                medium_after: None,
                ended: Vec::new(),
                warnings: Vec::new(),
                lost: Vec::new(),
                outcome: Outcome::Planned,
            },
        }
    }

    /// The report of a run that is over.
    pub(crate) fn finish(mut self, outcome: Result<Outcome>) -> Report {
        self.report.outcome = outcome.unwrap_or_else(Outcome::Failed);
        self.report
    }

    /// The report of a run that came to this.
    pub(crate) fn fail(self, error: Error) -> Report {
        self.finish(Err(error))
    }

    pub(crate) fn resolve(&mut self) -> Result<Drive> {
        let (platform, target) = (self.platform, self.target);
        let drive = self.step(Step::Resolve, || {
            let drive = platform.resolve(target)?;
            let note = drive.path.display().to_string();
            Ok((drive, StepOutcome::default().with_note(note)))
        });
        let drive = drive.map_err(|e| e.with_step(Step::Resolve))?;
        self.report.drive = Some(drive.clone());
        Ok(drive)
    }

    /// The moment by which everything must be over, if one was given.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.options.timeout.map(|timeout| self.start + timeout)
    }

    pub(crate) fn open(&mut self, drive: Drive) -> Result<Opened<'r>> {
        let (ear, waited) = (self.ear.clone(), self.had_to_wait.clone());
        let mut opened = Opened::open(self.platform, drive, &self.options)?
            .started_at(self.start)
            .with_events(Box::new(move |event| {
                waited.set(waited.get() || matches!(event, Event::Waiting { .. }));
                (ear.borrow_mut())(event);
            }));
        // Whoever may not work on it is told before anything is begun.
        opened.check()?;
        Ok(opened)
    }

    /// Carries out one step and writes it down.
    pub(crate) fn step<T>(
        &mut self,
        step: Step,
        run: impl FnOnce() -> Result<(T, StepOutcome)>,
    ) -> Result<T> {
        self.recorded_step(step, run)
    }

    /// As [`Run::step`], for stages that give the drive back when they halt.
    pub(crate) fn recorded_step<T, E: AsError>(
        &mut self,
        step: Step,
        run: impl FnOnce() -> Result<(T, StepOutcome), E>,
    ) -> Result<T, E> {
        self.emit(&Event::Started(step));
        let start = self.platform.now();
        let result = run();
        let took = self.platform.now().saturating_sub(start);
        let (result, written) = match result {
            Ok((value, done)) => {
                for warning in &done.warnings {
                    self.warn(warning.clone());
                }
                for lost in &done.discarded {
                    self.record_discarded(lost.clone());
                }
                (Ok(value), finished(step, took, done))
            }
            Err(halted) => {
                let failed = failed(step, took, halted.as_error());
                (Err(halted), failed)
            }
        };
        self.emit(&Event::Finished(&written));
        self.report.steps.push(written);
        result
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.emit(&Event::Warning(&warning));
        self.report.warnings.push(warning);
    }

    /// What this error says is lost, at the user's wish.
    pub(crate) fn record_discarded(&mut self, error: Error) {
        self.warn(format!("{error}; discarded as requested"));
        self.report.lost.push(error);
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        (self.ear.borrow_mut())(event);
    }
}

/// What a failed step holds its reason in.
pub(crate) trait AsError {
    fn as_error(&self) -> &Error;
}

impl AsError for Error {
    fn as_error(&self) -> &Error {
        self
    }
}

impl AsError for StageError<'_> {
    fn as_error(&self) -> &Error {
        &self.error
    }
}

fn finished(step: Step, took: Duration, done: StepOutcome) -> StepReport {
    StepReport {
        step,
        status: if done.skipped.is_some() { Status::Skipped } else { Status::Done },
        took,
        reason: done.skipped.or(done.note),
        attempts: done.attempts,
    }
}

fn failed(step: Step, took: Duration, error: &Error) -> StepReport {
    StepReport {
        step,
        status: Status::Failed,
        took,
        reason: Some(error.to_string()),
        attempts: error.attempts().to_vec(),
    }
}

/// A planned step, as a report shows it.
pub(crate) fn planned(step: &PlannedStep) -> StepReport {
    let what = (!step.what.is_empty()).then(|| step.what.join(", "));
    let reason = match (what, &step.note) {
        (Some(what), Some(note)) => Some(format!("{what} ({note})")),
        (what, note) => what.or_else(|| note.clone()),
    };
    StepReport {
        step: step.step,
        status: if step.what.is_empty() { Status::Skipped } else { Status::Planned },
        took: Duration::ZERO,
        reason,
        attempts: Vec::new(),
    }
}
