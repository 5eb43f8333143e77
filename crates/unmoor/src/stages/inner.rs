//! What the stages are made of: one open drive, and each step with its time and its retries.

use super::Observer;
use crate::blocker::{Blocker, BlockerKind, Scan};
use crate::drive::{Drive, Volume};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Goal, Options};
use crate::order::{Undo, undo_order};
use crate::plan::shown;
use crate::platform::{Platform, Session};
use crate::refusals::{refuse_empty, refuse_held, refuse_system};
use crate::report::{Done, Event, Step};
use crate::wait::Wait;
use std::time::Duration;

/// A drive that is open, and what is wished of it.
pub(super) struct Inner<'p> {
    pub(super) platform: &'p dyn Platform,
    pub(super) session: Box<dyn Session + 'p>,
    pub(super) drive: Drive,
    pub(super) options: Options,
    pub(super) deadline: Option<Duration>,
    pub(super) observer: Observer<'p>,
    /// What a flush could not write: no later stage lets go of the medium then.
    pub(super) unwritten: Option<Error>,
    /// Volumes of this drive that another one takes down, which is released with it.
    pub(super) left_to_others: Vec<String>,
}

impl Inner<'_> {
    pub(super) fn lock(&mut self) -> Result<Done> {
        let start = self.platform.now();
        let by = |time| self.deadline.map_or(start + time, |deadline| deadline.min(start + time));
        let give_up = by(self.options.wait.max(Options::LEAST_WAIT));
        let answer_by = by(self.options.wait.max(Options::LOCK_TIME));
        let mut pause = Duration::from_millis(20);
        let mut busy: Option<Error> = None;
        let mut look_again = start + Options::LEAST_WAIT;
        loop {
            let mut error = match self.refuse().and_then(|()| self.try_lock(answer_by)) {
                Ok(done) => return Ok(done),
                // The last attempt had little time left: what was in the way before is the news.
                Err(late) if late.kind() == ErrorKind::TimedOut => busy.take().unwrap_or(late),
                Err(error) => error,
            };
            self.session.unlock()?;
            let mut left = give_up.saturating_sub(self.platform.now());
            let may_leave = match error.kind() {
                ErrorKind::Busy => true,
                // Nobody takes that away in the blink of an eye: only who said so waits for it.
                ErrorKind::Held => !self.options.wait.is_zero(),
                _ => false,
            };
            if !may_leave || left.is_zero() {
                return Err(self.with_blockers(error));
            }
            // Whoever waits for longer wants to see who is still there.
            if self.platform.now() >= look_again && error.scan().is_none() {
                error = error.with_scan(self.search_for(left.min(SEARCH)));
                look_again = self.platform.now() + LOOK_EVERY;
                left = give_up.saturating_sub(self.platform.now());
            }
            (self.observer)(&Event::Waiting { error: &error, left });
            self.uncancelled()?;
            self.platform.sleep(pause.min(left));
            self.uncancelled()?;
            busy = Some(error);
            // Who was in the way may have mounted something, or unmounted it himself.
            self.refresh()?;
            // One that was empty from the start has nothing to be busy: this one lost its medium.
            refuse_empty(&self.drive, Goal::Eject)?;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    /// Looks at the drive again.
    pub(super) fn refresh(&mut self) -> Result<()> {
        let drive = self.session.refresh()?;
        self.drive = self.own(drive);
        Ok(())
    }

    /// The drive with those of its volumes that nobody else takes down.
    pub(super) fn own(&self, mut drive: Drive) -> Drive {
        drive.volumes.retain(|volume| !self.left_to_others.contains(&volume.name));
        drive
    }

    /// What is never released, by no option that was not given.
    pub(super) fn refuse(&self) -> Result<()> {
        refuse_system(&self.drive)?;
        refuse_held(&self.drive, &self.options)
    }

    /// One attempt on every volume, the topmost first.
    fn try_lock(&mut self, answer_by: Duration) -> Result<Done> {
        let Inner { platform, session, drive, options, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { left });
        let mut wait = Wait::until(*platform, answer_by, &options.cancel, &mut watch);
        let mut done = Done::default();
        if drive.volumes.is_empty() {
            done = Done::skipped("not mounted");
        }
        for volume in drive.volumes.iter().rev() {
            session.check()?;
            done.add(session.try_lock(volume, &mut wait).map_err(|e| e.about(&drive.name))?);
        }
        session.check()?;
        // Whoever dismounts only may be about to write to the drive himself.
        let stays = options.goal == Goal::Dismount;
        done.add(session.no_writers(stays, &mut wait).map_err(|e| e.about(&drive.name))?);
        Ok(done)
    }

    pub(super) fn may_be_forced(&mut self) -> Result<()> {
        let held = self.session.bears_others();
        held.map_err(|error| self.with_blockers(error.about(&self.drive.name)))
    }

    /// Dismounts in the order of the stack, then claims the drive.
    pub(super) fn dismount(&mut self, force: bool) -> Result<Done> {
        let (offline, discard) = (self.options.offline, self.options.discard_unwritten);
        let result = self.stage(Step::Dismount, |drive, session, wait| {
            let mut done = Done::default();
            let mut gone: Vec<String> = Vec::new();
            let order = undo_order(drive);
            for (at, &undo) in order.iter().enumerate() {
                let mut once = || {
                    wait.check().and_then(|()| session.check()).and_then(|()| match undo {
                        Undo::SwapOff(volume, path) => session.swap_off(volume, path, wait),
                        Undo::Unmount(volume, mount) => session.unmount(volume, mount, force, wait),
                        Undo::Dismount(volume) => session.dismount(volume, force, wait),
                    })
                };
                let part = match once() {
                    Err(lost) if discard && lost.kind() == ErrorKind::Unwritten => {
                        let lost = lost.about(&drive.name).at(Step::Dismount);
                        // Told once, it is not asked for again.
                        once().map(|part| part.with_lost(lost))
                    }
                    other => other,
                };
                let part = part.map_err(|e| so_far(e, &gone, &order[at..], &done))?;
                if part.skipped.is_none() {
                    gone.push(match undo {
                        Undo::Dismount(volume) => volume.name.clone(),
                        _ => shown(&undo).unwrap_or_default(),
                    });
                }
                done.add(part);
            }
            match session.claim(force, wait) {
                Err(lost) if discard && lost.kind() == ErrorKind::Unwritten => {
                    done = done.with_lost(lost.about(&drive.name).at(Step::Dismount));
                }
                other => done.add(other.map_err(|e| so_far(e, &gone, &[], &done))?),
            }
            for volume in drive.volumes.iter().rev().filter(|_| offline) {
                let part =
                    session.offline(volume, wait).map_err(|e| so_far(e, &gone, &[], &done))?;
                done.add(part);
            }
            Ok(done)
        });
        result.map_err(|e| self.with_blockers(stays_in(e)))
    }

    pub(super) fn blockers(&mut self) -> Scan {
        let Inner { platform, session, options, deadline, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { left });
        // A search after the deadline is still worth a moment: it is the answer the user waits for.
        let now = platform.now();
        let end = deadline.unwrap_or(now + Options::STEP_TIME).max(now + SEARCH);
        let scan = session.blockers(&mut Wait::until(*platform, end, &options.cancel, &mut watch));
        self.without_what_goes_too(scan)
    }

    /// What the release takes down by itself, by these options, is in nobody's way.
    fn without_what_goes_too(&self, mut scan: Scan) -> Scan {
        let swap_goes = self.options.swapoff;
        let all_given =
            !self.options.together.is_empty() && refuse_held(&self.drive, &self.options).is_ok();
        scan.blockers.retain(|blocker| match blocker.kind {
            BlockerKind::Swap => !swap_goes,
            BlockerKind::Raid | BlockerKind::Mapping => !all_given,
            _ => true,
        });
        scan
    }

    pub(super) fn blockers_or_unknown(&mut self) -> Scan {
        let scan = self.blockers();
        if !scan.blockers.is_empty()
            || !self.platform.locks_nobody_out()
            || self.session.check().is_err()
        {
            return scan;
        }
        let answer_by = self.platform.now() + SEARCH;
        let answer = self.refuse().and_then(|()| self.try_lock(answer_by));
        let _ = self.session.unlock();
        match answer {
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Held) => {
                self.with_blockers(error).scan().cloned().unwrap_or(scan)
            }
            _ => scan,
        }
    }

    fn search_for(&mut self, time: Duration) -> Scan {
        let Inner { platform, session, options, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { left });
        let end = platform.now() + time;
        let scan = session.blockers(&mut Wait::until(*platform, end, &options.cancel, &mut watch));
        self.without_what_goes_too(scan)
    }

    pub(super) fn with_blockers(&mut self, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Busy | ErrorKind::Held) || error.scan().is_some() {
            return error;
        }
        let mut scan = self.blockers();
        if scan.blockers.is_empty() && error.kind() == ErrorKind::Busy {
            scan.blockers.push(unknown(&error, &scan, self.platform.sees_more_as()));
            let hidden = self.platform.hidden_users();
            if !hidden.is_empty() {
                scan.notes.push(format!("what no list shows: {}", hidden.join("; ")));
            }
        }
        error.with_scan(scan)
    }

    pub(super) fn uncancelled(&self) -> Result<()> {
        match self.options.cancel.is_cancelled() {
            true => {
                Err(Error::new(ErrorKind::Interrupted, &self.drive.name, "stopped at your wish"))
            }
            false => Ok(()),
        }
    }

    /// Runs one step on the bound device only.
    pub(super) fn stage<T>(
        &mut self,
        step: Step,
        run: impl FnOnce(&Drive, &mut dyn Session, &mut Wait<'_>) -> Result<T>,
    ) -> Result<T> {
        self.timed(step, |drive, session, wait| {
            wait.check()?;
            session.check()?;
            run(drive, session, wait)
        })
    }

    /// Runs one step within its time, with its name in every error.
    pub(super) fn timed<T>(
        &mut self,
        step: Step,
        run: impl FnOnce(&Drive, &mut dyn Session, &mut Wait<'_>) -> Result<T>,
    ) -> Result<T> {
        let Inner { platform, session, drive, options, deadline, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { left });
        let end = deadline.unwrap_or_else(|| platform.now() + Options::STEP_TIME);
        let mut wait = Wait::until(*platform, end, &options.cancel, &mut watch);
        // Flushing and dismounting may take as long as bytes still move, unless the user set a limit.
        if matches!(step, Step::Flush | Step::Dismount) && deadline.is_none() {
            wait = wait.while_moving(Options::STEP_TIME);
        }
        run(drive, &mut **session, &mut wait).map_err(|e| e.about(&drive.name).at(step))
    }
}

/// The system says busy, and nothing was found: says so, and what was not visible.
fn unknown(error: &Error, scan: &Scan, as_whom: Option<&str>) -> Blocker {
    let mut what = format!("{error}, says the system; who uses it was not found");
    if scan.unseen_processes > 0 {
        what += &format!(" ({} process(es) could not be looked into)", scan.unseen_processes);
    } else if !scan.complete {
        what += " (not everything could be seen)";
    }
    let words = match as_whom {
        Some(whom) if !scan.complete => format!("run it as {whom}, who sees more"),
        _ => "try again: it may have left just now".into(),
    };
    Blocker::new(BlockerKind::Unknown, what).with_remedy(words, None)
}

/// How often it is looked who is still in the way, while that is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a search for blockers may take after the deadline of the release has passed.
const SEARCH: Duration = Duration::from_secs(2);

/// Where the system has no such state, that is said before anything is touched.
pub(crate) fn refuse_offline(
    platform: &dyn Platform,
    drive: &Drive,
    options: &Options,
) -> Result<()> {
    if !options.offline || platform.takes_offline() {
        return Ok(());
    }
    let why = "cannot be taken offline: this system has no such state";
    Err(Error::new(ErrorKind::NotSupported, &drive.name, why).with_help("leave --offline out"))
}

/// The same for ending programs.
pub(crate) fn refuse_kill(platform: &dyn Platform, drive: &Drive, options: &Options) -> Result<()> {
    if options.kill.is_none() || platform.ends_programs() {
        return Ok(());
    }
    let why = "programs cannot be ended for it: not available on this system";
    Err(Error::new(ErrorKind::NotSupported, &drive.name, why)
        .with_help("leave --kill out; what is in the way is named, and what would move it"))
}

/// An error in the middle says what had been taken down by then, and what is still up.
fn so_far(error: Error, gone: &[String], left: &[Undo<'_>], done: &Done) -> Error {
    // A call that was left behind may have got through all the same.
    let through =
        |name: &String| error.attempts().iter().any(|a| a.ok && a.detail.as_ref() == Some(name));
    let up: Vec<String> = left.iter().filter_map(shown).filter(|name| !through(name)).collect();
    let mut attempts = done.attempts.clone();
    attempts.extend_from_slice(error.attempts());
    let mut error = error.with_attempts(attempts);
    if !gone.is_empty() {
        error = error.and_detail(format!("dismounted by then: {}", gone.join(", ")));
        if !up.is_empty() {
            error = error.and_detail(format!("still up: {}", up.join(", ")));
        }
    }
    error
}

/// What could not be written keeps the medium in, at whichever step that was noticed.
pub(crate) fn stays_in(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unwritten => error.with_help(
            "the medium stays in, because data would be lost; --discard-unwritten gives it up",
        ),
        _ => error,
    }
}

/// A flush that was not waited for to its end says what it had not come to.
pub(super) fn not_flushed(error: Error, volumes: &[Volume], bytes: Option<u64>) -> Error {
    if !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::TimedOut) {
        return error;
    }
    let names: Vec<&str> = volumes.iter().rev().map(|volume| &*volume.name).collect();
    let error = match names.is_empty() {
        true => error,
        false => error.and_detail(format!("not written to the end: {}", names.join(", "))),
    };
    match bytes {
        // As the sizes of drives are given: 1 MB is a million bytes.
        Some(bytes) if bytes > 0 => {
            error.and_detail(format!("{:.1} MB are not on the drive yet", bytes as f64 / 1e6))
        }
        _ => error,
    }
}
