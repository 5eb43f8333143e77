//! The stages of a release, as one drive goes through them ([`together`](crate::release::group) says when).

use crate::model::blocker::BlockerScan;
use crate::model::drive::{Drive, DriveKind, Medium, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::step::Step;
use crate::options::Goal;
use crate::policy::plan::Plan;
use crate::policy::plan::nothing_to_eject;
use crate::policy::plan::plan;
use crate::policy::plan::plan_ignoring_busy;
use crate::release::opened::{
    Dismounted, Ejected, Locked, Opened, StageError, refuse_kill, refuse_offline,
    with_retained_help,
};
use crate::release::operation::DriveOperation;
use crate::release::siblings::siblings_note;

/// A drive that may be dismounted.
pub(crate) enum LockState<'p> {
    /// It was found idle.
    Locked(Locked<'p>),
    /// It is in use, and is dismounted all the same.
    Forced(Opened<'p>),
}

impl DriveOperation<'_> {
    /// The plan. What is in the way counts against one that is not carried out; a release waits for it.
    pub(crate) fn plan(&mut self, drive: &Drive, carried_out: bool) -> Result<Plan> {
        let methods = |action| self.platform.methods(drive, action);
        let made = match carried_out {
            true => plan_ignoring_busy(drive, &self.options, methods),
            false => plan(drive, &self.options, methods),
        };
        let mut made = made
            .and_then(|made| refuse_offline(self.platform, drive, &self.options).map(|()| made))
            .and_then(|made| refuse_kill(self.platform, drive, &self.options).map(|()| made))
            .map_err(|e| e.with_step(Step::Resolve))?;
        if !carried_out && made.action == Action::PowerOff {
            let along = self.unrequested_siblings(drive)?;
            let off = made.steps.iter_mut().find(|step| step.step == Step::PowerOff);
            off.into_iter().for_each(|step| step.note = siblings_note(&along));
        }
        self.report.action = Some(made.action);
        Ok(made)
    }

    /// What could not be written is not ejected, unless the user said to discard it. A user who may
    /// not flush (Windows, restricted) is warned: locking and dismounting flush too.
    pub(crate) fn flush_first(&mut self, opened: &mut Opened<'_>) -> Result<()> {
        let Err(error) = self.step(Step::Flush, || opened.flush().map(|done| ((), done))) else {
            return Ok(());
        };
        match error.kind() {
            ErrorKind::Unwritten if self.options.discard_unwritten => {
                self.record_discarded(error);
                Ok(())
            }
            ErrorKind::NotPermitted => {
                self.warn(format!("{error}; dismounting flushes too"));
                Ok(())
            }
            _ => Err(with_retained_help(error)),
        }
    }

    /// Finds everything idle. What is in use is no obstacle to force.
    pub(crate) fn lock<'p>(&mut self, opened: Opened<'p>) -> Result<LockState<'p>, StageError<'p>> {
        match self.lock_or_terminate(opened) {
            Ok(locked) => Ok(LockState::Locked(locked)),
            Err(halted) => self.force_or_fail(halted).map(LockState::Forced),
        }
    }

    /// One try to find everything idle.
    pub(crate) fn try_lock<'p>(
        &mut self,
        opened: Opened<'p>,
    ) -> Result<Locked<'p>, StageError<'p>> {
        self.recorded_step(Step::Lock, || {
            opened.lock().map(|locked| {
                let done = locked.done().clone();
                (locked, done)
            })
        })
    }

    pub(crate) fn dismount<'p>(
        &mut self,
        ready: LockState<'p>,
    ) -> Result<Dismounted<'p>, StageError<'p>> {
        let opened = match ready {
            LockState::Forced(opened) => opened,
            LockState::Locked(locked) => {
                match self.recorded_step(Step::Dismount, || with_done(locked.dismount())) {
                    Ok(dismounted) => return Ok(dismounted),
                    // Something may also come in between the lock and the dismount.
                    Err(halted) => self.force_or_fail(halted)?,
                }
            }
        };
        self.recorded_step(Step::Dismount, || with_done(opened.force_dismount()))
    }

    /// Where force was wished and something is in the way, that is told; else it is halted.
    fn force_or_fail<'p>(&mut self, halted: StageError<'p>) -> Result<Opened<'p>, StageError<'p>> {
        if !self.options.force || halted.error.kind() != ErrorKind::Busy {
            return Err(halted);
        }
        let StageError { error, mut opened } = halted;
        if let Err(held) = opened.check_force() {
            return Err(StageError { error: held.with_step(Step::Lock), opened });
        }
        self.warn(format!(
            "{error}; forced: what is still open there fails from now on{}",
            affected_processes(error.scan())
        ));
        Ok(opened)
    }

    pub(crate) fn perform<'p>(
        &mut self,
        dismounted: Dismounted<'p>,
        action: Action,
    ) -> Result<Ejected<'p>, StageError<'p>> {
        let step = if action == Action::PowerOff { Step::PowerOff } else { Step::Eject };
        let nothing = (action == Action::Nothing)
            .then(|| self.report.drive.as_ref().map(|d| nothing_to_eject(d, &self.options)))
            .flatten();
        self.recorded_step(step, || {
            let ejected = dismounted.perform(action)?;
            let done = nothing.map_or_else(|| ejected.done().clone(), StepOutcome::skipped);
            Ok((ejected, done))
        })
    }

    /// The device left its bus with another drive of it.
    pub(crate) fn already_powered_off<'p>(
        &mut self,
        dismounted: Dismounted<'p>,
        other: &str,
    ) -> Result<Ejected<'p>, StageError<'p>> {
        self.recorded_step(Step::PowerOff, || {
            let ejected = dismounted.already_gone();
            Ok((
                ejected,
                StepOutcome::skipped(format!(
                    "it is on the same device as {other}, and left with it"
                )),
            ))
        })
    }

    pub(crate) fn verify(&mut self, ejected: &mut Ejected<'_>, action: Action) -> Result<()> {
        if !self.options.verify {
            return self.step(Step::Verify, || Ok(((), StepOutcome::skipped("as requested"))));
        }
        let nothing_done = action == Action::Nothing || ejected.done().skipped.is_some();
        let seen = self.step(Step::Verify, || match nothing_done {
            true => ejected.verify_dismounted(),
            false => ejected.verify(),
        });
        self.report.medium_after = match &seen {
            Ok(seen) => Some(*seen),
            Err(error) if error.kind() == ErrorKind::NotVerified => ejected.last_presence(),
            Err(_) => None,
        };
        seen.map(|_| ())
    }

    pub(crate) fn unlock(&mut self, mut opened: Opened<'_>) -> Result<()> {
        self.step(Step::Unlock, || opened.unlock().map(|done| ((), done)))
    }

    /// After a failure: lets go of what is held, and keeps the failure as the one to report.
    pub(crate) fn unlock_failed(&mut self, halted: StageError<'_>) -> Error {
        let StageError { error, opened } = halted;
        if let Err(unlock) = self.unlock(opened) {
            self.warn(unlock.to_string());
        }
        error
    }

    /// A drive with a closed tray and nothing in it: there is nothing to release, but whoever ejects
    /// it wants the tray.
    pub(crate) fn open_empty_tray(&mut self, drive: Drive, error: Error) -> Error {
        let seen = self.open(drive).and_then(|mut opened| {
            let seen = self.step(Step::Eject, || opened.open_empty_tray());
            drop(opened);
            seen
        });
        self.report.medium_after = seen.as_ref().ok().copied();
        match seen {
            Ok(Presence::TrayOpen) => error.append_detail("the tray is open now"),
            Ok(_) => error,
            Err(other) => other,
        }
    }

    pub(crate) fn should_open_tray(&self, drive: &Drive, error: &Error) -> bool {
        self.options.goal == Goal::Eject
            && error.kind() == ErrorKind::NoMedium
            && drive.kind == DriveKind::Optical
            && drive.medium == Medium::Absent
    }
}

fn with_done<'p>(
    dismounted: Result<Dismounted<'p>, StageError<'p>>,
) -> Result<(Dismounted<'p>, StepOutcome), StageError<'p>> {
    dismounted.map(|d| {
        let done = d.done().clone();
        (d, done)
    })
}

/// Whom that concerns, as far as it is known.
fn affected_processes(scan: Option<&BlockerScan>) -> String {
    const MAX_NAMED: usize = 5;
    let processes = scan.into_iter().flat_map(|s| &s.blockers).filter_map(|b| b.process.as_ref());
    let names: Vec<String> =
        processes.map(|p| format!("{} (pid {})", p.name.to_string_lossy(), p.pid)).collect();
    match names.len() {
        0 => String::new(),
        count if count > MAX_NAMED => {
            format!(": {}, and {} more", names[..MAX_NAMED].join(", "), count - MAX_NAMED)
        }
        _ => format!(": {}", names.join(", ")),
    }
}
