//! The order of a release, as types: what can be ejected is what was dismounted, and what can be
//! dismounted is what was locked. Force is another door, and says so.
//!
//! Each stage owns the drive and gives it on to the next; one that halts gives it back in [`Halted`].
//! Dropping any of them unlocks, so an error, a panic or a forgotten guard leaves no lock behind.

use crate::blocker::Scan;
use crate::drive::{Drive, Presence};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::order::{Undo, undo_order};
use crate::plan::{Action, refuse_empty, refuse_system};
use crate::platform::{Platform, Session};
use crate::report::{Done, Event, Step};
use crate::target::Target;
use crate::verdict;
use crate::wait::Wait;
use std::time::Duration;

/// Who is told what happens.
pub type Observer<'p> = Box<dyn FnMut(&Event<'_>) + 'p>;

/// A drive, opened and bound: nothing has been done to it yet.
///
/// # Example
/// ```
/// use unmoor::{Opened, Options, Presence, platform::simulated::Simulated};
///
/// let machine = Simulated::demo();
/// let mut drive = Opened::new(&machine, &"sim:stick".parse()?, &Options::default())?;
/// drive.flush()?;
/// let mut ejected = drive.lock()?.dismount()?.eject()?;
/// let (seen, _) = ejected.verify()?;
/// assert_eq!(seen, Presence::Absent);
/// # Ok::<(), unmoor::Error>(())
/// ```
pub struct Opened<'p>(Box<Inner<'p>>);

struct Inner<'p> {
    platform: &'p dyn Platform,
    session: Box<dyn Session + 'p>,
    drive: Drive,
    options: Options,
    deadline: Option<Duration>,
    observer: Observer<'p>,
    /// What a flush could not write: no later stage lets go of the medium then.
    unwritten: Option<Error>,
}

/// A stage that failed: why, and the drive, still open and perhaps still locked. Dropping it unlocks;
/// `?` turns it into its error.
pub struct Halted<'p> {
    /// Why.
    pub error: Error,
    /// The drive.
    pub opened: Opened<'p>,
}

impl From<Halted<'_>> for Error {
    fn from(halted: Halted<'_>) -> Error {
        halted.error
    }
}

impl std::fmt::Debug for Halted<'_> {
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
        let drive = platform.resolve(target).map_err(|e| e.at(Step::Resolve))?;
        Opened::with(platform, drive, options)
    }

    /// Opens this drive.
    ///
    /// # Errors
    /// As [`Platform::open`].
    pub fn with(platform: &'p dyn Platform, drive: Drive, options: &Options) -> Result<Self> {
        refuse_offline(platform, &drive, options).map_err(|e| e.at(Step::Resolve))?;
        let session = platform.open(&drive).map_err(|e| e.at(Step::Resolve))?;
        let deadline = options.timeout.map(|t| platform.now() + t);
        let options = options.clone();
        let observer: Observer<'p> = Box::new(|_| {});
        let unwritten = None;
        Ok(Opened(Box::new(Inner {
            platform,
            session,
            drive,
            options,
            deadline,
            observer,
            unwritten,
        })))
    }

    /// Tells this observer from now on.
    #[must_use]
    pub fn observed(mut self, observer: Observer<'p>) -> Self {
        self.0.observer = observer;
        self
    }

    /// The timeout of the options counts from this moment of the platform's clock.
    #[must_use]
    pub(crate) fn since(mut self, start: Duration) -> Self {
        self.0.deadline = self.0.options.timeout.map(|t| start + t);
        self
    }

    /// Is the drive still there, and may this user work on it.
    ///
    /// # Errors
    /// `Gone`, `Replaced`, `NotPermitted`.
    pub fn check(&mut self) -> Result<()> {
        self.0.session.check().map_err(|e| e.at(Step::Resolve))
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
        self.0.drive = self.0.session.refresh()?;
        Ok(&self.0.drive)
    }

    /// Writes everything that is in the cache: volume by volume, the topmost first, then the drive's
    /// own cache.
    ///
    /// # Errors
    /// `Unwritten` when something could not be written; what can still be written is. No later stage
    /// lets go of the medium then, unless [`Options::discard_unwritten`] says so.
    pub fn flush(&mut self) -> Result<Done> {
        if self.0.drive.read_only {
            return Ok(Done::skipped("nothing can be written to it"));
        }
        let result = self.0.stage(Step::Flush, |drive, session, wait| {
            let mut done = Done::default();
            let mut unwritten = None;
            let mut part = |result: Result<Done>| match result {
                Ok(part) => {
                    done.add(part);
                    Ok(())
                }
                Err(error) if error.kind() == ErrorKind::Unwritten => {
                    unwritten.get_or_insert(error);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            let all = drive
                .volumes
                .iter()
                .rev()
                .try_for_each(|volume| {
                    wait.check()?;
                    part(session.flush(volume, wait))
                })
                .and_then(|()| part(session.flush_drive(wait)));
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
    pub fn lock(mut self) -> Result<Locked<'p>, Halted<'p>> {
        match self.0.lock() {
            Ok(done) => Ok(Locked { opened: self, done }),
            Err(error) => Err(self.halt(error.at(Step::Lock))),
        }
    }

    /// The other door: dismounts everything without a lock, even while it is in use. What is open then
    /// fails (Linux: EIO where the file system can; Windows: ERROR_NOT_READY).
    ///
    /// # Errors
    /// `Refused` for a system drive; what the system says.
    pub fn dismount_forced(self) -> Result<Dismounted<'p>, Halted<'p>> {
        self.dismount(true)
    }

    /// Takes the medium in.
    ///
    /// # Errors
    /// `NotSupported` by a drive without a motor; what the drive says.
    pub fn load(&mut self) -> Result<Done> {
        // Whatever medium is on the tray now is the one that is wanted: nothing to be mistaken about.
        self.0.timed(Step::Load, |_, session, wait| session.load(wait))
    }

    /// Opens the tray of a drive that has nothing in it: there is nothing to lose, so no stage is due.
    ///
    /// # Errors
    /// `Refused` when there is a medium in it after all; what the drive says.
    pub fn open_empty_tray(&mut self) -> Result<(Presence, Done)> {
        self.0.stage(Step::Eject, |drive, session, wait| {
            if session.presence()? == Presence::Present || drive.is_mounted() {
                return Err(Error::new(ErrorKind::Refused, &drive.name, "has a medium in it now"));
            }
            let done = session.let_go(Action::Eject, wait)?;
            let seen = settled(session, wait, |seen| seen == Presence::TrayOpen)?;
            Ok((seen, done))
        })
    }

    /// Asks the drive whether there is a medium in it.
    ///
    /// # Errors
    /// What the drive says.
    pub fn presence(&mut self) -> Result<Presence> {
        self.0.session.presence().map_err(|e| e.at(Step::Verify))
    }

    /// Searches for what keeps this drive busy.
    pub fn blockers(&mut self) -> Scan {
        self.0.blockers()
    }

    /// Lets go of every lock. Dropping does so too, but cannot tell of a failure.
    ///
    /// # Errors
    /// What the system says; the locks are gone all the same when the drive is closed.
    pub fn unlock(&mut self) -> Result<Done> {
        self.0.session.unlock().map_err(|e| e.at(Step::Unlock))
    }

    fn dismount(mut self, force: bool) -> Result<Dismounted<'p>, Halted<'p>> {
        let result = refuse_system(&self.0.drive).and_then(|()| self.0.dismount(force));
        match result {
            Ok(done) => Ok(Dismounted { opened: self, done }),
            Err(error) => Err(self.halt(error.at(Step::Dismount))),
        }
    }

    fn halt(self, error: Error) -> Halted<'p> {
        Halted { error, opened: self }
    }
}

impl Inner<'_> {
    fn lock(&mut self) -> Result<Done> {
        refuse_system(&self.drive)?;
        let give_up = self.platform.now() + self.options.wait.max(Options::LEAST_WAIT);
        let give_up = self.deadline.map_or(give_up, |d| d.min(give_up));
        let mut pause = Duration::from_millis(20);
        loop {
            let error = match self.try_lock() {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            self.session.unlock()?;
            let left = give_up.saturating_sub(self.platform.now());
            if error.kind() != ErrorKind::Busy || left.is_zero() {
                return Err(self.with_blockers(error));
            }
            (self.observer)(&Event::Waiting { error: &error, left });
            self.uncancelled()?;
            self.platform.sleep(pause.min(left));
            self.uncancelled()?;
            // Who was in the way may have mounted something, or unmounted it himself.
            self.drive = self.session.refresh()?;
            refuse_system(&self.drive)?;
            refuse_empty(&self.drive)?;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    fn try_lock(&mut self) -> Result<Done> {
        let mut done = Done::default();
        if self.drive.volumes.is_empty() {
            done = Done::skipped("not mounted");
        }
        for volume in self.drive.volumes.iter().rev() {
            self.session.check()?;
            done.add(self.session.try_lock(volume)?);
        }
        Ok(done)
    }

    /// Dismounts in the order of the stack, then claims the drive.
    fn dismount(&mut self, force: bool) -> Result<Done> {
        let (offline, discard) = (self.options.offline, self.options.discard_unwritten);
        let result = self.stage(Step::Dismount, |drive, session, wait| {
            let mut done = Done::default();
            let mut gone: Vec<String> = Vec::new();
            for undo in undo_order(drive) {
                let part = wait
                    .check()
                    .and_then(|()| session.check())
                    .and_then(|()| match undo {
                        Undo::Unmount(volume, mount) => session.unmount(volume, mount, force, wait),
                        Undo::Dismount(volume) => session.dismount(volume, force, wait),
                    })
                    .map_err(|e| so_far(e, &gone, &done))?;
                if part.skipped.is_none() {
                    gone.push(match undo {
                        Undo::Unmount(_, mount) => mount.path.display().to_string(),
                        Undo::Dismount(volume) => volume.name.clone(),
                    });
                }
                done.add(part);
            }
            match session.claim(force, wait) {
                Err(lost) if discard && lost.kind() == ErrorKind::Unwritten => {
                    done = done.with_warning(format!("{lost}; discarded at your wish"));
                }
                other => done.add(other.map_err(|e| so_far(e, &gone, &done))?),
            }
            for volume in drive.volumes.iter().rev().filter(|_| offline) {
                let part = session.offline(volume, wait).map_err(|e| so_far(e, &gone, &done))?;
                done.add(part);
            }
            Ok(done)
        });
        result.map_err(|e| self.with_blockers(e))
    }

    fn blockers(&mut self) -> Scan {
        let Inner { platform, session, options, deadline, observer, .. } = self;
        let mut watch = |left| observer(&Event::Flushing { left });
        // A search after the deadline is still worth a moment: it is the answer the user waits for.
        let now = platform.now();
        let end = deadline.unwrap_or(now + Options::STEP_TIME).max(now + SEARCH);
        session.blockers(&mut Wait::until(*platform, end, &options.cancel, &mut watch))
    }

    fn with_blockers(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Busy || error.scan().is_some() {
            return error;
        }
        let scan = self.blockers();
        error.with_scan(scan)
    }

    fn uncancelled(&self) -> Result<()> {
        match self.options.cancel.is_cancelled() {
            true => {
                Err(Error::new(ErrorKind::Interrupted, &self.drive.name, "stopped at your wish"))
            }
            false => Ok(()),
        }
    }

    /// Runs one step on the bound device only.
    fn stage<T>(
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
    fn timed<T>(
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

/// An error in the middle says what had been dismounted by then.
fn so_far(error: Error, gone: &[String], done: &Done) -> Error {
    let mut attempts = done.attempts.clone();
    attempts.extend_from_slice(error.attempts());
    let error = error.with_attempts(attempts);
    match gone {
        [] => error,
        gone => error.and_detail(format!("dismounted by then: {}", gone.join(", "))),
    }
}

/// Every volume of the drive was found idle. Unlocks when dropped.
pub struct Locked<'p> {
    opened: Opened<'p>,
    done: Done,
}

impl<'p> Locked<'p> {
    /// What locking had to say.
    pub fn done(&self) -> &Done {
        &self.done
    }

    /// Dismounts everything, what lies on top first, and takes the whole drive: from here on nothing
    /// uses it.
    ///
    /// # Errors
    /// `Busy` when something came in between after all; the error says what was dismounted by then.
    /// `Unwritten` when what dismounting wrote could not be written.
    pub fn dismount(self) -> Result<Dismounted<'p>, Halted<'p>> {
        self.opened.dismount(false)
    }

    /// Changes nothing and lets go.
    ///
    /// # Errors
    /// As [`Opened::unlock`].
    pub fn unlock(mut self) -> Result<Opened<'p>> {
        self.opened.unlock()?;
        Ok(self.opened)
    }
}

/// Nothing of the drive is mounted any more, and it is ours alone (unless it was forced and something
/// still holds a dead handle). Unlocks when dropped.
pub struct Dismounted<'p> {
    opened: Opened<'p>,
    done: Done,
}

impl<'p> Dismounted<'p> {
    /// What dismounting had to say.
    pub fn done(&self) -> &Done {
        &self.done
    }

    /// Ejects the medium.
    ///
    /// # Errors
    /// `NotSupported` when the drive knows no method, with every one that was tried; `Unwritten` when
    /// a flush could not write something; what the drive says.
    pub fn eject(self) -> Result<Ejected<'p>, Halted<'p>> {
        self.let_go(Action::Eject)
    }

    /// Takes the device off its bus.
    ///
    /// # Errors
    /// What the system and the drive say.
    pub fn power_off(self) -> Result<Ejected<'p>, Halted<'p>> {
        self.let_go(Action::PowerOff)
    }

    /// Carries out the last action of a plan.
    ///
    /// # Errors
    /// What the system and the drive say.
    pub fn let_go(mut self, action: Action) -> Result<Ejected<'p>, Halted<'p>> {
        let step = if action == Action::PowerOff { Step::PowerOff } else { Step::Eject };
        let inner = &self.opened.0;
        let unwritten = inner.unwritten.clone().filter(|_| !inner.options.discard_unwritten);
        let result = match (action, unwritten) {
            (Action::Nothing, _) => Ok(Done::skipped("nothing to eject")),
            (_, Some(error)) => Err(error),
            _ => self.opened.0.stage(step, |_, session, wait| session.let_go(action, wait)),
        };
        match result {
            Ok(done) => Ok(Ejected { opened: self.opened, action, done, seen: None }),
            Err(error) => Err(self.opened.halt(error)),
        }
    }

    /// Leaves the medium where it is and lets go: the next access may mount it again.
    ///
    /// # Errors
    /// As [`Opened::unlock`].
    pub fn unlock(mut self) -> Result<Opened<'p>> {
        self.opened.unlock()?;
        Ok(self.opened)
    }
}

/// The drive was told to let go, and said yes. Whether it did, [`Ejected::verify`] looks. Unlocks when
/// dropped.
pub struct Ejected<'p> {
    opened: Opened<'p>,
    action: Action,
    done: Done,
    seen: Option<Presence>,
}

impl<'p> Ejected<'p> {
    /// What the drive had to say.
    pub fn done(&self) -> &Done {
        &self.done
    }

    /// What the last look at it saw, also when that was not what should be.
    pub fn seen(&self) -> Option<Presence> {
        self.seen
    }

    /// Looks whether the drive did what it said yes to. A motor needs its time: the drive is asked
    /// again for some seconds.
    ///
    /// # Errors
    /// `NotEjected` when it did not; [`Error::detail`] says what was seen instead.
    pub fn verify(&mut self) -> Result<(Presence, Done)> {
        let inner = &mut *self.opened.0;
        let action = self.action;
        let last = &mut self.seen;
        inner.timed(Step::Verify, |drive, session, wait| {
            let judge = |seen| verdict::judge(drive, action, seen);
            let seen = settled(session, wait, |seen| judge(seen).is_some())?;
            *last = Some(seen);
            match judge(seen) {
                Some(done) => Ok((seen, done)),
                None => Err(verdict::not_ejected(drive, action, seen)),
            }
        })
    }

    /// Where nothing was to be ejected: looks whether nothing of the drive is mounted any more.
    ///
    /// # Errors
    /// `NotEjected` when something mounted it again.
    pub fn verify_dismounted(&mut self) -> Result<(Presence, Done)> {
        self.opened.0.timed(Step::Verify, |_, session, _| {
            let now = session.refresh()?;
            if let Some(mount) = now.mounts().first() {
                return Err(Error::new(
                    ErrorKind::NotEjected,
                    &now.name,
                    format!("is mounted again, on {}", mount.path.display()),
                ));
            }
            let seen = session.presence()?;
            Ok((seen, Done::default().with_note("nothing of it is mounted")))
        })
    }

    /// Lets go of the drive and gives it back.
    ///
    /// # Errors
    /// As [`Opened::unlock`].
    pub fn unlock(mut self) -> Result<Opened<'p>> {
        self.opened.unlock()?;
        Ok(self.opened)
    }

    /// The drive, still claimed.
    pub(crate) fn into_opened(self) -> Opened<'p> {
        self.opened
    }
}

/// Asks the drive again and again until it shows what is expected, or has had its time; what it showed
/// last.
fn settled(
    session: &mut dyn Session,
    wait: &Wait<'_>,
    expected: impl Fn(Presence) -> bool,
) -> Result<Presence> {
    let settle = wait.now() + SETTLE;
    let mut pause = Duration::from_millis(20);
    loop {
        let seen = match session.presence() {
            Err(e) if e.kind() == ErrorKind::Gone => Presence::Gone,
            other => other?,
        };
        if expected(seen) || wait.now() >= settle || wait.left() <= pause {
            return Ok(seen);
        }
        wait.sleep(pause)?;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// How long a drive gets to do what it said yes to.
const SETTLE: Duration = Duration::from_secs(5);
