//! Locking: finds every volume idle, waits while something blocks it, and names what does.

use crate::model::blocker::{Blocker, BlockerKind, BlockerScan};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::event::Event;
use crate::model::hint::Hint;
use crate::model::report::StepOutcome;
use crate::model::step::{Action, Step};
use crate::options::{Goal, Options};
use crate::policy::overrides::may_force;
use crate::policy::preconditions::{check_release, without_planned};
use crate::release::open_drive::{ForcedBy, OpenDrive};
use std::time::Duration;

/// Interval between scans for blockers while waiting.
const RESCAN_INTERVAL: Duration = Duration::from_secs(1);

/// First pause between two attempts; each one is twice as long as the one before.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Longest pause between two attempts.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Time for a scan for blockers after the deadline: its result is the answer the user waits for.
const FINAL_SCAN_TIME: Duration = Duration::from_secs(2);

impl OpenDrive<'_> {
    /// Locks every volume and tries again for [`Options::wait`] while something blocks one.
    pub(crate) fn lock(&mut self) -> Result<StepOutcome> {
        (self.had_to_wait, self.forced) = (false, None);
        let started = self.operation.begin(Step::Lock);
        let outcome = self.lock_in_time();
        self.operation.finish_step(started, outcome)
    }

    /// Prepares another lock, after a dismount that was taken back, with this time to wait.
    pub(crate) fn prepare_retry(&mut self, wait: Duration) -> Result<()> {
        self.operation.options.wait = wait;
        let ready = self.operation.check_cancelled().and_then(|()| self.session.unlock());
        ready.and_then(|_| self.refresh_after_wait()).map_err(|e| e.with_step(Step::Dismount))
    }

    /// Continues without the lock if the options force that.
    pub(crate) fn force_or_fail(&mut self, error: Error) -> Result<()> {
        if !may_force(&error, &self.operation.options) {
            return Err(self.without_vain_force(error));
        }
        self.check_force().map_err(|e| e.with_step(Step::Lock))?;
        self.forced =
            Some(ForcedBy { cause: error.to_string(), affected: affected_processes(error.scan()) });
        Ok(())
    }

    /// Gives the advice that leaves force out to an error that force could not override either.
    fn without_vain_force(&mut self, error: Error) -> Error {
        let is_advised = error.kind() == ErrorKind::Busy && error.hint().is_none();
        match is_advised && !self.operation.options.force && self.check_force().is_err() {
            true => error.with_hint(Hint::CloseOrWait),
            false => error,
        }
    }

    /// Fails if a forced dismount would take along a mount of another drive.
    pub(crate) fn check_force(&mut self) -> Result<()> {
        let result = self.session.check_foreign_mounts();
        result.map_err(|error| self.with_blockers(error.with_subject(&self.drive.name)))
    }

    fn lock_in_time(&mut self) -> Result<StepOutcome> {
        let platform = self.operation.platform;
        let (start, wait) = (platform.now(), self.operation.options.wait);
        let retry = Options::MIN_RETRY.max(platform.min_lock_retry());
        let first = Options::FIRST_LOCK_TIMEOUT.max(platform.first_lock_timeout());
        let give_up = self.by(start + wait.max(retry));
        let attempts_end = self.by(start + wait.max(first));
        let mut pause = FIRST_PAUSE;
        let mut busy = self.refusal.take();
        let mut next_scan = start + Options::MIN_RETRY;
        loop {
            let mut error = match self.try_lock(attempts_end) {
                Ok(outcome) => return Ok(outcome),
                // The last attempt had little time left: what blocked the drive before is the news.
                Err(late) if late.kind() == ErrorKind::TimedOut => busy.take().unwrap_or(late),
                Err(error) => error,
            };
            self.session.unlock()?;
            let remaining = || give_up.saturating_sub(platform.now());
            let may_pass = match error.kind() {
                ErrorKind::Busy => true,
                // Such a blocker never passes within MIN_RETRY.
                ErrorKind::NotExclusive => !wait.is_zero(),
                _ => false,
            };
            if !may_pass || remaining().is_zero() {
                return Err(self.with_blockers(error));
            }
            if platform.now() >= next_scan && error.scan().is_none() {
                let scan = self.scan_until(platform.now() + remaining().min(FINAL_SCAN_TIME));
                error = error.with_scan(scan);
                next_scan = platform.now() + RESCAN_INTERVAL;
            }
            let left = remaining();
            self.had_to_wait = true;
            self.operation.emit(Event::Waiting { error: error.clone(), remaining: left });
            self.operation.check_cancelled()?;
            platform.sleep(pause.min(left));
            self.operation.check_cancelled()?;
            busy = Some(error);
            self.refresh_after_wait()?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Returns this moment, or the deadline of the operation if it comes first.
    fn by(&self, moment: Duration) -> Duration {
        self.operation.end().map_or(moment, |end| end.min(moment))
    }

    /// Tries once to lock every volume, the topmost first.
    fn try_lock(&mut self, end: Duration) -> Result<StepOutcome> {
        let OpenDrive { operation, session, drive, locks_left_to_removal, .. } = self;
        check_release(drive, &operation.options)?;
        *locks_left_to_removal = false;
        let removed = operation.platform.removal_locks_volumes()
            && matches!(operation.report.action, Some(Action::Stop | Action::PowerOff));
        // A user who only dismounts may be about to write to the drive itself.
        let stays = operation.options.goal == Goal::Dismount;
        let locked: Result<StepOutcome> = operation.with_deadline(end, |deadline| {
            let mut outcome = match drive.volumes.is_empty() {
                true => StepOutcome::skipped("not mounted"),
                false => StepOutcome::default(),
            };
            for volume in drive.volumes.iter().rev() {
                session.check()?;
                match session.try_lock(volume, deadline) {
                    Err(error) if removed && error.kind() == ErrorKind::NotPermitted => {
                        *locks_left_to_removal = true;
                        let why = "this user may not lock it: the removal of the device does";
                        return Ok(StepOutcome::skipped(why));
                    }
                    locked => outcome.merge(locked?),
                }
            }
            session.check()?;
            outcome.merge(session.check_raw_users(stays, deadline)?);
            Ok(outcome)
        });
        locked.map_err(|e| e.with_subject(&drive.name))
    }

    /// Scans for blockers. If none is found, asks the system too, if that excludes no other user.
    pub(crate) fn blockers_or_unknown(&mut self) -> BlockerScan {
        let scan = self.blockers();
        let platform = self.operation.platform;
        if !scan.blockers.is_empty() || !platform.lock_is_probe() || self.session.check().is_err() {
            return scan;
        }
        let locked = self.try_lock(platform.now() + FINAL_SCAN_TIME);
        let _ = self.session.unlock();
        match locked {
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::NotExclusive) => {
                self.with_blockers(error).scan().cloned().unwrap_or(scan)
            }
            _ => scan,
        }
    }

    /// Scans for blockers until the deadline, and for a moment if it has passed.
    pub(crate) fn blockers(&mut self) -> BlockerScan {
        let final_scan = self.operation.platform.now() + FINAL_SCAN_TIME;
        self.scan_until(self.operation.end_of_step().max(final_scan))
    }

    /// Scans for blockers where it takes long.
    fn remote_blockers(&mut self) -> Vec<Blocker> {
        let final_scan = self.operation.platform.now() + FINAL_SCAN_TIME;
        let end = self.operation.end_of_step().max(final_scan);
        let OpenDrive { operation, session, .. } = self;
        operation.with_deadline(end, |deadline| session.remote_blockers(deadline)).blockers
    }

    fn scan_until(&mut self, end: Duration) -> BlockerScan {
        let OpenDrive { operation, session, drive, .. } = self;
        let scan = operation.with_deadline(end, |deadline| session.blockers(deadline));
        without_planned(scan, drive, &operation.options)
    }

    /// Adds what blocks the drive to an error that says it is blocked.
    pub(crate) fn with_blockers(&mut self, error: Error) -> Error {
        let blocked = matches!(error.kind(), ErrorKind::Busy | ErrorKind::NotExclusive);
        if !blocked || error.scan().is_some() {
            return error;
        }
        let mut scan = self.blockers();
        if scan.blockers.is_empty() && error.kind() == ErrorKind::Busy {
            scan.blockers = self.remote_blockers();
        }
        if scan.blockers.is_empty() && error.kind() == ErrorKind::Busy {
            let platform = self.operation.platform;
            scan.blockers.push(unknown_blocker(&error, &scan, platform.elevated_account()));
            let hidden = platform.undetectable_users();
            if !hidden.is_empty() {
                scan.notes.push(format!("not visible in any list: {}", hidden.join("; ")));
            }
        }
        error.with_scan(scan)
    }
}

/// Returns the blocker for a drive that the system reports as busy although no user was found.
fn unknown_blocker(error: &Error, scan: &BlockerScan, account: Option<&str>) -> Blocker {
    let mut what = format!("{error} according to the system, but no user was found");
    if scan.inaccessible_processes > 0 {
        what += &format!(" ({} process(es) could not be inspected)", scan.inaccessible_processes);
    } else if !scan.complete {
        what += " (the search was incomplete)";
    }
    let remedy = match account {
        Some(account) if !scan.complete => format!("run it as {account}, who sees more"),
        _ => "try again: it may have been closed just now".into(),
    };
    Blocker::new(BlockerKind::Unknown, what).with_remedy(remedy, None)
}

/// Names up to five processes that lose access, for the warning.
fn affected_processes(scan: Option<&BlockerScan>) -> String {
    const MAX_NAMED: usize = 5;
    let processes = scan.into_iter().flat_map(|s| &s.blockers).filter_map(|b| b.process.as_ref());
    let names: Vec<String> = processes.map(ToString::to_string).collect();
    match names.len() {
        0 => String::new(),
        count if count > MAX_NAMED => {
            format!(": {}, and {} more", names[..MAX_NAMED].join(", "), count - MAX_NAMED)
        }
        _ => format!(": {}", names.join(", ")),
    }
}
