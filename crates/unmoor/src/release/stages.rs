//! The stages after the first: locked, dismounted, ejected.

use crate::deadline::Deadline;
use crate::model::drive::Presence;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::step::Step;
use crate::platform::Session;
use crate::policy::verify;
use crate::release::open_drive::OpenDrive;
use crate::release::opened::{Opened, StageError};
use std::time::Duration;

/// Every volume of the drive was found idle. Unlocks when dropped.
pub struct Locked<'p> {
    pub(crate) opened: Opened<'p>,
    pub(crate) done: StepOutcome,
}

impl<'p> Locked<'p> {
    /// What locking had to say.
    pub fn done(&self) -> &StepOutcome {
        &self.done
    }

    /// Dismounts everything, what lies on top first, and takes the whole drive: from here on nothing
    /// uses it.
    ///
    /// # Errors
    /// `Busy` when something came in between after all; the error says what was dismounted by then.
    /// `Unwritten` when what dismounting wrote could not be written.
    pub fn dismount(self) -> Result<Dismounted<'p>, StageError<'p>> {
        self.opened.dismount(false)
    }

    /// The drive, still locked.
    pub(crate) fn into_opened(self) -> Opened<'p> {
        self.opened
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
    pub(crate) opened: Opened<'p>,
    pub(crate) done: StepOutcome,
}

impl<'p> Dismounted<'p> {
    /// What dismounting had to say.
    pub fn done(&self) -> &StepOutcome {
        &self.done
    }

    /// Ejects the medium.
    ///
    /// # Errors
    /// `NotSupported` when the drive knows no method, with every one that was tried; `Unwritten` when
    /// a flush could not write something; what the drive says.
    pub fn eject(self) -> Result<Ejected<'p>, StageError<'p>> {
        self.perform(Action::Eject)
    }

    /// Takes the device off its bus.
    ///
    /// # Errors
    /// What the system and the drive say.
    pub fn power_off(self) -> Result<Ejected<'p>, StageError<'p>> {
        self.perform(Action::PowerOff)
    }

    /// Carries out the last action of a plan.
    ///
    /// # Errors
    /// `Busy` when something could not be cut off by force, and the medium would stay within its reach;
    /// what the system and the drive say.
    pub fn perform(mut self, action: Action) -> Result<Ejected<'p>, StageError<'p>> {
        let step = if action == Action::PowerOff { Step::PowerOff } else { Step::Eject };
        let inner = &self.opened.0;
        let unwritten = inner.unwritten.clone().filter(|_| !inner.options.discard_unwritten);
        let result = match (action, unwritten) {
            (Action::Nothing | Action::Stop | Action::Detach, _)
                if !self.done.still_writable.is_empty() =>
            {
                Err(still_writable_error(inner, &self.done).with_step(step))
            }
            (Action::Nothing, _) => Ok(StepOutcome::skipped("nothing to eject")),
            (_, Some(error)) => Err(error),
            _ => self.opened.0.checked_step(step, |_, session, wait| session.perform(action, wait)),
        };
        match result {
            Ok(done) => Ok(Ejected { opened: self.opened, action, done, last_presence: None }),
            Err(error) => Err(self.opened.fail_with(error)),
        }
    }

    /// As [`Opened::release_handles`].
    pub(crate) fn release_handles(&mut self) {
        self.opened.release_handles();
    }

    /// The device left its bus already, with another drive of it.
    pub(crate) fn already_gone(self) -> Ejected<'p> {
        Ejected {
            opened: self.opened,
            action: Action::PowerOff,
            done: StepOutcome::default(),
            last_presence: None,
        }
    }

    /// The drive, still claimed.
    pub(crate) fn into_opened(self) -> Opened<'p> {
        self.opened
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
    done: StepOutcome,
    last_presence: Option<Presence>,
}

impl<'p> Ejected<'p> {
    /// What the drive had to say.
    pub fn done(&self) -> &StepOutcome {
        &self.done
    }

    /// What the last look at it saw, also when that was not what should be.
    pub fn last_presence(&self) -> Option<Presence> {
        self.last_presence
    }

    /// Looks whether the drive did what it said yes to. A motor needs its time: the drive is asked
    /// again for some seconds.
    ///
    /// # Errors
    /// `NotVerified` when it did not; [`Error::detail`] says what was seen instead.
    pub fn verify(&mut self) -> Result<(Presence, StepOutcome)> {
        let inner = &mut *self.opened.0;
        let action = self.action;
        let last = &mut self.last_presence;
        inner.step(Step::Verify, |drive, session, wait| {
            let judge = |seen| verify::verify(drive, action, seen);
            let seen = poll_presence(session, wait, |seen| judge(seen).is_some())?;
            *last = Some(seen);
            match judge(seen) {
                Some(done) => Ok((seen, done)),
                None => Err(verify::not_verified(drive, action, seen)),
            }
        })
    }

    /// Where nothing was to be ejected: looks whether nothing of the drive is mounted any more.
    ///
    /// # Errors
    /// `NotVerified` when something mounted it again.
    pub fn verify_dismounted(&mut self) -> Result<(Presence, StepOutcome)> {
        self.opened.0.step(Step::Verify, |_, session, wait| {
            let now = session.refresh()?;
            if let Some(mount) = now.mounts().first() {
                return Err(Error::new(
                    ErrorKind::NotVerified,
                    &now.name,
                    format!("is mounted again, on {}", mount.path.display()),
                ));
            }
            let seen = session.presence(wait)?;
            Ok((seen, StepOutcome::default().with_note("nothing of it is mounted")))
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

/// What stays in the drive, and can be written to, is not released.
fn still_writable_error(inner: &OpenDrive<'_>, done: &StepOutcome) -> Error {
    let what = done.still_writable.join(", ");
    Error::new(
        ErrorKind::Busy,
        &inner.drive.name,
        format!("programs that have {what} open can still write to it: it could not be cut off"),
    )
    .with_help("close them, or let the medium go too: without --dismount-only, or with --power-off")
}

/// Asks the drive again and again until it shows what is expected, or has had its time; what it showed
/// last.
pub(crate) fn poll_presence(
    session: &mut dyn Session,
    wait: &mut Deadline<'_>,
    expected: impl Fn(Presence) -> bool,
) -> Result<Presence> {
    let settle = wait.now() + VERIFY_TIMEOUT;
    let mut pause = Duration::from_millis(20);
    loop {
        let seen = match session.presence(wait) {
            Err(e) if e.kind() == ErrorKind::Gone => Presence::Gone,
            other => other?,
        };
        if expected(seen) || wait.now() >= settle || wait.remaining() <= pause {
            return Ok(seen);
        }
        wait.sleep(pause)?;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// How long a drive gets to do what it said yes to.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(5);
