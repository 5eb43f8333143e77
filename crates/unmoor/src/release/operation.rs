//! One operation on one target: its options, its events and the report it writes.

use crate::deadline::Deadline;
use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::event::{Event, EventHandler};
use crate::model::hint::Hint;
use crate::model::report::{Outcome, Report, StepOutcome, StepReport};
use crate::model::step::{Action, Status, Step};
use crate::model::target::Target;
use crate::options::Options;
use crate::platform::{Platform, Session};
use crate::policy::plan::{self, Plan, PlannedStep};
use crate::policy::preconditions::check_supported;
use std::time::Duration;

/// An operation in progress, before and while its drive is open.
pub(crate) struct DriveOperation<'p> {
    pub(crate) platform: &'p dyn Platform,
    pub(crate) options: Options,
    /// Position of this operation in its group.
    pub(crate) index: usize,
    pub(crate) report: Report,
    events: Box<EventHandler<'p>>,
    /// Start of the whole call. [`Options::timeout`] counts from it.
    start: Duration,
}

/// A step that has started.
pub(crate) struct StartedStep {
    step: Step,
    at: Duration,
}

impl<'p> DriveOperation<'p> {
    pub(crate) fn new(
        platform: &'p dyn Platform,
        target: String,
        options: &Options,
        events: Box<EventHandler<'p>>,
    ) -> Self {
        DriveOperation {
            platform,
            options: options.clone(),
            index: 0,
            report: Report::new(target),
            events,
            start: platform.now(),
        }
    }

    /// Counts the timeout from `start` instead of now.
    pub(crate) fn started_at(mut self, start: Duration) -> Self {
        self.start = start;
        self
    }

    pub(crate) fn set_events(&mut self, events: Box<EventHandler<'p>>) {
        self.events = events;
    }

    /// Returns an operation on another drive of the same device, which emits no events.
    pub(crate) fn for_sibling(&self, sibling: &Drive) -> Self {
        DriveOperation::new(self.platform, sibling.name.clone(), &self.options, Box::new(|_| {}))
            .started_at(self.start)
    }

    /// Resolves the target and records the drive.
    pub(crate) fn resolve(&mut self, target: &Target) -> Result<Drive> {
        self.resolve_in(Step::Resolve, target, |error| error)
    }

    /// Removes what is left of the drive, and adds to the error what was removed.
    pub(crate) fn remove_remains(&mut self, target: &Target, error: Error) -> Error {
        let (platform, end) = (self.platform, self.end_of_step());
        let removed = self.with_deadline(end, |deadline| platform.remove_remains(target, deadline));
        match removed {
            Ok(done) if done.skipped.is_some() => error,
            Ok(done) => {
                let parts: Vec<String> =
                    done.attempts.iter().filter_map(|attempt| attempt.detail.clone()).collect();
                let _ = self.step(Step::Dismount, |_| Ok(done));
                let why = "what was not written to it before is lost";
                Error::new(error.kind(), error.subject(), "the drive it was on is gone")
                    .append_detail(why)
                    .append_detail(format!("removed what was left of it: {}", parts.join(", ")))
                    .with_step(Step::Resolve)
            }
            Err(failed) => error.append_detail(format!("it could not be removed: {failed}")),
        }
    }

    /// Resolves the target as this step.
    pub(crate) fn resolve_in(
        &mut self,
        step: Step,
        target: &Target,
        map_error: impl FnOnce(Error) -> Error,
    ) -> Result<Drive> {
        let started = self.begin(step);
        let resolved = match self.options.only_volume {
            true => self.platform.resolve_volume(target),
            false => self.platform.resolve(target),
        };
        let resolved = resolved.map_err(map_error);
        let outcome = resolved.as_ref().map_err(Clone::clone).map(path_note);
        self.finish_step(started, outcome)?;
        let drive = resolved?;
        self.report.drive = Some(drive.clone());
        Ok(drive)
    }

    /// Makes the plan and records its action; for a dry run, its steps too.
    ///
    /// A dry run fails for a drive that is not exclusive; a release waits for it at the lock.
    pub(crate) fn plan(&mut self, drive: &Drive, dry_run: bool) -> Result<Plan> {
        let methods = |action| self.platform.methods(drive, action);
        let plan = match dry_run {
            true => plan::plan(drive, &self.options, methods),
            false => plan::plan_ignoring_busy(drive, &self.options, methods),
        };
        let mut plan = plan.map_err(|e| e.with_step(Step::Resolve))?;
        self.check_supported(drive)?;
        self.report.action = Some(plan.action);
        self.report.steps.truncate(1);
        if dry_run {
            if plan.action == Action::PowerOff {
                plan.set_siblings(&self.unrequested_siblings(drive)?);
            }
            self.report.steps.extend(plan.steps.iter().map(planned));
        }
        Ok(plan)
    }

    /// Fails if the platform lacks something that the options ask for.
    pub(crate) fn check_supported(&self, drive: &Drive) -> Result<()> {
        let (offline, kill) = (self.platform.supports_offline(), self.platform.can_terminate());
        let services = self.platform.can_stop_services();
        check_supported(drive, &self.options, offline, kill, services)
            .map_err(|e| e.with_step(Step::Resolve))
    }

    /// Opens a session of the drive.
    pub(crate) fn open_session(&mut self, drive: &Drive) -> Result<Box<dyn Session + 'p>> {
        let platform = self.platform;
        let session =
            self.with_deadline(self.end_of_step(), |deadline| platform.open(drive, deadline));
        let mut session =
            session.map_err(|e| e.with_subject(&drive.name).with_step(Step::Resolve))?;
        session.set_offline(self.options.offline);
        Ok(session)
    }

    /// Moment at which [`Options::timeout`] expires.
    pub(crate) fn end(&self) -> Option<Duration> {
        self.options.timeout.map(|timeout| self.start + timeout)
    }

    /// Moment at which a step that starts now has to end.
    pub(crate) fn end_of_step(&self) -> Duration {
        self.end().unwrap_or_else(|| self.platform.now() + Options::DEFAULT_STEP_TIMEOUT)
    }

    /// Runs `work` with a deadline at `end`. Its progress is emitted as events.
    pub(crate) fn with_deadline<T>(
        &mut self,
        end: Duration,
        work: impl FnOnce(&mut Deadline<'_>) -> T,
    ) -> T {
        let events = &mut self.events;
        let mut on_progress = |remaining| events(Event::Flushing { remaining });
        work(&mut Deadline::until(self.platform, end, &self.options.cancel, &mut on_progress))
    }

    /// Runs one step with its deadline and records its outcome.
    ///
    /// Without [`Options::timeout`], flushing and dismounting may take as long as bytes still move.
    pub(crate) fn step(
        &mut self,
        step: Step,
        work: impl FnOnce(&mut Deadline<'_>) -> Result<StepOutcome>,
    ) -> Result<StepOutcome> {
        let started = self.begin(step);
        let end = self.end_of_step();
        let events = &mut self.events;
        let mut on_progress = |remaining| events(Event::Flushing { remaining });
        let mut deadline =
            Deadline::until(self.platform, end, &self.options.cancel, &mut on_progress);
        if self.options.timeout.is_none() && matches!(step, Step::Flush | Step::Dismount) {
            deadline = deadline.extend_on_progress(Options::DEFAULT_STEP_TIMEOUT);
        }
        let outcome = work(&mut deadline);
        self.finish_step(started, outcome)
    }

    /// Starts a step that is not a single call of [`DriveOperation::step`].
    pub(crate) fn begin(&mut self, step: Step) -> StartedStep {
        self.emit(Event::Started(step));
        StartedStep { step, at: self.platform.now() }
    }

    /// Records the outcome of a step.
    pub(crate) fn finish_step(
        &mut self,
        StartedStep { step, at }: StartedStep,
        outcome: Result<StepOutcome>,
    ) -> Result<StepOutcome> {
        let took = self.platform.now().saturating_sub(at);
        let outcome = outcome.map_err(|error| self.located(error, step));
        if let Ok(outcome) = &outcome {
            outcome.warnings.iter().for_each(|warning| self.warn(warning.clone()));
            outcome.discarded.iter().for_each(|error| self.record_discarded(error.clone()));
        }
        self.record(match &outcome {
            Ok(outcome) => finished(step, took, outcome),
            Err(error) => failed(step, took, error),
        });
        outcome
    }

    /// Records a step that the options leave out.
    pub(crate) fn skip(&mut self, step: Step) -> StepOutcome {
        self.emit(Event::Started(step));
        self.record(StepReport {
            step,
            status: Status::NotRequested,
            took: Duration::ZERO,
            reason: None,
            attempts: Vec::new(),
        });
        StepOutcome::skipped("not requested")
    }

    fn record(&mut self, step: StepReport) {
        self.emit(Event::Finished(step.clone()));
        self.report.steps.push(step);
    }

    fn located(&self, error: Error, step: Step) -> Error {
        let subject = self.report.drive.as_ref().map_or(&self.report.target, |drive| &drive.name);
        error.with_subject(subject).with_step(step)
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.emit(Event::Warning(warning.clone()));
        self.report.warnings.push(warning);
    }

    /// Records data that is lost because the options discard it.
    pub(crate) fn record_discarded(&mut self, error: Error) {
        self.warn(format!("{error}; discarded"));
        self.report.lost.push(error);
    }

    pub(crate) fn emit(&mut self, event: Event) {
        (self.events)(event);
    }

    pub(crate) fn check_cancelled(&self) -> Result<()> {
        self.options.cancel.check()
    }

    pub(crate) fn finish(mut self, outcome: Result<Outcome>) -> Report {
        // Force was in vain: it is no advice.
        let is_vain = |error: &Error| {
            self.options.force && error.kind() == ErrorKind::Busy && error.hint().is_none()
        };
        self.report.outcome = outcome.unwrap_or_else(|error| {
            Outcome::Failed(match is_vain(&error) {
                true => error.with_hint(Hint::CloseOrWait),
                false => error,
            })
        });
        self.report
    }

    pub(crate) fn fail(self, error: Error) -> Report {
        self.finish(Err(error))
    }
}

fn path_note(drive: &Drive) -> StepOutcome {
    StepOutcome::default().with_note(drive.path.display().to_string())
}

fn finished(step: Step, took: Duration, outcome: &StepOutcome) -> StepReport {
    StepReport {
        step,
        status: if outcome.skipped.is_some() { Status::Skipped } else { Status::Done },
        took,
        reason: outcome.skipped.as_ref().or(outcome.note.as_ref()).cloned(),
        attempts: outcome.attempts.clone(),
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

/// Returns a planned step as a report shows it.
pub(crate) fn planned(step: &PlannedStep) -> StepReport {
    let what = (!step.what.is_empty()).then(|| step.what.join(", "));
    let status = match (step.requested, &what) {
        (false, _) => Status::NotRequested,
        (true, Some(_)) => Status::Planned,
        (true, None) => Status::Skipped,
    };
    let reason = match (what, &step.note) {
        (Some(what), Some(note)) => Some(format!("{what} ({note})")),
        (what, note) => what.or_else(|| note.clone()),
    };
    StepReport { step: step.step, status, took: Duration::ZERO, reason, attempts: Vec::new() }
}
