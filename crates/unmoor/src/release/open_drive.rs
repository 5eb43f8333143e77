//! What the stages are made of: one open drive, and each step with its time and its retries.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, BlockerScan};
use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::Event;
use crate::model::report::StepOutcome;
use crate::model::step::Step;
use crate::model::teardown::{TeardownStep, teardown_order};
use crate::model::volume::Volume;
use crate::options::{Goal, Options};
use crate::platform::{Platform, Session};
use crate::policy::plan::label;
use crate::policy::preconditions::{check_exclusive, check_medium, check_system};
use crate::release::opened::StageEvents;
use std::time::Duration;

/// A drive that is open, and what is wished of it.
pub(crate) struct OpenDrive<'p> {
    pub(crate) platform: &'p dyn Platform,
    pub(crate) session: Box<dyn Session + 'p>,
    pub(crate) drive: Drive,
    pub(crate) options: Options,
    pub(crate) deadline: Option<Duration>,
    pub(crate) observer: StageEvents<'p>,
    /// What a flush could not write: no later stage lets go of the medium then.
    pub(crate) unwritten: Option<Error>,
    /// Volumes of this drive that another one takes down, which is released with it.
    pub(crate) delegated: Vec<String>,
}

impl OpenDrive<'_> {
    pub(crate) fn lock(&mut self) -> Result<StepOutcome> {
        let start = self.platform.now();
        let by = |time| self.deadline.map_or(start + time, |deadline| deadline.min(start + time));
        let give_up = by(self.options.wait.max(Options::MIN_RETRY));
        let answer_by = by(self.options.wait.max(Options::FIRST_LOCK_TIMEOUT));
        let mut pause = Duration::from_millis(20);
        let mut busy: Option<Error> = None;
        let mut look_again = start + Options::MIN_RETRY;
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
                ErrorKind::NotExclusive => !self.options.wait.is_zero(),
                _ => false,
            };
            if !may_leave || left.is_zero() {
                return Err(self.with_blockers(error));
            }
            // Whoever waits for longer wants to see who is still there.
            if self.platform.now() >= look_again && error.scan().is_none() {
                error = error.with_scan(self.scan_within(left.min(FINAL_SCAN_TIME)));
                look_again = self.platform.now() + RESCAN_INTERVAL;
                left = give_up.saturating_sub(self.platform.now());
            }
            (self.observer)(&Event::Waiting { error: &error, remaining: left });
            self.check_cancelled()?;
            self.platform.sleep(pause.min(left));
            self.check_cancelled()?;
            busy = Some(error);
            // Who was in the way may have mounted something, or unmounted it himself.
            self.refresh()?;
            // One that was empty from the start has nothing to be busy: this one lost its medium.
            check_medium(&self.drive, Goal::Eject)?;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    /// Looks at the drive again.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let drive = self.session.refresh()?;
        self.drive = self.without_delegated(drive);
        Ok(())
    }

    /// The drive with those of its volumes that nobody else takes down.
    pub(crate) fn without_delegated(&self, mut drive: Drive) -> Drive {
        drive.volumes.retain(|volume| !self.delegated.contains(&volume.name));
        drive
    }

    /// What is never released, by no option that was not given.
    pub(crate) fn refuse(&self) -> Result<()> {
        check_system(&self.drive)?;
        check_exclusive(&self.drive, &self.options)
    }

    /// One attempt on every volume, the topmost first.
    fn try_lock(&mut self, answer_by: Duration) -> Result<StepOutcome> {
        let OpenDrive { platform, session, drive, options, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { remaining: left });
        let mut wait = Deadline::until(*platform, answer_by, &options.cancel, &mut watch);
        let mut done = StepOutcome::default();
        if drive.volumes.is_empty() {
            done = StepOutcome::skipped("not mounted");
        }
        for volume in drive.volumes.iter().rev() {
            session.check()?;
            done.merge(
                session.try_lock(volume, &mut wait).map_err(|e| e.with_subject(&drive.name))?,
            );
        }
        session.check()?;
        // Whoever dismounts only may be about to write to the drive himself.
        let stays = options.goal == Goal::Dismount;
        done.merge(
            session.check_raw_users(stays, &mut wait).map_err(|e| e.with_subject(&drive.name))?,
        );
        Ok(done)
    }

    pub(crate) fn check_force(&mut self) -> Result<()> {
        let held = self.session.check_foreign_mounts();
        held.map_err(|error| self.with_blockers(error.with_subject(&self.drive.name)))
    }

    /// Dismounts in the order of the stack, then claims the drive.
    pub(crate) fn dismount(&mut self, force: bool) -> Result<StepOutcome> {
        let (offline, discard) = (self.options.offline, self.options.discard_unwritten);
        let result = self.checked_step(Step::Dismount, |drive, session, wait| {
            let mut done = StepOutcome::default();
            let mut gone: Vec<String> = Vec::new();
            let order = teardown_order(drive);
            for (at, &undo) in order.iter().enumerate() {
                let mut once = || {
                    wait.check().and_then(|()| session.check()).and_then(|()| match undo {
                        TeardownStep::SwapOff(volume, path) => session.swap_off(volume, path, wait),
                        TeardownStep::Unmount(volume, mount) => {
                            session.unmount(volume, mount, force, wait)
                        }
                        TeardownStep::Dismount(volume) => session.dismount(volume, force, wait),
                    })
                };
                let part = match once() {
                    Err(lost) if discard && lost.kind() == ErrorKind::Unwritten => {
                        let lost = lost.with_subject(&drive.name).with_step(Step::Dismount);
                        // Told once, it is not asked for again.
                        once().map(|part| part.with_discarded(lost))
                    }
                    other => other,
                };
                let part =
                    part.map_err(|e| with_partial_progress(e, &gone, &order[at..], &done))?;
                if part.skipped.is_none() {
                    gone.push(match undo {
                        TeardownStep::Dismount(volume) => volume.name.clone(),
                        _ => label(&undo).unwrap_or_default(),
                    });
                }
                done.merge(part);
            }
            match session.claim(force, wait) {
                Err(lost) if discard && lost.kind() == ErrorKind::Unwritten => {
                    done = done
                        .with_discarded(lost.with_subject(&drive.name).with_step(Step::Dismount));
                }
                other => {
                    done.merge(other.map_err(|e| with_partial_progress(e, &gone, &[], &done))?)
                }
            }
            for volume in drive.volumes.iter().rev().filter(|_| offline) {
                let part = session
                    .offline(volume, wait)
                    .map_err(|e| with_partial_progress(e, &gone, &[], &done))?;
                done.merge(part);
            }
            Ok(done)
        });
        result.map_err(|e| self.with_blockers(with_retained_help(e)))
    }

    pub(crate) fn blockers(&mut self) -> BlockerScan {
        let OpenDrive { platform, session, options, deadline, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { remaining: left });
        // A search after the deadline is still worth a moment: it is the answer the user waits for.
        let now = platform.now();
        let end =
            deadline.unwrap_or(now + Options::DEFAULT_STEP_TIMEOUT).max(now + FINAL_SCAN_TIME);
        let scan =
            session.blockers(&mut Deadline::until(*platform, end, &options.cancel, &mut watch));
        self.exclude_planned(scan)
    }

    /// What the release takes down by itself, by these options, is in nobody's way.
    fn exclude_planned(&self, mut scan: BlockerScan) -> BlockerScan {
        let swap_goes = self.options.swapoff;
        let all_given =
            !self.options.group.is_empty() && check_exclusive(&self.drive, &self.options).is_ok();
        scan.blockers.retain(|blocker| match blocker.kind {
            BlockerKind::Swap => !swap_goes,
            BlockerKind::MultiDevice | BlockerKind::Mapping => !all_given,
            _ => true,
        });
        scan
    }

    pub(crate) fn blockers_or_unknown(&mut self) -> BlockerScan {
        let scan = self.blockers();
        if !scan.blockers.is_empty()
            || !self.platform.lock_is_probe()
            || self.session.check().is_err()
        {
            return scan;
        }
        let answer_by = self.platform.now() + FINAL_SCAN_TIME;
        let answer = self.refuse().and_then(|()| self.try_lock(answer_by));
        let _ = self.session.unlock();
        match answer {
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::NotExclusive) => {
                self.with_blockers(error).scan().cloned().unwrap_or(scan)
            }
            _ => scan,
        }
    }

    fn scan_within(&mut self, time: Duration) -> BlockerScan {
        let OpenDrive { platform, session, options, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { remaining: left });
        let end = platform.now() + time;
        let scan =
            session.blockers(&mut Deadline::until(*platform, end, &options.cancel, &mut watch));
        self.exclude_planned(scan)
    }

    pub(crate) fn with_blockers(&mut self, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Busy | ErrorKind::NotExclusive)
            || error.scan().is_some()
        {
            return error;
        }
        let mut scan = self.blockers();
        if scan.blockers.is_empty() && error.kind() == ErrorKind::Busy {
            scan.blockers.push(unknown_blocker(&error, &scan, self.platform.elevated_account()));
            let hidden = self.platform.undetectable_users();
            if !hidden.is_empty() {
                scan.notes.push(format!("not visible in any list: {}", hidden.join("; ")));
            }
        }
        error.with_scan(scan)
    }

    pub(crate) fn check_cancelled(&self) -> Result<()> {
        match self.options.cancel.is_cancelled() {
            true => Err(Error::new(ErrorKind::Interrupted, &self.drive.name, "interrupted")),
            false => Ok(()),
        }
    }

    /// Runs one step on the bound device only.
    pub(crate) fn checked_step<T>(
        &mut self,
        step: Step,
        run: impl FnOnce(&Drive, &mut dyn Session, &mut Deadline<'_>) -> Result<T>,
    ) -> Result<T> {
        self.step(step, |drive, session, wait| {
            wait.check()?;
            session.check()?;
            run(drive, session, wait)
        })
    }

    /// Runs one step within its time, with its name in every error.
    pub(crate) fn step<T>(
        &mut self,
        step: Step,
        run: impl FnOnce(&Drive, &mut dyn Session, &mut Deadline<'_>) -> Result<T>,
    ) -> Result<T> {
        let OpenDrive { platform, session, drive, options, deadline, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { remaining: left });
        let end = deadline.unwrap_or_else(|| platform.now() + Options::DEFAULT_STEP_TIMEOUT);
        let mut wait = Deadline::until(*platform, end, &options.cancel, &mut watch);
        // Flushing and dismounting may take as long as bytes still move, unless the user set a limit.
        if matches!(step, Step::Flush | Step::Dismount) && deadline.is_none() {
            wait = wait.extend_on_progress(Options::DEFAULT_STEP_TIMEOUT);
        }
        run(drive, &mut **session, &mut wait)
            .map_err(|e| e.with_subject(&drive.name).with_step(step))
    }
}

/// The system says busy, and nothing was found: says so, and what was not visible.
fn unknown_blocker(error: &Error, scan: &BlockerScan, as_whom: Option<&str>) -> Blocker {
    let mut what = format!("{error} according to the system, but no user was found");
    if scan.inaccessible_processes > 0 {
        what += &format!(" ({} process(es) could not be inspected)", scan.inaccessible_processes);
    } else if !scan.complete {
        what += " (the search was incomplete)";
    }
    let words = match as_whom {
        Some(whom) if !scan.complete => format!("run it as {whom} to see more"),
        _ => "try again: it may have been closed just now".into(),
    };
    Blocker::new(BlockerKind::Unknown, what).with_remedy(words, None)
}

/// How often it is looked who is still in the way, while that is waited for.
const RESCAN_INTERVAL: Duration = Duration::from_secs(1);

/// How long a search for blockers may take after the deadline of the release has passed.
const FINAL_SCAN_TIME: Duration = Duration::from_secs(2);

/// Where the system has no such state, that is said before anything is touched.
pub(crate) fn refuse_offline(
    platform: &dyn Platform,
    drive: &Drive,
    options: &Options,
) -> Result<()> {
    if !options.offline || platform.supports_offline() {
        return Ok(());
    }
    let why = "cannot be taken offline: this system has no such state";
    Err(Error::new(ErrorKind::NotSupported, &drive.name, why).with_help("leave --offline out"))
}

/// The same for ending programs.
pub(crate) fn refuse_kill(platform: &dyn Platform, drive: &Drive, options: &Options) -> Result<()> {
    if options.kill.is_none() || platform.can_terminate() {
        return Ok(());
    }
    let why = "programs cannot be ended for it: not available on this system";
    Err(Error::new(ErrorKind::NotSupported, &drive.name, why)
        .with_help("leave --kill out; the blockers are named, and how to remove them"))
}

/// An error in the middle says what had been taken down by then, and what is still up.
fn with_partial_progress(
    error: Error,
    gone: &[String],
    left: &[TeardownStep<'_>],
    done: &StepOutcome,
) -> Error {
    // A call that was left behind may have got through all the same.
    let through =
        |name: &String| error.attempts().iter().any(|a| a.ok && a.detail.as_ref() == Some(name));
    let up: Vec<String> = left.iter().filter_map(label).filter(|name| !through(name)).collect();
    let mut attempts = done.attempts.clone();
    attempts.extend_from_slice(error.attempts());
    let mut error = error.with_attempts(attempts);
    if !gone.is_empty() {
        error = error.append_detail(format!("dismounted by then: {}", gone.join(", ")));
        if !up.is_empty() {
            error = error.append_detail(format!("still up: {}", up.join(", ")));
        }
    }
    error
}

/// What could not be written keeps the medium in, at whichever step that was noticed.
pub(crate) fn with_retained_help(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unwritten => error.with_help(
            "the medium stays in, because data would be lost; --discard-unwritten gives it up",
        ),
        _ => error,
    }
}

/// A flush that was not waited for to its end says what it had not come to.
pub(crate) fn not_flushed(error: Error, volumes: &[Volume], bytes: Option<u64>) -> Error {
    if !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::TimedOut) {
        return error;
    }
    let names: Vec<&str> = volumes.iter().rev().map(|volume| &*volume.name).collect();
    let error = match names.is_empty() {
        true => error,
        false => error.append_detail(format!("not written to the end: {}", names.join(", "))),
    };
    match bytes {
        // As the sizes of drives are given: 1 MB is a million bytes.
        Some(bytes) if bytes > 0 => {
            error.append_detail(format!("{:.1} MB are not on the drive yet", bytes as f64 / 1e6))
        }
        _ => error,
    }
}
