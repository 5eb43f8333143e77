//! The order of a release as types: only a dismounted drive can be ejected, and only a locked drive
//! can be dismounted. Force is a door of its own.
//!
//! Each stage owns the drive and passes it to the next. A stage that fails gives the drive back in
//! [`StageError`]. Dropping any of them unlocks the drive, so an error, a panic or a forgotten guard
//! leaves no lock behind.

use crate::model::blocker::BlockerScan;
use crate::model::cdrom::CdromSetting;
use crate::model::drive::{Drive, Presence};
use crate::model::error::{Error, Result};
use crate::model::event::EventHandler;
use crate::model::report::{Report, StepOutcome};
use crate::model::step::{Action, Step};
use crate::model::target::Target;
use crate::options::{Kill, Options};
use crate::platform::Platform;
use crate::release::open_drive::OpenDrive;
use crate::release::operation::DriveOperation;

/// A drive that is open and bound to its device. Nothing has been done to it yet.
///
/// Opening needs no exclusive access and changes nothing. The stages are [`Send`]: a program may open
/// a drive on one thread and eject it on another.
///
/// # Example
/// ```
/// use unmoor::{Opened, Options, Presence};
/// use unmoor_simulated::Simulated;
///
/// let machine = Simulated::demo();
/// let mut drive = Opened::new(&machine, &"sim:stick".parse()?, &Options::default())?;
/// drive.flush()?;
/// let mut ejected = drive.lock()?.dismount()?.eject()?;
/// ejected.verify()?;
/// assert_eq!(ejected.last_presence(), Some(Presence::Absent));
/// # Ok::<(), unmoor::Error>(())
/// ```
pub struct Opened<'p>(Box<OpenDrive<'p>>);

/// A stage that failed, with its error and the drive.
///
/// The drive is still open and may still be locked. Dropping it unlocks the drive. The `?` operator turns it into its error.
pub struct StageError<'p> {
    /// The error.
    pub error: Error,
    /// The drive.
    pub opened: Opened<'p>,
}

impl From<StageError<'_>> for Error {
    fn from(failed: StageError<'_>) -> Error {
        failed.error
    }
}

impl std::fmt::Debug for StageError<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl<'p> Opened<'p> {
    /// Resolves the target and opens its drive.
    ///
    /// # Errors
    /// As [`Platform::resolve`] and [`Platform::open`].
    pub fn new(platform: &'p dyn Platform, target: &Target, options: &Options) -> Result<Self> {
        let drive = platform.resolve(target).map_err(|e| e.with_step(Step::Resolve))?;
        Opened::open(platform, drive, options)
    }

    /// Opens this drive.
    ///
    /// # Errors
    /// As [`Platform::open`]. `NotSupported` if the platform lacks something that the options ask for.
    pub fn open(platform: &'p dyn Platform, drive: Drive, options: &Options) -> Result<Self> {
        let events = Box::new(|_| {});
        let operation = DriveOperation::new(platform, drive.name.clone(), options, events);
        operation.check_supported(&drive)?;
        Ok(Opened(Box::new(OpenDrive::open(operation, drive)?)))
    }

    /// Sends the events of this and all later stages to `events`.
    #[must_use]
    pub fn with_events(mut self, events: Box<EventHandler<'p>>) -> Self {
        self.0.operation.set_events(events);
        self
    }

    /// Verifies that the drive is still there.
    ///
    /// # Errors
    /// `Gone`, `Replaced`, `NotPermitted`.
    pub fn check(&mut self) -> Result<()> {
        self.0.check()
    }

    /// Checks that this user may carry out the whole release. [`Locked::dismount`] does so too.
    ///
    /// # Errors
    /// `NotPermitted`.
    pub fn authorize(&mut self) -> Result<()> {
        self.0.authorize()
    }

    /// Returns the drive as it was when it was opened or last refreshed.
    pub fn drive(&self) -> &Drive {
        &self.0.drive
    }

    /// Returns the report so far: steps, warnings and terminated processes.
    ///
    /// Its outcome is [`Planned`](crate::Outcome::Planned).
    pub fn report(&self) -> &Report {
        &self.0.operation.report
    }

    /// Reads the state of the drive anew and returns it.
    ///
    /// # Errors
    /// `Gone`, `Replaced`.
    pub fn refresh(&mut self) -> Result<&Drive> {
        self.0.refresh()?;
        Ok(&self.0.drive)
    }

    /// Flushes every volume, the topmost first, then the drive's own cache.
    ///
    /// One volume that cannot be written does not keep the others from being flushed.
    ///
    /// # Errors
    /// `Unwritten` if some data could not be written. No later stage ejects the medium then, unless
    /// [`Options::discard_unwritten`] is set.
    pub fn flush(&mut self) -> Result<StepOutcome> {
        self.0.flush()
    }

    /// Locks every volume where the system can, or finds it idle.
    ///
    /// While something blocks a volume, the lock is tried again for [`Options::wait`].
    ///
    /// # Errors
    /// `Busy`, with the blockers; nothing is locked then. `Refused` for a system drive.
    pub fn lock(mut self) -> Result<Locked<'p>, StageError<'p>> {
        match self.0.lock() {
            Ok(outcome) => Ok(Locked { opened: self, outcome }),
            Err(error) => Err(StageError { error, opened: self }),
        }
    }

    /// Dismounts everything without a lock, even while it is in use.
    ///
    /// Open handles fail from then on (Linux: `EIO` where the file system supports it; Windows:
    /// `ERROR_NOT_READY`).
    ///
    /// # Errors
    /// `Refused` for a system drive; `NotExclusive` as [`Opened::check_force`]; what the system reports.
    pub fn force_dismount(self) -> Result<Dismounted<'p>, StageError<'p>> {
        self.dismount(true)
    }

    /// Fails if force would take along a mount of another drive.
    ///
    /// # Errors
    /// `NotExclusive`, with the blockers.
    pub fn check_force(&mut self) -> Result<()> {
        self.0.check_force()
    }

    /// Loads the medium.
    ///
    /// # Errors
    /// `NotSupported` by a drive without a motor; what the drive reports.
    pub fn load(&mut self) -> Result<StepOutcome> {
        self.0.load()
    }

    /// Changes a setting of an optical drive.
    ///
    /// # Errors
    /// `NotSupported` on systems without it (Windows); `NotPermitted`; `TimedOut`; what the drive reports.
    pub fn set_cdrom(&mut self, setting: CdromSetting) -> Result<()> {
        self.0.set_cdrom(setting)
    }

    /// Opens the tray of an empty drive. Returns true if the tray is open then.
    ///
    /// # Errors
    /// `Refused` if there is a medium in it after all; what the drive reports.
    pub fn open_empty_tray(&mut self) -> Result<bool> {
        self.0.open_empty_tray()
    }

    /// Asks the drive whether a medium is in it.
    ///
    /// # Errors
    /// What the drive reports.
    pub fn presence(&mut self) -> Result<Presence> {
        self.0.presence()
    }

    /// Scans for what blocks the drive.
    ///
    /// If the scan finds nothing, the system itself is asked, if that excludes no other user. A drive that
    /// the system reports as busy is never returned as free.
    pub fn blockers(&mut self) -> BlockerScan {
        self.0.blockers_or_unknown()
    }

    /// Terminates the processes of this scan, if that frees the drive and the user agrees.
    ///
    /// [`Report::ended`] of [`Opened::report`] lists what became of each, also after an error. With
    /// [`Options::force`], other blockers do not matter.
    ///
    /// # Errors
    /// `TimedOut`, `Interrupted`: a process that was signaled by then may still exit.
    pub fn terminate_processes(&mut self, kill: &Kill, scan: &BlockerScan) -> Result<StepOutcome> {
        self.0.terminate_processes(kill, scan)
    }

    /// Releases every lock. Dropping does so too, but cannot report a failure.
    ///
    /// # Errors
    /// What the system reports. The locks are gone all the same once the drive is closed.
    pub fn unlock(&mut self) -> Result<StepOutcome> {
        self.0.unlock()
    }

    fn dismount(mut self, force: bool) -> Result<Dismounted<'p>, StageError<'p>> {
        match self.0.dismount(force) {
            Ok(outcome) => Ok(Dismounted { opened: self, outcome }),
            Err(error) => Err(StageError { error, opened: self }),
        }
    }
}

/// A drive of which every volume was found idle. Unlocks when dropped.
pub struct Locked<'p> {
    opened: Opened<'p>,
    outcome: StepOutcome,
}

impl<'p> Locked<'p> {
    /// Returns the outcome of the lock.
    pub fn outcome(&self) -> &StepOutcome {
        &self.outcome
    }

    /// Dismounts everything from the top of the stack and claims the drive.
    ///
    /// # Errors
    /// `Busy` if a volume has come into use after all. What was unmounted by then is mounted again (Linux); the error
    /// says so.
    /// `Unwritten` if data that the dismount wrote could not be written.
    pub fn dismount(self) -> Result<Dismounted<'p>, StageError<'p>> {
        self.opened.dismount(false)
    }

    /// Releases the locks and changes nothing.
    ///
    /// # Errors
    /// As [`Opened::unlock`].
    pub fn unlock(mut self) -> Result<Opened<'p>> {
        self.opened.unlock()?;
        Ok(self.opened)
    }
}

/// A drive of which nothing is mounted, claimed for this session. Unlocks when dropped.
///
/// After a forced dismount, programs may still hold handles that fail.
pub struct Dismounted<'p> {
    opened: Opened<'p>,
    outcome: StepOutcome,
}

impl<'p> Dismounted<'p> {
    /// Returns the outcome of the dismount.
    pub fn outcome(&self) -> &StepOutcome {
        &self.outcome
    }

    /// Ejects the medium.
    ///
    /// # Errors
    /// `NotSupported` if the drive knows no method, with every method tried; `Unwritten` if a flush
    /// failed; what the drive reports.
    pub fn eject(self) -> Result<Ejected<'p>, StageError<'p>> {
        self.perform(Action::Eject)
    }

    /// Takes the device off its bus.
    ///
    /// # Errors
    /// As [`Dismounted::eject`].
    pub fn power_off(self) -> Result<Ejected<'p>, StageError<'p>> {
        self.perform(Action::PowerOff)
    }

    /// Carries out the last action of a [`Plan`](crate::Plan).
    ///
    /// # Errors
    /// `Busy` if the medium would stay in the drive and programs could still write to it; as
    /// [`Dismounted::eject`].
    pub fn perform(mut self, action: Action) -> Result<Ejected<'p>, StageError<'p>> {
        match self.opened.0.perform(action) {
            Ok(outcome) => Ok(Ejected { opened: self.opened, outcome }),
            Err(error) => Err(StageError { error, opened: self.opened }),
        }
    }

    /// Releases the claim and leaves the medium in the drive. The next access may mount it again.
    ///
    /// # Errors
    /// As [`Opened::unlock`].
    pub fn unlock(mut self) -> Result<Opened<'p>> {
        self.opened.unlock()?;
        Ok(self.opened)
    }
}

/// A drive that has accepted the eject. Unlocks when dropped.
///
/// Firmware may accept an eject and do nothing: [`Ejected::verify`] finds out.
pub struct Ejected<'p> {
    opened: Opened<'p>,
    outcome: StepOutcome,
}

impl<'p> Ejected<'p> {
    /// Returns the outcome of the eject.
    pub fn outcome(&self) -> &StepOutcome {
        &self.outcome
    }

    /// Returns what the last verification saw, also if that was not what was expected.
    pub fn last_presence(&self) -> Option<Presence> {
        self.opened.0.operation.report.medium_after
    }

    /// Verifies that the drive did what it accepted. Polls the drive for up to five seconds.
    ///
    /// If there was nothing to eject, verifies that nothing of the drive is mounted.
    ///
    /// # Errors
    /// `NotVerified` if it did not.
    pub fn verify(&mut self) -> Result<StepOutcome> {
        self.opened.0.verify()
    }

    /// Releases the drive and returns it.
    ///
    /// # Errors
    /// As [`Opened::unlock`].
    pub fn unlock(mut self) -> Result<Opened<'p>> {
        self.opened.unlock()?;
        Ok(self.opened)
    }
}
