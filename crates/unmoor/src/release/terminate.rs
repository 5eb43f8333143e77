//! Terminating the processes that block a drive: confirm, SIGTERM, wait, SIGKILL.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, BlockerScan, Process};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::{StepOutcome, Termination, TerminationResult};
use crate::model::step::{Attempt, Step};
use crate::options::{Confirm, Kill, Options, PromptFn};
use crate::platform::{Platform, ProcessHandle};
use crate::policy::overrides::is_kill_futile;
use crate::release::open_drive::OpenDrive;
use std::time::Duration;

/// Number of times that blockers are terminated before the release gives up.
const MAX_ATTEMPTS: usize = 3;

/// Interval between checks whether a process has exited.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Time for a killed process to release everything: a disk that it writes to may be slow.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Time for the user to answer where no timeout was given.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A process that was signaled.
struct Pending<'p> {
    process: Box<dyn ProcessHandle + 'p>,
    /// Index of its [`Termination`].
    at: usize,
}

impl OpenDrive<'_> {
    /// Locks the drive; by force if the options allow it.
    pub(crate) fn lock_or_force(&mut self) -> Result<()> {
        self.lock_or_terminate().or_else(|error| self.force_or_fail(error))
    }

    /// Locks the drive. With [`Options::kill`], terminates what blocks it and tries again.
    fn lock_or_terminate(&mut self) -> Result<()> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(kill) = self.operation.options.kill.clone() else { break };
            match self.lock() {
                Err(error) if error.kind() == ErrorKind::Busy => {
                    self.terminate_blockers(error, &kill)?;
                }
                locked => return locked.map(drop),
            }
        }
        self.lock().map(drop)
    }

    /// Terminates the blockers of this error. Fails with the error itself if none was terminated.
    fn terminate_blockers(&mut self, error: Error, kill: &Kill) -> Result<()> {
        let is_unkillable = |t: &Termination| t.result == TerminationResult::Unkillable;
        if self.operation.report.ended.iter().any(is_unkillable) {
            return Err(error);
        }
        let scan = error.scan().cloned().unwrap_or_default();
        match self.terminate_processes(kill, &scan)?.skipped {
            None => Ok(()),
            Some(_) => Err(error),
        }
    }

    /// Terminates the processes of this scan, if nothing else blocks the drive and the user agrees.
    ///
    /// The report lists what became of each, also if the time runs out.
    pub(crate) fn terminate_processes(
        &mut self,
        kill: &Kill,
        scan: &BlockerScan,
    ) -> Result<StepOutcome> {
        let started = self.operation.begin(Step::Kill);
        let outcome = self.session.unlock().and_then(|_| self.terminate(kill, scan));
        self.operation.finish_step(started, outcome)
    }

    fn terminate(&mut self, kill: &Kill, scan: &BlockerScan) -> Result<StepOutcome> {
        self.operation.check_cancelled()?;
        let platform = self.operation.platform;
        if self.operation.end().is_some_and(|end| platform.now() >= end) {
            return Ok(StepOutcome::skipped("the time given is over"));
        }
        if scan.blockers.iter().all(|b| b.kind == BlockerKind::Unknown) {
            // The process may have exited between the refusal and the scan.
            return Ok(StepOutcome::default().with_note("no process was found to terminate"));
        }
        let (targets, mut outcome) = terminable(scan);
        if targets.is_empty() {
            outcome.skipped = Some("no blocker is a process that may be terminated".into());
            return Ok(outcome);
        }
        if is_kill_futile(scan, &self.operation.options) {
            outcome.skipped =
                Some("no process was terminated: the other blockers would remain".into());
            return Ok(outcome);
        }
        let mut processes = processes_of(&targets);
        if let Confirm::Prompt(ask) = &kill.confirm {
            if !self.confirm(ask, &targets)? {
                outcome.skipped = Some("declined".into());
                return Ok(outcome);
            }
            // The answer took its time: processes that exited meanwhile are left out.
            let now = self.blockers();
            let agreed = |b: &&Blocker| targets.iter().any(|target| same_process(target, b));
            processes =
                processes_of(&terminable(&now).0.into_iter().filter(agreed).collect::<Vec<_>>());
        }
        let warnings = outcome.warnings.len();
        let signaled = self.terminate_and_wait(&processes, kill.grace, &mut outcome)?;
        if !signaled && outcome.warnings.len() > warnings {
            outcome.skipped = Some("no process could be terminated".into());
        }
        self.refresh_after_wait()?;
        Ok(outcome)
    }

    fn confirm(&mut self, ask: &PromptFn, targets: &[&Blocker]) -> Result<bool> {
        let OpenDrive { operation, drive, .. } = self;
        let end = operation.end().unwrap_or(operation.platform.now() + CONFIRM_TIMEOUT);
        let agreed = operation.with_deadline(end, |deadline| ask(drive, targets, deadline));
        operation.check_cancelled()?;
        Ok(agreed)
    }

    /// Signals the processes and reports what became of each. Returns true if any was signaled.
    fn terminate_and_wait(
        &mut self,
        processes: &[Process],
        grace: Duration,
        outcome: &mut StepOutcome,
    ) -> Result<bool> {
        let operation = &mut self.operation;
        let platform = operation.platform;
        let end = platform.now() + grace + Options::DEFAULT_STEP_TIMEOUT;
        let mut ended = Vec::new();
        let result = operation.with_deadline(operation.end().unwrap_or(end), |deadline| {
            deadline.check()?;
            let mut pending = open_and_signal(platform, processes, &mut ended, outcome);
            await_exit(deadline, grace, &mut pending, &mut ended, TerminationResult::Exited)?;
            kill(&mut pending, &mut ended, outcome);
            await_exit(deadline, KILL_WAIT, &mut pending, &mut ended, TerminationResult::Killed)?;
            outcome.warnings.extend(pending.iter().map(|one| {
                format!("{} is still there: the system does not end it", ended[one.at].process)
            }));
            Ok(())
        });
        let signaled = !ended.is_empty();
        operation.report.ended.extend(ended);
        result.map(|()| signaled)
    }
}

/// Returns the blockers that may be terminated, and a warning for each of the others.
fn terminable(scan: &BlockerScan) -> (Vec<&Blocker>, StepOutcome) {
    let mut outcome = StepOutcome::default();
    let mut targets = Vec::new();
    for blocker in &scan.blockers {
        match blocker.check_terminable() {
            Ok(_) => targets.push(blocker),
            Err(why) => outcome.warnings.push(format!(
                "{} was not terminated: it {}",
                blocker.description,
                why.reason()
            )),
        }
    }
    (targets, outcome)
}

fn processes_of(blockers: &[&Blocker]) -> Vec<Process> {
    blockers.iter().filter_map(|blocker| blocker.process.clone()).collect()
}

/// Opens each process and asks it to exit. A process that has exited already is left out.
fn open_and_signal<'p>(
    platform: &'p dyn Platform,
    processes: &[Process],
    ended: &mut Vec<Termination>,
    outcome: &mut StepOutcome,
) -> Vec<Pending<'p>> {
    let mut pending = Vec::new();
    for process in processes {
        let signaled = platform.open_process(process).and_then(|handle| {
            handle.map(|mut h| h.terminate().map(|method| (h, method))).transpose()
        });
        match signaled {
            Ok(None) => {}
            Ok(Some((handle, method))) => {
                outcome.attempts.push(Attempt::accepted(method).with_detail(process.to_string()));
                pending.push(Pending { process: handle, at: ended.len() });
                let result = TerminationResult::Signaled;
                ended.push(Termination { process: process.clone(), result });
            }
            Err(error) => outcome.warnings.push(not_terminated(process, &error)),
        }
    }
    pending
}

/// Kills the processes that have not exited.
fn kill(pending: &mut [Pending<'_>], ended: &mut [Termination], outcome: &mut StepOutcome) {
    for Pending { process, at } in pending {
        let Termination { process: who, result } = &mut ended[*at];
        match process.kill() {
            Ok(method) => {
                *result = TerminationResult::Unkillable;
                outcome.attempts.push(Attempt::accepted(method).with_detail(who.to_string()));
            }
            Err(error) => outcome.warnings.push(not_terminated(who, &error)),
        }
    }
}

/// Waits up to `time` for the processes to exit. Removes those that did and records `result` for them.
fn await_exit(
    deadline: &Deadline<'_>,
    time: Duration,
    pending: &mut Vec<Pending<'_>>,
    ended: &mut [Termination],
    result: TerminationResult,
) -> Result<()> {
    let end = deadline.now() + time;
    loop {
        pending.retain_mut(|one| {
            let exited = one.process.has_exited();
            if exited {
                ended[one.at].result = result;
            }
            !exited
        });
        let remaining = end.saturating_sub(deadline.now());
        if pending.is_empty() || remaining.is_zero() {
            return Ok(());
        }
        deadline.sleep(POLL_INTERVAL.min(remaining))?;
    }
}

/// Returns true if both are the same process. The number alone may have been given to another one.
fn same_process(one: &Blocker, other: &Blocker) -> bool {
    let of = |b: &Blocker| b.process.as_ref().map(|p| (p.pid, p.started));
    of(one).is_some() && of(one) == of(other)
}

fn not_terminated(process: &Process, error: &Error) -> String {
    format!("{process} could not be terminated: {}", error.detail())
}
