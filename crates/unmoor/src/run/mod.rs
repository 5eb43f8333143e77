//! One procedure under way on one drive: every step it takes is told, and written down in its report.

mod making_room;
mod releasing;
mod siblings;
mod verbs;

pub(crate) use releasing::Ready;

use crate::drive::Drive;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::plan::PlannedStep;
use crate::platform::Platform;
use crate::report::{Done, Event, Outcome, Report, Status, Step, StepReport};
use crate::stages::{Halted, Opened};
use crate::target::Target;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// One procedure under way: what it works on, and the report it writes.
pub(crate) struct Run<'r> {
    pub(crate) platform: &'r dyn Platform,
    pub(crate) target: &'r Target,
    pub(crate) options: Options,
    ear: Ear<'r>,
    /// When the whole call began: its timeout counts from there.
    start: Duration,
    /// It had to wait for something that was in the way.
    pub(crate) waited: Rc<Cell<bool>>,
    /// Drives of the same device, which a power-off takes along: held as long as this run.
    siblings: Vec<Opened<'r>>,
    pub(crate) report: Report,
}

/// Who is told, shared by a run and the drive that it has open.
pub(crate) type Ear<'r> = Rc<RefCell<dyn FnMut(&Event<'_>) + 'r>>;

impl<'r> Run<'r> {
    pub(crate) fn new(
        platform: &'r dyn Platform,
        target: &'r Target,
        options: &Options,
        ear: Ear<'r>,
        start: Duration,
    ) -> Self {
        Run {
            platform,
            target,
            options: options.clone(),
            ear,
            start,
            waited: Rc::default(),
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
    pub(crate) fn over(mut self, outcome: Result<Outcome>) -> Report {
        self.report.outcome = outcome.unwrap_or_else(Outcome::Stopped);
        self.report
    }

    /// The report of a run that came to this.
    pub(crate) fn stopped(self, error: Error) -> Report {
        self.over(Err(error))
    }

    pub(crate) fn resolve(&mut self) -> Result<Drive> {
        let (platform, target) = (self.platform, self.target);
        let drive = self.step(Step::Resolve, || {
            let drive = platform.resolve(target)?;
            let note = drive.path.display().to_string();
            Ok((drive, Done::default().with_note(note)))
        });
        let drive = drive.map_err(|e| e.at(Step::Resolve))?;
        self.report.drive = Some(drive.clone());
        Ok(drive)
    }

    /// The moment by which everything must be over, if one was given.
    fn deadline(&self) -> Option<Duration> {
        self.options.timeout.map(|timeout| self.start + timeout)
    }

    pub(crate) fn open(&mut self, drive: Drive) -> Result<Opened<'r>> {
        let (ear, waited) = (self.ear.clone(), self.waited.clone());
        let mut opened = Opened::with(self.platform, drive, &self.options)?
            .since(self.start)
            .observed(Box::new(move |event| {
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
        run: impl FnOnce() -> Result<(T, Done)>,
    ) -> Result<T> {
        self.stage(step, run)
    }

    /// As [`Run::step`], for stages that give the drive back when they halt.
    fn stage<T, E: AsError>(
        &mut self,
        step: Step,
        run: impl FnOnce() -> Result<(T, Done), E>,
    ) -> Result<T, E> {
        self.tell(&Event::Started(step));
        let start = self.platform.now();
        let result = run();
        let took = self.platform.now().saturating_sub(start);
        let (result, written) = match result {
            Ok((value, done)) => {
                for warning in &done.warnings {
                    self.warn(warning.clone());
                }
                for lost in &done.lost {
                    self.give_up(lost.clone());
                }
                (Ok(value), finished(step, took, done))
            }
            Err(halted) => {
                let failed = failed(step, took, halted.as_error());
                (Err(halted), failed)
            }
        };
        self.tell(&Event::Finished(&written));
        self.report.steps.push(written);
        result
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.tell(&Event::Warning(&warning));
        self.report.warnings.push(warning);
    }

    /// What this error says is lost, at the user's wish.
    fn give_up(&mut self, error: Error) {
        self.warn(format!("{error}; discarded at your wish"));
        self.report.lost.push(error);
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        (self.ear.borrow_mut())(event);
    }
}

/// What a failed step holds its reason in.
trait AsError {
    fn as_error(&self) -> &Error;
}

impl AsError for Error {
    fn as_error(&self) -> &Error {
        self
    }
}

impl AsError for Halted<'_> {
    fn as_error(&self) -> &Error {
        &self.error
    }
}

fn finished(step: Step, took: Duration, done: Done) -> StepReport {
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
