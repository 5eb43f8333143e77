//! Ending the programs that are in the way: look, ask the user, ask the programs, wait, make them.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, BlockerScan, Process};
use crate::model::error::{Error, Result};
use crate::model::report::Event;
use crate::model::report::StepOutcome;
use crate::model::report::Termination;
use crate::model::report::TerminationResult;
use crate::model::step::Attempt;
use crate::options::Confirm;
use crate::options::Kill;
use crate::options::Options;
use crate::platform::{Platform, ProcessHandle};
use crate::policy::preconditions::check_medium;
use crate::release::open_drive::OpenDrive;
use std::time::Duration;

/// How often it is looked who has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long one that was made to end gets to let go of everything: a disk it writes to may be slow.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// How long a user may think where no timeout was given.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A program that is held, and what has come of it so far.
struct Pending<'p> {
    process: Box<dyn ProcessHandle + 'p>,
    /// Where it stands in the list of what came of each.
    at: usize,
}

impl OpenDrive<'_> {
    /// Ends the programs that this scan has named, if they are all that is in the way and the user
    /// agrees. What came of each is added to `ended`, also when the time runs out in the middle.
    pub(crate) fn terminate_processes(
        &mut self,
        kill: &Kill,
        scan: &BlockerScan,
        ended: &mut Vec<Termination>,
    ) -> Result<StepOutcome> {
        let mut done = StepOutcome::default();
        self.check_cancelled()?;
        if self.deadline.is_some_and(|deadline| self.platform.now() >= deadline) {
            // Who is in the way is the answer then.
            return Ok(StepOutcome::skipped("the time given is over"));
        }
        if scan.blockers.iter().all(|b| b.kind == BlockerKind::Unknown) {
            // Whoever it was may have left between the refusal and the search.
            return Ok(done.with_note("no program was found that could be ended"));
        }
        let mut programs: Vec<&Blocker> = Vec::new();
        for blocker in &scan.blockers {
            match blocker.check_terminable() {
                Ok(_) => programs.push(blocker),
                Err(spared) => done.warnings.push(format!(
                    "{} was not ended: it {}",
                    blocker.description,
                    spared.reason()
                )),
            }
        }
        if programs.is_empty() {
            done.skipped = Some("no blocker is a program that may be ended".into());
            return Ok(done);
        }
        if !done.warnings.is_empty() && !self.options.force {
            done.skipped = Some("no program was ended: other blockers would remain".into());
            return Ok(done);
        }
        let again;
        if let Confirm::Prompt(ask) = &kill.confirm {
            let agreed = {
                let OpenDrive { platform, drive, options, deadline, observer, .. } = self;
                let mut watch = |left| observer(&Event::Flushing { remaining: left });
                let end = deadline.unwrap_or(platform.now() + CONFIRM_TIMEOUT);
                let wait = Deadline::until(*platform, end, &options.cancel, &mut watch);
                ask(drive, &programs, &wait)
            };
            self.check_cancelled()?;
            if !agreed {
                done.skipped = Some("declined".into());
                return Ok(done);
            }
            // An answer takes its time: only who is still there, and was agreed to.
            again = self.blockers();
            let agreed = |b: &&Blocker| programs.iter().any(|p| same_process(p, b));
            programs = again
                .blockers
                .iter()
                .filter(|b| b.check_terminable().is_ok())
                .filter(agreed)
                .collect();
        }
        let processes: Vec<Process> = programs.iter().filter_map(|b| b.process.clone()).collect();
        let (before, warned) = (ended.len(), done.warnings.len());
        self.terminate_and_wait(&processes, kill.grace, ended, &mut done)?;
        if ended.len() == before && done.warnings.len() > warned {
            done.skipped = Some("no program could be ended".into());
        }
        // They may have mounted something meanwhile, or somebody has taken the medium.
        self.refresh()?;
        self.refuse()?;
        check_medium(&self.drive, crate::options::Goal::Eject)?;
        Ok(done)
    }

    /// Asks them to end, and makes those that have not done so within `grace`.
    fn terminate_and_wait(
        &mut self,
        processes: &[Process],
        grace: Duration,
        ended: &mut Vec<Termination>,
        done: &mut StepOutcome,
    ) -> Result<()> {
        let platform = self.platform;
        let OpenDrive { options, deadline, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { remaining: left });
        let end = deadline.unwrap_or(platform.now() + grace + Options::DEFAULT_STEP_TIMEOUT);
        let wait = Deadline::until(platform, end, &options.cancel, &mut watch);
        wait.check()?;
        let mut held = open_and_signal(platform, processes, ended, done);
        await_exit(&wait, grace, &mut held, ended, TerminationResult::Exited)?;
        for one in &mut held {
            let name = shown(&ended[one.at].process);
            match one.process.kill() {
                Ok(method) => {
                    ended[one.at].result = TerminationResult::Unkillable;
                    done.attempts.push(Attempt::accepted(method).with_detail(name));
                }
                Err(error) => done.warnings.push(not_terminated(&name, &error)),
            }
        }
        await_exit(&wait, KILL_WAIT, &mut held, ended, TerminationResult::Killed)?;
        for one in &held {
            let name = shown(&ended[one.at].process);
            done.warnings.push(format!("{name} is still there: the kernel has not removed it"));
        }
        Ok(())
    }
}

/// Takes hold of each, and asks it to end.
fn open_and_signal<'p>(
    platform: &'p dyn Platform,
    processes: &[Process],
    ended: &mut Vec<Termination>,
    done: &mut StepOutcome,
) -> Vec<Pending<'p>> {
    let mut held = Vec::new();
    for process in processes {
        let name = shown(process);
        let asked = platform.open_process(process).and_then(|running| match running {
            // It has left by itself meanwhile.
            None => Ok(None),
            Some(mut running) => running.terminate().map(|method| Some((running, method))),
        });
        match asked {
            Ok(None) => {}
            Ok(Some((running, method))) => {
                done.attempts.push(Attempt::accepted(method).with_detail(name));
                held.push(Pending { process: running, at: ended.len() });
                ended.push(Termination {
                    process: process.clone(),
                    result: TerminationResult::Signaled,
                });
            }
            Err(error) => done.warnings.push(not_terminated(&name, &error)),
        }
    }
    held
}

/// Waits until all have ended, or this time is over; who has ended is no longer held, and ended so.
fn await_exit(
    wait: &Deadline<'_>,
    time: Duration,
    held: &mut Vec<Pending<'_>>,
    ended: &mut [Termination],
    how: TerminationResult,
) -> Result<()> {
    let until = wait.now() + time;
    loop {
        held.retain_mut(|one| {
            let over = one.process.has_exited();
            if over {
                ended[one.at].result = how;
            }
            !over
        });
        let left = until.saturating_sub(wait.now());
        if held.is_empty() || left.is_zero() {
            return Ok(());
        }
        wait.sleep(POLL_INTERVAL.min(left))?;
    }
}

/// Is it the same process: the number alone may have been given to another one.
fn same_process(one: &Blocker, other: &Blocker) -> bool {
    let of = |b: &Blocker| b.process.as_ref().map(|p| (p.pid, p.started));
    of(one).is_some() && of(one) == of(other)
}

fn shown(process: &Process) -> String {
    format!("{} (pid {})", process.name.to_string_lossy(), process.pid)
}

fn not_terminated(name: &str, error: &Error) -> String {
    format!("{name} could not be ended: {}", error.detail())
}
