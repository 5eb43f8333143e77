//! One open drive: its session, and each step of a release as one method.

use crate::deadline::Deadline;
use crate::model::cdrom::CdromSetting;
use crate::model::drive::{Drive, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::{Report, StepOutcome};
use crate::model::step::{Action, Step};
use crate::model::volume::Volume;
use crate::options::{Goal, Options};
use crate::platform::Session;
use crate::policy::data_loss::discard;
use crate::policy::plan::{self, nothing_to_eject};
use crate::policy::preconditions::check_medium;
use crate::policy::verify;
use crate::release::operation::DriveOperation;
use crate::release::signaled::{self, Signaled};
use std::time::Duration;

/// Time for a drive to do what it has accepted.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// Cause of a dismount without a lock.
pub(crate) struct ForcedBy {
    /// The error that force overrides.
    pub(crate) cause: String,
    /// Processes that lose access, for the warning.
    pub(crate) affected: String,
}

/// An open drive and the operation on it. Dropping it unlocks the drive.
pub(crate) struct OpenDrive<'p> {
    pub(crate) operation: DriveOperation<'p>,
    pub(crate) session: Box<dyn Session + 'p>,
    /// Processes that `--kill` has signaled. Their services are started again after the unlock.
    pub(crate) signaled: Vec<Signaled<'p>>,
    pub(crate) drive: Drive,
    /// Volumes of this drive that another drive of the group dismounts.
    pub(crate) delegated: Vec<String>,
    /// Drives of the same device that a power-off takes along, claimed until this one is released.
    pub(crate) siblings: Vec<OpenDrive<'p>>,
    /// True once this user was found to be permitted the whole release.
    authorized: bool,
    /// True if the last lock had to wait.
    pub(crate) had_to_wait: bool,
    /// Refusal of a dismount that is tried again.
    pub(crate) refusal: Option<Error>,
    /// Set if the drive is dismounted without a lock.
    pub(crate) forced: Option<ForcedBy>,
    /// True if this user may not lock the volumes, and the removal of the device locks and dismounts them.
    pub(crate) locks_left_to_removal: bool,
    /// Failed flush that keeps the medium in.
    unwritten: Option<Error>,
    /// Volumes that stay writable after a forced dismount.
    pub(crate) still_writable: Vec<String>,
    /// Action that the drive has accepted.
    ejected: Option<Action>,
}

impl<'p> OpenDrive<'p> {
    /// Opens the drive. Permissions are not checked: a scan for blockers may do without.
    pub(crate) fn open(mut operation: DriveOperation<'p>, drive: Drive) -> Result<Self> {
        let session = operation.open_session(&drive)?;
        Ok(OpenDrive::new(operation, drive, session))
    }

    /// Opens the drive and fails if this user may not work on it.
    ///
    /// # Errors
    /// The report of the failed operation.
    pub(crate) fn open_checked(
        mut operation: DriveOperation<'p>,
        drive: Drive,
    ) -> Result<Self, Box<Report>> {
        let session = match operation.open_session(&drive) {
            Ok(session) => session,
            Err(error) => return Err(Box::new(operation.fail(error))),
        };
        let mut open = OpenDrive::new(operation, drive, session);
        match open.check() {
            Ok(()) => Ok(open),
            Err(error) => Err(Box::new(open.operation.fail(error))),
        }
    }

    fn new(
        mut operation: DriveOperation<'p>,
        drive: Drive,
        session: Box<dyn Session + 'p>,
    ) -> Self {
        operation.report.drive.get_or_insert_with(|| drive.clone());
        OpenDrive {
            operation,
            session,
            signaled: Vec::new(),
            drive,
            delegated: Vec::new(),
            siblings: Vec::new(),
            authorized: false,
            had_to_wait: false,
            refusal: None,
            forced: None,
            locks_left_to_removal: false,
            unwritten: None,
            still_writable: Vec::new(),
            ejected: None,
        }
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        self.session.check().map_err(|e| e.with_step(Step::Resolve))
    }

    /// Checks once, before the first step, that this user may carry out the whole release.
    pub(crate) fn authorize(&mut self) -> Result<()> {
        if self.authorized {
            return Ok(());
        }
        let OpenDrive { operation, session, drive, .. } = self;
        let (platform, interactive) = (operation.platform, operation.options.interactive);
        let planned = plan::action(drive, &operation.options, |a| platform.methods(drive, a));
        let action = operation.report.action.or(planned.ok()).unwrap_or(Action::Nothing);
        let mut end = operation.end_of_step();
        if interactive && operation.end().is_none() {
            end = platform.now() + Options::PASSWORD_TIMEOUT;
        }
        let authorized = operation
            .with_deadline(end, |deadline| session.authorize(action, interactive, deadline));
        authorized.map_err(|e| e.with_subject(&drive.name).with_step(Step::Resolve))?;
        self.authorized = true;
        Ok(())
    }

    pub(crate) fn refresh(&mut self) -> Result<()> {
        self.drive = self.session.refresh()?;
        self.omit_delegated();
        Ok(())
    }

    /// Refreshes the drive after a wait. Meanwhile it may have been mounted, or lost its medium.
    pub(crate) fn refresh_after_wait(&mut self) -> Result<()> {
        self.refresh()?;
        check_medium(&self.drive, Goal::Eject)
    }

    /// Leaves these volumes to another drive of the group.
    pub(crate) fn delegate(&mut self, volumes: Vec<String>) {
        self.delegated = volumes;
        self.omit_delegated();
    }

    fn omit_delegated(&mut self) {
        let delegated = &self.delegated;
        self.drive.volumes.retain(|volume| !delegated.contains(&volume.name));
    }

    /// Flushes every volume, the topmost first, then the drive's own cache.
    ///
    /// One volume that cannot be written does not keep the others from being flushed.
    pub(crate) fn flush(&mut self) -> Result<StepOutcome> {
        let OpenDrive { operation, session, drive, .. } = self;
        let result = operation.step(Step::Flush, |deadline| {
            if drive.read_only {
                return Ok(StepOutcome::skipped("nothing can be written to it"));
            }
            check(&mut **session, deadline)?;
            let mut flushed = Flushed::default();
            let mut left = drive.volumes.len();
            let volumes = drive.volumes.iter().rev().try_for_each(|volume| {
                deadline.check()?;
                flushed.add(session.flush(volume, deadline))?;
                left -= 1;
                Ok(())
            });
            let result = volumes.and_then(|()| flushed.add(session.flush_drive(deadline)));
            let left = &drive.volumes[..left];
            flushed.into_outcome(result.map_err(|e| not_flushed(e, left, session.unwritten())))
        });
        if let Err(error) = &result
            && error.kind() == ErrorKind::Unwritten
        {
            self.unwritten = Some(error.clone());
        }
        result
    }

    /// Decides whether a release goes on after its flush.
    ///
    /// A user who may not flush (Windows, restricted) gets a warning. Locking and dismounting flush too.
    pub(crate) fn accept_flush(&mut self, flushed: Result<StepOutcome>) -> Result<()> {
        let Err(error) = flushed else { return Ok(()) };
        if error.kind() == ErrorKind::NotPermitted {
            self.operation.warn(format!("{error}; dismounting flushes too"));
            return Ok(());
        }
        let lost = discard(error, &self.operation.options)?;
        self.operation.record_discarded(lost);
        Ok(())
    }

    /// Carries out the last action of the plan.
    pub(crate) fn perform(&mut self, action: Action) -> Result<StepOutcome> {
        let step = if action == Action::PowerOff { Step::PowerOff } else { Step::Eject };
        let OpenDrive { operation, session, drive, unwritten, still_writable, .. } = self;
        let nothing = nothing_to_eject(drive, &operation.options);
        if action == Action::Nothing && nothing.is_none() && still_writable.is_empty() {
            return Ok(operation.skip(step));
        }
        let options = operation.options.clone();
        let outcome = operation.step(step, |deadline| {
            let stays = matches!(action, Action::Nothing | Action::Stop | Action::Detach);
            if stays && !still_writable.is_empty() {
                return Err(verify::still_writable(drive, still_writable));
            }
            if action == Action::Nothing {
                return Ok(StepOutcome::skipped(nothing.unwrap_or_default()));
            }
            if let Some(error) = unwritten.clone() {
                discard(error, &options)?;
            }
            check(&mut **session, deadline)?;
            session.perform(action, deadline)
        })?;
        self.ejected = outcome.skipped.is_none().then_some(action);
        Ok(outcome)
    }

    /// Records that the device has left its bus together with another drive of it.
    pub(crate) fn record_left_with(&mut self, other: &str) -> Result<()> {
        let why = format!("it is on the same device as {other}, and left with it");
        self.operation.step(Step::PowerOff, |_| Ok(StepOutcome::skipped(why)))?;
        self.ejected = Some(Action::PowerOff);
        Ok(())
    }

    /// Verifies that the drive did what it accepted, or that nothing is mounted if it was asked nothing.
    pub(crate) fn verify(&mut self) -> Result<StepOutcome> {
        let OpenDrive { operation, session, drive, ejected, .. } = self;
        let mut seen = None;
        let outcome = operation.step(Step::Verify, |deadline| match *ejected {
            Some(action) => {
                let outcome = |seen| verify::verify(drive, action, seen);
                let last = poll_presence(&mut **session, deadline, |now| outcome(now).is_some())?;
                seen = Some(last);
                outcome(last).ok_or_else(|| verify::not_verified(drive, action, last))
            }
            None => {
                verify::check_dismounted(&session.refresh()?)?;
                seen = Some(session.presence(deadline)?);
                Ok(StepOutcome::default().with_note("nothing of it is mounted"))
            }
        });
        operation.report.medium_after = seen;
        outcome
    }

    /// Verifies the release unless the options leave that out.
    pub(crate) fn verify_if_requested(&mut self) -> Result<StepOutcome> {
        match self.operation.options.verify {
            true => self.verify(),
            false => Ok(self.operation.skip(Step::Verify)),
        }
    }

    /// Opens the tray of an empty drive: nothing can be lost, so no other step is due.
    ///
    /// Returns true if the tray is open then.
    pub(crate) fn open_empty_tray(&mut self) -> Result<bool> {
        let OpenDrive { operation, session, drive, .. } = self;
        let is_open = |now| now == Presence::TrayOpen;
        let mut seen = None;
        let outcome = operation.step(Step::Eject, |deadline| {
            check(&mut **session, deadline)?;
            if session.presence(deadline)? == Presence::Present || drive.is_mounted() {
                return Err(Error::new(ErrorKind::Refused, &drive.name, "has a medium in it now"));
            }
            let outcome = session.perform(Action::Eject, deadline)?;
            seen = Some(poll_presence(&mut **session, deadline, is_open)?);
            Ok(outcome)
        });
        operation.report.medium_after = seen;
        outcome.map(|_| seen.is_some_and(is_open))
    }

    /// Loads the medium. A medium that was exchanged on the open tray is welcome, so nothing is checked.
    pub(crate) fn load(&mut self) -> Result<StepOutcome> {
        let OpenDrive { operation, session, .. } = self;
        operation.step(Step::Load, |deadline| session.load(deadline))
    }

    pub(crate) fn set_cdrom(&mut self, setting: CdromSetting) -> Result<()> {
        let OpenDrive { operation, session, drive, .. } = self;
        let end = operation.end_of_step();
        let done = operation.with_deadline(end, |deadline| session.set_cdrom(setting, deadline));
        done.map_err(|error| error.with_subject(&drive.name))
    }

    /// Asks the drive whether a medium is in it.
    pub(crate) fn presence(&mut self) -> Result<Presence> {
        let OpenDrive { operation, session, .. } = self;
        let mut seen = Presence::Unknown;
        operation.step(Step::Verify, |deadline| {
            seen = session.presence(deadline)?;
            Ok(StepOutcome::default().with_note(seen.description()))
        })?;
        operation.report.medium_after = Some(seen);
        Ok(seen)
    }

    /// Claims and flushes a drive of which nothing is mounted.
    pub(crate) fn claim(&mut self) -> Result<StepOutcome> {
        let OpenDrive { operation, session, .. } = self;
        let end = operation.end_of_step();
        operation.with_deadline(end, |deadline| {
            check(&mut **session, deadline)?;
            session.claim(false, deadline)
        })
    }

    /// Closes the handles that would keep the device on its bus, of this drive and its siblings.
    pub(crate) fn release_handles(&mut self) {
        self.session.release_handles();
        self.siblings.iter_mut().for_each(OpenDrive::release_handles);
    }

    pub(crate) fn unlock(&mut self) -> Result<StepOutcome> {
        let OpenDrive { operation, session, signaled: stopped, .. } = self;
        operation.step(Step::Unlock, |_| {
            let unlocked = session.unlock();
            let restarted = signaled::restart(stopped);
            unlocked.map(|mut done| {
                if restarted != StepOutcome::default() {
                    done.merge(restarted);
                }
                done
            })
        })
    }

    /// Unlocks the drive and reports this error. An unlock that fails too becomes a warning.
    pub(crate) fn fail(mut self, error: Error) -> Report {
        if let Err(unlock) = self.unlock() {
            self.operation.warn(unlock.to_string());
        }
        self.operation.fail(error)
    }
}

/// Fails if the time is over, the operation was cancelled, or the device is another one.
pub(crate) fn check(session: &mut dyn Session, deadline: &Deadline<'_>) -> Result<()> {
    deadline.check()?;
    session.check()
}

/// Outcomes of the parts of a flush.
#[derive(Default)]
struct Flushed {
    outcome: StepOutcome,
    unwritten: Option<Error>,
}

impl Flushed {
    /// Adds one part. Unwritten data is kept for the end; any other error ends the flush.
    fn add(&mut self, part: Result<StepOutcome>) -> Result<()> {
        match part {
            Err(error) if error.kind() == ErrorKind::Unwritten => {
                self.unwritten.get_or_insert(error);
                Ok(())
            }
            part => part.map(|part| self.outcome.merge(part)),
        }
    }

    /// Returns the outcome. Lost data is the more important error, whatever failed after it.
    fn into_outcome(self, result: Result<()>) -> Result<StepOutcome> {
        self.unwritten.map_or(result.map(|()| self.outcome), Err)
    }
}

/// Adds to the error of an unfinished flush what had not been written by then.
fn not_flushed(error: Error, volumes: &[Volume], bytes: Option<u64>) -> Error {
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
            let tenths = bytes.saturating_add(50_000) / 100_000;
            let (whole, tenth) = (tenths / 10, tenths % 10);
            error.append_detail(format!("{whole}.{tenth} MB are not on the drive yet"))
        }
        _ => error,
    }
}

/// Polls the drive until it shows what is `expected` or its time is over. Returns what it showed last.
fn poll_presence(
    session: &mut dyn Session,
    deadline: &mut Deadline<'_>,
    expected: impl Fn(Presence) -> bool,
) -> Result<Presence> {
    let end = deadline.now() + VERIFY_TIMEOUT;
    let mut pause = Duration::from_millis(20);
    loop {
        let seen = match session.presence(deadline) {
            Err(e) if e.kind() == ErrorKind::Gone => Presence::Gone,
            other => other?,
        };
        if expected(seen) || deadline.now() >= end || deadline.remaining() <= pause {
            return Ok(seen);
        }
        deadline.sleep(pause)?;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}
