//! The stages of a release, as one drive goes through them ([`together`](crate::together) says when).

use super::Run;
use super::siblings::go_along;
use crate::blocker::Scan;
use crate::drive::{Drive, DriveKind, Medium, Presence};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Goal;
use crate::plan::{Action, Plan, nothing_to_eject, plan, plan_once_idle};
use crate::report::{Done, Step};
use crate::stages::{
    Dismounted, Ejected, Halted, Locked, Opened, refuse_kill, refuse_offline, stays_in,
};

/// A drive that may be dismounted.
pub(crate) enum Ready<'p> {
    /// It was found idle.
    Locked(Locked<'p>),
    /// It is in use, and is dismounted all the same.
    ByForce(Opened<'p>),
}

impl Run<'_> {
    /// The plan. What is in the way counts against one that is not carried out; a release waits for it.
    pub(crate) fn plan(&mut self, drive: &Drive, carried_out: bool) -> Result<Plan> {
        let methods = |action| self.platform.methods(drive, action);
        let made = match carried_out {
            true => plan_once_idle(drive, &self.options, methods),
            false => plan(drive, &self.options, methods),
        };
        let mut made = made
            .and_then(|made| refuse_offline(self.platform, drive, &self.options).map(|()| made))
            .and_then(|made| refuse_kill(self.platform, drive, &self.options).map(|()| made))
            .map_err(|e| e.at(Step::Resolve))?;
        if !carried_out && made.action == Action::PowerOff {
            let along = self.siblings_along(drive)?;
            let off = made.steps.iter_mut().find(|step| step.step == Step::PowerOff);
            off.into_iter().for_each(|step| step.note = go_along(&along));
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
                self.give_up(error);
                Ok(())
            }
            ErrorKind::NotPermitted => {
                self.warn(format!("{error}; dismounting flushes too"));
                Ok(())
            }
            _ => Err(stays_in(error)),
        }
    }

    /// Finds everything idle. What is in use is no obstacle to force.
    pub(crate) fn lock<'p>(&mut self, opened: Opened<'p>) -> Result<Ready<'p>, Halted<'p>> {
        match self.lock_or_make_room(opened) {
            Ok(locked) => Ok(Ready::Locked(locked)),
            Err(halted) => self.force_it(halted).map(Ready::ByForce),
        }
    }

    /// One try to find everything idle.
    pub(crate) fn lock_once<'p>(&mut self, opened: Opened<'p>) -> Result<Locked<'p>, Halted<'p>> {
        self.stage(Step::Lock, || {
            opened.lock().map(|locked| {
                let done = locked.done().clone();
                (locked, done)
            })
        })
    }

    pub(crate) fn dismount<'p>(&mut self, ready: Ready<'p>) -> Result<Dismounted<'p>, Halted<'p>> {
        let opened = match ready {
            Ready::ByForce(opened) => opened,
            Ready::Locked(locked) => {
                match self.stage(Step::Dismount, || with_done(locked.dismount())) {
                    Ok(dismounted) => return Ok(dismounted),
                    // Something may also come in between the lock and the dismount.
                    Err(halted) => self.force_it(halted)?,
                }
            }
        };
        self.stage(Step::Dismount, || with_done(opened.dismount_forced()))
    }

    /// Where force was wished and something is in the way, that is told; else it is halted.
    fn force_it<'p>(&mut self, halted: Halted<'p>) -> Result<Opened<'p>, Halted<'p>> {
        if !self.options.force || halted.error.kind() != ErrorKind::Busy {
            return Err(halted);
        }
        let Halted { error, mut opened } = halted;
        if let Err(held) = opened.may_be_forced() {
            return Err(Halted { error: held.at(Step::Lock), opened });
        }
        self.warn(format!(
            "{error}; forced: what is still open there fails from now on{}",
            cut_off(error.scan())
        ));
        Ok(opened)
    }

    pub(crate) fn let_go<'p>(
        &mut self,
        dismounted: Dismounted<'p>,
        action: Action,
    ) -> Result<Ejected<'p>, Halted<'p>> {
        let step = if action == Action::PowerOff { Step::PowerOff } else { Step::Eject };
        let nothing = (action == Action::Nothing)
            .then(|| self.report.drive.as_ref().map(|d| nothing_to_eject(d, &self.options)))
            .flatten();
        self.stage(step, || {
            let ejected = dismounted.let_go(action)?;
            let done = nothing.map_or_else(|| ejected.done().clone(), Done::skipped);
            Ok((ejected, done))
        })
    }

    /// The device left its bus with another drive of it.
    pub(crate) fn left_with<'p>(
        &mut self,
        dismounted: Dismounted<'p>,
        other: &str,
    ) -> Result<Ejected<'p>, Halted<'p>> {
        self.stage(Step::PowerOff, || {
            let ejected = dismounted.left();
            Ok((
                ejected,
                Done::skipped(format!("it is the same device as {other}, and left with it")),
            ))
        })
    }

    pub(crate) fn verify(&mut self, ejected: &mut Ejected<'_>, action: Action) -> Result<()> {
        if !self.options.verify {
            return self.step(Step::Verify, || Ok(((), Done::skipped("left out at your wish"))));
        }
        let nothing_done = action == Action::Nothing || ejected.done().skipped.is_some();
        let seen = self.step(Step::Verify, || match nothing_done {
            true => ejected.verify_dismounted(),
            false => ejected.verify(),
        });
        self.report.medium_after = match &seen {
            Ok(seen) => Some(*seen),
            Err(error) if error.kind() == ErrorKind::NotEjected => ejected.seen(),
            Err(_) => None,
        };
        seen.map(|_| ())
    }

    pub(crate) fn unlock(&mut self, mut opened: Opened<'_>) -> Result<()> {
        self.step(Step::Unlock, || opened.unlock().map(|done| ((), done)))
    }

    /// After a failure: lets go of what is held, and keeps the failure as the one to report.
    pub(crate) fn unlock_halted(&mut self, halted: Halted<'_>) -> Error {
        let Halted { error, opened } = halted;
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
            Ok(Presence::TrayOpen) => error.and_detail("the tray is open now"),
            Ok(_) => error,
            Err(other) => other,
        }
    }

    pub(crate) fn wants_the_tray(&self, drive: &Drive, error: &Error) -> bool {
        self.options.goal == Goal::Eject
            && error.kind() == ErrorKind::NoMedium
            && drive.kind == DriveKind::Optical
            && drive.medium == Medium::Absent
    }
}

fn with_done<'p>(
    dismounted: Result<Dismounted<'p>, Halted<'p>>,
) -> Result<(Dismounted<'p>, Done), Halted<'p>> {
    dismounted.map(|d| {
        let done = d.done().clone();
        (d, done)
    })
}

/// Whom that concerns, as far as it is known.
fn cut_off(scan: Option<&Scan>) -> String {
    const FEW: usize = 5;
    let processes = scan.into_iter().flat_map(|s| &s.blockers).filter_map(|b| b.process.as_ref());
    let names: Vec<String> =
        processes.map(|p| format!("{} (pid {})", p.name.to_string_lossy(), p.pid)).collect();
    match names.len() {
        0 => String::new(),
        count if count > FEW => format!(": {}, and {} more", names[..FEW].join(", "), count - FEW),
        _ => format!(": {}", names.join(", ")),
    }
}
