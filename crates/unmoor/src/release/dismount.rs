//! Dismounting: takes the stack down from the top, then claims the drive. What fails on the way is taken back.

use crate::deadline::{Cancel, Deadline};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Step;
use crate::model::teardown::{TeardownStep, teardown_order};
use crate::policy::data_loss::discard;
use crate::policy::overrides::may_force;
use crate::policy::plan::label;
use crate::policy::preconditions::check_release;
use crate::release::open_drive::{ForcedBy, OpenDrive, check};
use std::time::Duration;

/// Time for mounting again what a dismount that failed had unmounted.
const MOUNT_AGAIN_TIME: Duration = Duration::from_secs(5);

impl OpenDrive<'_> {
    /// Dismounts a locked drive; by force if the options allow it and something has come in between.
    pub(crate) fn dismount_or_force(&mut self) -> Result<()> {
        if self.forced.is_none() {
            match self.dismount(false) {
                Ok(_) => return Ok(()),
                Err(error) => self.force_or_fail(error)?,
            }
        }
        let dismounted = self.dismount(true).map(drop);
        if let Some(ForcedBy { cause, affected }) = &self.forced {
            self.operation.warn(match dismounted {
                Ok(()) => {
                    format!("{cause}; forced: what is still open there fails from now on{affected}")
                }
                // What came before the failure may be cut off.
                Err(_) => format!("{cause}; force was tried, and failed"),
            });
        }
        dismounted
    }

    /// Dismounts everything in the order of the stack and claims the drive.
    ///
    /// With `force`, open files do not keep a volume mounted, but mounts of other drives do. Without, what a
    /// dismount that fails has unmounted is mounted again, unless the options force the rest.
    pub(crate) fn dismount(&mut self, force: bool) -> Result<StepOutcome> {
        let left_to_removal = self.locks_left_to_removal && !force;
        self.authorize()?;
        let OpenDrive { operation, session, drive, .. } = self;
        let options = operation.options.clone();
        let outcome = operation.step(Step::Dismount, |deadline| {
            if left_to_removal {
                return Ok(StepOutcome::skipped("the removal of the device dismounts it"));
            }
            if force {
                session.check_foreign_mounts()?;
            }
            check_release(drive, &options)?;
            check(&mut **session, deadline)?;
            let mut outcome = StepOutcome::default();
            let mut gone: Vec<String> = Vec::new();
            let order = teardown_order(drive);
            for (at, &undo) in order.iter().enumerate() {
                let mut attempt = || {
                    check(&mut **session, deadline)?;
                    match undo {
                        TeardownStep::SwapOff(volume, path) => {
                            session.swap_off(volume, path, deadline)
                        }
                        TeardownStep::Unmount(volume, mount) => {
                            session.unmount(volume, mount, force, deadline)
                        }
                        TeardownStep::Dismount(volume) => session.dismount(volume, force, deadline),
                    }
                };
                // The system reports unwritten data once: the next attempt goes through.
                let part = attempt().or_else(|error| {
                    let lost = discard(located(error, &drive.name), &options)?;
                    attempt().map(|part| part.with_discarded(lost))
                });
                let part =
                    part.map_err(|e| with_partial_progress(e, &gone, &order[at..], &outcome))?;
                if part.skipped.is_none() {
                    gone.push(match undo {
                        TeardownStep::Dismount(volume) => volume.name.clone(),
                        _ => label(&undo).unwrap_or_default(),
                    });
                }
                outcome.merge(part);
            }
            let claimed = session.claim(force, deadline).or_else(|error| {
                let lost = discard(located(error, &drive.name), &options)?;
                Ok(StepOutcome::default().with_discarded(lost))
            });
            outcome.merge(claimed.map_err(|e| with_partial_progress(e, &gone, &[], &outcome))?);
            for volume in drive.volumes.iter().rev().filter(|_| options.offline) {
                let part = session.offline(volume, deadline);
                outcome.merge(part.map_err(|e| with_partial_progress(e, &gone, &[], &outcome))?);
            }
            Ok(outcome)
        });
        let outcome = outcome.map_err(|error| {
            let error = self.with_blockers(error);
            match force || may_force(&error, &options) {
                true => error,
                false => self.mount_again(error),
            }
        })?;
        self.still_writable.clone_from(&outcome.still_writable);
        Ok(outcome)
    }

    /// Mounts again what was unmounted, and adds to the error which mounts are back.
    ///
    /// A drive that is gone, or does not answer, is left alone. A drive that was forced is too.
    pub(crate) fn mount_again(&mut self, error: Error) -> Error {
        use ErrorKind::{Gone, NoMedium, Replaced, TimedOut};
        if self.forced.is_some() || matches!(error.kind(), Gone | NoMedium | Replaced | TimedOut) {
            return error;
        }
        let OpenDrive { operation, session, .. } = self;
        let platform = operation.platform;
        let end = operation.end_of_step().min(platform.now() + MOUNT_AGAIN_TIME);
        // Ctrl-C ends the release, and leaves no drive that is half dismounted.
        let (cancel, mut ignore) = (Cancel::new(), |_| {});
        let mut deadline = Deadline::until(platform, end, &cancel, &mut ignore);
        let done = match session.mount_again(&mut deadline) {
            Ok(done) => done,
            Err(failed) => {
                return error.append_detail(format!("could not be mounted again: {failed}"));
            }
        };
        done.warnings.into_iter().for_each(|warning| operation.warn(warning));
        let back: Vec<String> = done.attempts.into_iter().filter_map(|a| a.detail).collect();
        match back.is_empty() {
            true => error,
            false => error.append_detail(format!("mounted again: {}", back.join(", "))),
        }
    }
}

fn located(error: Error, subject: &str) -> Error {
    error.with_subject(subject).with_step(Step::Dismount)
}

/// Adds to an error in the middle what is dismounted by then, and what is still up.
fn with_partial_progress(
    error: Error,
    gone: &[String],
    left: &[TeardownStep<'_>],
    outcome: &StepOutcome,
) -> Error {
    // A call that was left behind at its deadline may have succeeded all the same.
    let succeeded =
        |name: &String| error.attempts().iter().any(|a| a.ok && a.detail.as_ref() == Some(name));
    let up: Vec<String> = left.iter().filter_map(label).filter(|name| !succeeded(name)).collect();
    let mut attempts = outcome.attempts.clone();
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
