//! Ending the programs that are in the way: look, ask the user, ask the programs, wait, make them.

use super::inner::Inner;
use crate::blocker::{Blocker, BlockerKind, Process, Scan};
use crate::error::{Error, Result};
use crate::kill::{Consent, Ended, Ending, Kill};
use crate::options::Options;
use crate::platform::{Platform, Running};
use crate::refusals::refuse_empty;
use crate::report::{Attempt, Done, Event};
use crate::wait::Wait;
use std::time::Duration;

/// How often it is looked who has ended.
const TICK: Duration = Duration::from_millis(20);

/// How long one that was made to end gets to let go of everything: a disk it writes to may be slow.
const PARTING: Duration = Duration::from_secs(5);

/// How long a user may think where no timeout was given.
const THINKING: Duration = Duration::from_secs(60 * 60);

/// A program that is held, and what has come of it so far.
struct Held<'p> {
    running: Box<dyn Running + 'p>,
    /// Where it stands in the list of what came of each.
    at: usize,
}

impl Inner<'_> {
    /// Ends the programs that this scan has named, if they are all that is in the way and the user
    /// agrees. What came of each is added to `ended`, also when the time runs out in the middle.
    pub(super) fn end_programs(
        &mut self,
        kill: &Kill,
        scan: &Scan,
        ended: &mut Vec<Ended>,
    ) -> Result<Done> {
        let mut done = Done::default();
        self.uncancelled()?;
        if self.deadline.is_some_and(|deadline| self.platform.now() >= deadline) {
            // Who is in the way is the answer then.
            return Ok(Done::skipped("the time given is over"));
        }
        if scan.blockers.iter().all(|b| b.kind == BlockerKind::Unknown) {
            // Whoever it was may have left between the refusal and the search.
            return Ok(done.with_note("nobody was found who could be ended"));
        }
        let mut programs: Vec<&Blocker> = Vec::new();
        for blocker in &scan.blockers {
            match blocker.may_be_ended() {
                Ok(_) => programs.push(blocker),
                Err(spared) => done.warnings.push(format!(
                    "{} was not ended: it {}",
                    blocker.description,
                    spared.because()
                )),
            }
        }
        if programs.is_empty() {
            done.skipped = Some("nothing in the way is a program that may be ended".into());
            return Ok(done);
        }
        if !done.warnings.is_empty() && !self.options.force {
            done.skipped =
                Some("nobody was ended: the rest would be in the way all the same".into());
            return Ok(done);
        }
        let again;
        if let Consent::Ask(ask) = &kill.consent {
            let agreed = {
                let Inner { platform, drive, options, deadline, observer, .. } = self;
                let mut watch = |left| observer(&Event::Flushing { left });
                let end = deadline.unwrap_or(platform.now() + THINKING);
                let wait = Wait::until(*platform, end, &options.cancel, &mut watch);
                ask(drive, &programs, &wait)
            };
            self.uncancelled()?;
            if !agreed {
                done.skipped = Some("not agreed to".into());
                return Ok(done);
            }
            // An answer takes its time: only who is still there, and was agreed to.
            again = self.blockers();
            let agreed = |b: &&Blocker| programs.iter().any(|p| same(p, b));
            programs =
                again.blockers.iter().filter(|b| b.may_be_ended().is_ok()).filter(agreed).collect();
        }
        let processes: Vec<Process> = programs.iter().filter_map(|b| b.process.clone()).collect();
        let (before, warned) = (ended.len(), done.warnings.len());
        self.end(&processes, kill.grace, ended, &mut done)?;
        if ended.len() == before && done.warnings.len() > warned {
            done.skipped = Some("nobody could be ended".into());
        }
        // They may have mounted something meanwhile, or somebody has taken the medium.
        self.refresh()?;
        self.refuse()?;
        refuse_empty(&self.drive, crate::options::Goal::Eject)?;
        Ok(done)
    }

    /// Asks them to end, and makes those that have not done so within `grace`.
    fn end(
        &mut self,
        processes: &[Process],
        grace: Duration,
        ended: &mut Vec<Ended>,
        done: &mut Done,
    ) -> Result<()> {
        let platform = self.platform;
        let Inner { options, deadline, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { left });
        let end = deadline.unwrap_or(platform.now() + grace + Options::STEP_TIME);
        let wait = Wait::until(platform, end, &options.cancel, &mut watch);
        wait.check()?;
        let mut held = hold_and_ask(platform, processes, ended, done);
        wait_for(&wait, grace, &mut held, ended, Ending::Terminated)?;
        for one in &mut held {
            let name = shown(&ended[one.at].process);
            match one.running.end() {
                Ok(method) => {
                    ended[one.at].how = Ending::Remains;
                    done.attempts.push(Attempt::accepted(method).with_detail(name));
                }
                Err(error) => done.warnings.push(not_ended(&name, &error)),
            }
        }
        wait_for(&wait, PARTING, &mut held, ended, Ending::Killed)?;
        for one in &held {
            let name = shown(&ended[one.at].process);
            done.warnings.push(format!("{name} is still there: the system does not let go of it"));
        }
        Ok(())
    }
}

/// Takes hold of each, and asks it to end.
fn hold_and_ask<'p>(
    platform: &'p dyn Platform,
    processes: &[Process],
    ended: &mut Vec<Ended>,
    done: &mut Done,
) -> Vec<Held<'p>> {
    let mut held = Vec::new();
    for process in processes {
        let name = shown(process);
        let asked = platform.hold(process).and_then(|running| match running {
            // It has left by itself meanwhile.
            None => Ok(None),
            Some(mut running) => running.ask().map(|method| Some((running, method))),
        });
        match asked {
            Ok(None) => {}
            Ok(Some((running, method))) => {
                done.attempts.push(Attempt::accepted(method).with_detail(name));
                held.push(Held { running, at: ended.len() });
                ended.push(Ended { process: process.clone(), how: Ending::Asked });
            }
            Err(error) => done.warnings.push(not_ended(&name, &error)),
        }
    }
    held
}

/// Waits until all have ended, or this time is over; who has ended is no longer held, and ended so.
fn wait_for(
    wait: &Wait<'_>,
    time: Duration,
    held: &mut Vec<Held<'_>>,
    ended: &mut [Ended],
    how: Ending,
) -> Result<()> {
    let until = wait.now() + time;
    loop {
        held.retain_mut(|one| {
            let over = one.running.has_ended();
            if over {
                ended[one.at].how = how;
            }
            !over
        });
        let left = until.saturating_sub(wait.now());
        if held.is_empty() || left.is_zero() {
            return Ok(());
        }
        wait.sleep(TICK.min(left))?;
    }
}

/// Is it the same process: the number alone may have been given to another one.
fn same(one: &Blocker, other: &Blocker) -> bool {
    let of = |b: &Blocker| b.process.as_ref().map(|p| (p.pid, p.started));
    of(one).is_some() && of(one) == of(other)
}

fn shown(process: &Process) -> String {
    format!("{} (pid {})", process.name.to_string_lossy(), process.pid)
}

fn not_ended(name: &str, error: &Error) -> String {
    format!("{name} could not be ended: {}", error.detail())
}
