//! The order of a release, as types: what can be ejected is what was dismounted, and what can be
//! dismounted is what was locked. Force is another door, and says so.
//!
//! Each stage owns the drive and gives it on to the next; one that halts gives it back in [`StageError`].
//! Dropping any of them unlocks, so an error, a panic or a forgotten guard leaves no lock behind.

pub(crate) use crate::release::open_drive::{refuse_kill, refuse_offline, with_retained_help};
pub use crate::release::stages::{Dismounted, Ejected, Locked};

use crate::deadline::Deadline;
use crate::model::blocker::BlockerScan;
use crate::model::drive::{Drive, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::Event;
use crate::model::report::StepOutcome;
use crate::model::report::Termination;
use crate::model::step::Action;
use crate::model::step::Step;
use crate::model::target::Target;
use crate::options::Kill;
use crate::options::Options;
use crate::platform::Platform;
use crate::release::open_drive::{OpenDrive, not_flushed};
use crate::release::stages::poll_presence;
use std::time::Duration;

/// Who is told what happens.
pub type StageEvents<'p> = Box<dyn FnMut(&Event<'_>) + 'p>;

/// A drive, opened and bound: nothing has been done to it yet.
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
/// let (seen, _) = ejected.verify()?;
/// assert_eq!(seen, Presence::Absent);
/// # Ok::<(), unmoor::Error>(())
/// ```
pub struct Opened<'p>(pub(crate) Box<OpenDrive<'p>>);

/// A stage that failed: why, and the drive, still open and perhaps still locked. Dropping it unlocks;
/// `?` turns it into its error.
pub struct StageError<'p> {
    /// Why.
    pub error: Error,
    /// The drive.
    pub opened: Opened<'p>,
}

impl From<StageError<'_>> for Error {
    fn from(halted: StageError<'_>) -> Error {
        halted.error
    }
}

impl std::fmt::Debug for StageError<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl<'p> Opened<'p> {
    /// Finds the drive that `target` means and opens it.
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
    /// As [`Platform::open`].
    pub fn open(platform: &'p dyn Platform, drive: Drive, options: &Options) -> Result<Self> {
        refuse_offline(platform, &drive, options).map_err(|e| e.with_step(Step::Resolve))?;
        refuse_kill(platform, &drive, options).map_err(|e| e.with_step(Step::Resolve))?;
        let deadline = options.timeout.map(|t| platform.now() + t);
        let mut watch = |_| {};
        let end = deadline.unwrap_or_else(|| platform.now() + Options::DEFAULT_STEP_TIMEOUT);
        let mut wait = Deadline::until(platform, end, &options.cancel, &mut watch);
        let session = platform.open(&drive, &mut wait);
        let session = session.map_err(|e| e.with_subject(&drive.name).with_step(Step::Resolve))?;
        let options = options.clone();
        let observer: StageEvents<'p> = Box::new(|_| {});
        let unwritten = None;
        Ok(Opened(Box::new(OpenDrive {
            platform,
            session,
            drive,
            options,
            deadline,
            observer,
            unwritten,
            delegated: Vec::new(),
        })))
    }

    /// Tells this observer from now on.
    #[must_use]
    pub fn with_events(mut self, observer: StageEvents<'p>) -> Self {
        self.0.observer = observer;
        self
    }

    /// The timeout of the options counts from this moment of the platform's clock.
    #[must_use]
    pub(crate) fn started_at(mut self, start: Duration) -> Self {
        self.0.deadline = self.0.options.timeout.map(|t| start + t);
        self
    }

    /// These volumes are taken down with another drive that they lie on too.
    #[must_use]
    pub(crate) fn without_volumes(mut self, volumes: Vec<String>) -> Self {
        self.0.delegated = volumes;
        let drive = self.0.drive.clone();
        self.0.drive = self.0.without_delegated(drive);
        self
    }

    /// Something in the way is waited for so long from now on.
    pub(crate) fn set_busy_timeout(&mut self, time: Duration) {
        self.0.options.wait = time;
    }

    /// Is the drive still there, and may this user work on it.
    ///
    /// # Errors
    /// `Gone`, `Replaced`, `NotPermitted`.
    pub fn check(&mut self) -> Result<()> {
        self.0.session.check().map_err(|e| e.with_step(Step::Resolve))
    }

    /// The drive as it was when it was opened, or last refreshed.
    pub fn drive(&self) -> &Drive {
        &self.0.drive
    }

    /// The drive as it is now.
    ///
    /// # Errors
    /// `Gone`, `Replaced`.
    pub fn refresh(&mut self) -> Result<&Drive> {
        self.0.refresh()?;
        Ok(&self.0.drive)
    }

    /// Writes everything that is in the cache: volume by volume, the topmost first, then the drive's
    /// own cache.
    ///
    /// # Errors
    /// `Unwritten` when something could not be written; what can still be written is. No later stage
    /// lets go of the medium then, unless [`Options::discard_unwritten`] says so.
    pub fn flush(&mut self) -> Result<StepOutcome> {
        if self.0.drive.read_only {
            return Ok(StepOutcome::skipped("nothing can be written to it"));
        }
        let result = self.0.checked_step(Step::Flush, |drive, session, wait| {
            let mut done = StepOutcome::default();
            let mut unwritten = None;
            let mut part = |result: Result<StepOutcome>| match result {
                Ok(part) => {
                    done.merge(part);
                    Ok(())
                }
                Err(error) if error.kind() == ErrorKind::Unwritten => {
                    unwritten.get_or_insert(error);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            let mut left = drive.volumes.len();
            let all = drive
                .volumes
                .iter()
                .rev()
                .try_for_each(|volume| {
                    wait.check()?;
                    part(session.flush(volume, wait))?;
                    left -= 1;
                    Ok(())
                })
                .and_then(|()| part(session.flush_drive(wait)))
                .map_err(|error| not_flushed(error, &drive.volumes[..left], session.unwritten()));
            // Lost data is the news, whatever else went wrong after it.
            unwritten.map_or(all.map(|()| done), Err)
        });
        if let Err(error) = &result
            && error.kind() == ErrorKind::Unwritten
        {
            self.0.unwritten = Some(error.clone());
        }
        result
    }

    /// Finds every volume idle, and keeps it so where the system can. While something is in the way
    /// it is tried again for [`Options::wait`]; observers are told.
    ///
    /// # Errors
    /// `Busy`, with what is in the way; nothing is locked then. `Refused` for a system drive.
    pub fn lock(mut self) -> Result<Locked<'p>, StageError<'p>> {
        match self.0.lock() {
            Ok(done) => Ok(Locked { opened: self, done }),
            Err(error) => Err(self.fail_with(error.with_step(Step::Lock))),
        }
    }

    /// The other door: dismounts everything without a lock, even while it is in use. What is open then
    /// fails (Linux: EIO where the file system can; Windows: ERROR_NOT_READY).
    ///
    /// # Errors
    /// `Refused` for a system drive; `NotExclusive` as [`Opened::check_force`]; what the system says.
    pub fn force_dismount(mut self) -> Result<Dismounted<'p>, StageError<'p>> {
        match self.check_force() {
            Ok(()) => self.dismount(true),
            Err(error) => Err(self.fail_with(error.with_step(Step::Dismount))),
        }
    }

    /// Would force take nothing along that is not this drive's.
    ///
    /// # Errors
    /// `NotExclusive`, with what is in the way.
    pub fn check_force(&mut self) -> Result<()> {
        self.0.check_force()
    }

    /// Takes the medium in.
    ///
    /// # Errors
    /// `NotSupported` by a drive without a motor; what the drive says.
    pub fn load(&mut self) -> Result<StepOutcome> {
        // Whatever medium is on the tray now is the one that is wanted: nothing to be mistaken about.
        self.0.step(Step::Load, |_, session, wait| session.load(wait))
    }

    /// Opens the tray of a drive that has nothing in it: there is nothing to lose, so no stage is due.
    ///
    /// # Errors
    /// `Refused` when there is a medium in it after all; what the drive says.
    pub fn open_empty_tray(&mut self) -> Result<(Presence, StepOutcome)> {
        self.0.checked_step(Step::Eject, |drive, session, wait| {
            if session.presence(wait)? == Presence::Present || drive.is_mounted() {
                return Err(Error::new(ErrorKind::Refused, &drive.name, "has a medium in it now"));
            }
            let done = session.perform(Action::Eject, wait)?;
            let seen = poll_presence(session, wait, |seen| seen == Presence::TrayOpen)?;
            Ok((seen, done))
        })
    }

    /// Takes a drive that nothing is mounted of for ourselves, and flushes it.
    ///
    /// # Errors
    /// `Busy` when something of it is in use.
    pub(crate) fn claim(&mut self) -> Result<StepOutcome> {
        self.0.checked_step(Step::Resolve, |_, session, wait| session.claim(false, wait))
    }

    /// Closes what would keep the device on its bus, which another drive of it takes along now.
    pub(crate) fn release_handles(&mut self) {
        self.0.session.release_handles();
    }

    /// Asks the drive whether there is a medium in it.
    ///
    /// # Errors
    /// What the drive says.
    pub fn presence(&mut self) -> Result<Presence> {
        self.0.step(Step::Verify, |_, session, wait| session.presence(wait))
    }

    /// Searches for what keeps this drive busy. Where nothing is found and asking keeps nobody out, the
    /// system is asked as well: what it says is busy is never "nothing".
    pub fn blockers(&mut self) -> BlockerScan {
        self.0.blockers_or_unknown()
    }

    /// Ends the programs that this scan has named, if they are all that is in the way (or
    /// [`Options::force`] moves the rest) and the user agrees. What came of each is added to `ended`,
    /// also when it fails.
    ///
    /// # Errors
    /// `TimedOut`, `Interrupted`: who was asked to end by then may do so yet.
    pub fn terminate_processes(
        &mut self,
        kill: &Kill,
        scan: &BlockerScan,
        ended: &mut Vec<Termination>,
    ) -> Result<StepOutcome> {
        self.0
            .terminate_processes(kill, scan, ended)
            .map_err(|e| e.with_subject(&self.0.drive.name).with_step(Step::Kill))
    }

    /// Lets go of every lock. Dropping does so too, but cannot tell of a failure.
    ///
    /// # Errors
    /// What the system says; the locks are gone all the same when the drive is closed.
    pub fn unlock(&mut self) -> Result<StepOutcome> {
        self.0.session.unlock().map_err(|e| e.with_step(Step::Unlock))
    }

    pub(crate) fn dismount(mut self, force: bool) -> Result<Dismounted<'p>, StageError<'p>> {
        let result = self.0.refuse().and_then(|()| self.0.dismount(force));
        match result {
            Ok(done) => Ok(Dismounted { opened: self, done }),
            Err(error) => Err(self.fail_with(error.with_step(Step::Dismount))),
        }
    }

    pub(crate) fn fail_with(self, error: Error) -> StageError<'p> {
        StageError { error, opened: self }
    }
}
