//! Terminating the processes that block a drive: confirm, SIGTERM, wait, SIGKILL.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, BlockerScan, Process};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::{StepOutcome, Termination, TerminationResult};
use crate::model::step::{Attempt, Step};
use crate::options::{Confirm, Kill, Options, PromptFn};
use crate::platform::Platform;
use crate::policy::overrides::{check_terminable, is_kill_futile};
use crate::release::open_drive::OpenDrive;
use crate::release::signaled::Signaled;
use std::time::Duration;

/// Number of times that blockers are terminated before the release gives up.
const MAX_ATTEMPTS: usize = 3;

/// Interval between checks whether a process has exited.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Time for a killed process to release everything: a disk that it writes to may be slow.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Time for the user to answer where no timeout was given.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60 * 60);

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
        let options = self.operation.options.clone();
        let (targets, mut outcome) = terminable(scan, &options);
        if targets.is_empty() {
            outcome.skipped = Some("no blocker is a process that may be terminated".into());
            return Ok(outcome);
        }
        if is_kill_futile(scan, &options) {
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
            processes = processes_of(
                &terminable(&now, &options).0.into_iter().filter(agreed).collect::<Vec<_>>(),
            );
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
        let OpenDrive { operation, signaled, .. } = self;
        let platform = operation.platform;
        let end = platform.now() + grace + Options::DEFAULT_STEP_TIMEOUT;
        let mut ended = Vec::new();
        let result = operation.with_deadline(operation.end().unwrap_or(end), |deadline| {
            deadline.check()?;
            // All handles stay open: a service that stops too late is started again as well.
            let before = signaled.len();
            signaled.extend(open_and_signal(platform, processes, &mut ended, outcome));
            let now = &mut signaled[before..];
            await_exit(deadline, grace, now, &mut ended, TerminationResult::Exited)?;
            kill(now, &mut ended, outcome);
            await_exit(deadline, KILL_WAIT, now, &mut ended, TerminationResult::Killed)?;
            let left = now.iter().filter(|one| !one.exited);
            outcome.warnings.extend(
                left.map(|one| format!("{} is still there: the system does not end it", one.name)),
            );
            Ok(())
        });
        let any = !ended.is_empty();
        operation.report.ended.extend(ended);
        result.map(|()| any)
    }
}

/// Returns the blockers that may be terminated, and a warning for each of the others.
fn terminable<'s>(scan: &'s BlockerScan, options: &Options) -> (Vec<&'s Blocker>, StepOutcome) {
    let mut outcome = StepOutcome::default();
    let mut targets = Vec::new();
    for blocker in &scan.blockers {
        match check_terminable(blocker, options) {
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
) -> Vec<Signaled<'p>> {
    let mut signaled = Vec::new();
    for process in processes {
        let opened = platform.open_process(process).and_then(|handle| {
            handle.map(|mut h| h.terminate().map(|method| (h, method))).transpose()
        });
        match opened {
            Ok(None) => {}
            Ok(Some((handle, method))) => {
                outcome.attempts.push(Attempt::accepted(method).with_detail(process.to_string()));
                let name = process.to_string();
                signaled.push(Signaled { handle, at: ended.len(), name, exited: false });
                let result = TerminationResult::Signaled;
                ended.push(Termination { process: process.clone(), result });
            }
            Err(error) => outcome.warnings.push(not_terminated(process, &error)),
        }
    }
    signaled
}

/// Kills the processes that have not exited.
fn kill(signaled: &mut [Signaled<'_>], ended: &mut [Termination], outcome: &mut StepOutcome) {
    for one in signaled.iter_mut().filter(|one| !one.exited) {
        let Termination { process: who, result } = &mut ended[one.at];
        *result = TerminationResult::Unkillable;
        match one.handle.kill() {
            Ok(method) => {
                outcome.attempts.push(Attempt::accepted(method).with_detail(who.to_string()));
            }
            Err(error) => outcome.warnings.push(not_terminated(who, &error)),
        }
    }
}

/// Waits up to `time` for the processes to exit, and records `result` for those that did.
fn await_exit(
    deadline: &Deadline<'_>,
    time: Duration,
    signaled: &mut [Signaled<'_>],
    ended: &mut [Termination],
    result: TerminationResult,
) -> Result<()> {
    let end = deadline.now() + time;
    loop {
        for one in signaled.iter_mut().filter(|one| !one.exited) {
            one.exited = one.handle.has_exited();
            if one.exited {
                ended[one.at].result = result;
            }
        }
        let remaining = end.saturating_sub(deadline.now());
        if signaled.iter().all(|one| one.exited) || remaining.is_zero() {
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
