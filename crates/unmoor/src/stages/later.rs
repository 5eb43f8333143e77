//! The stages after the first: locked, dismounted, ejected.

use super::inner::Inner;
use super::{Halted, Opened};
use crate::drive::Presence;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Action;
use crate::platform::Session;
use crate::report::{Done, Step};
use crate::verdict;
use crate::wait::Wait;
use std::time::Duration;

/// Every volume of the drive was found idle. Unlocks when dropped.
pub struct Locked<'p> {
    pub(super) opened: Opened<'p>,
    pub(super) done: Done,
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
    pub(super) opened: Opened<'p>,
    pub(super) done: Done,
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
    /// `Busy` when something could not be cut off by force, and the medium would stay within its reach;
    /// what the system and the drive say.
    pub fn let_go(mut self, action: Action) -> Result<Ejected<'p>, Halted<'p>> {
        let step = if action == Action::PowerOff { Step::PowerOff } else { Step::Eject };
        let inner = &self.opened.0;
        let unwritten = inner.unwritten.clone().filter(|_| !inner.options.discard_unwritten);
        let result = match (action, unwritten) {
            (Action::Nothing | Action::Stop | Action::Detach, _)
                if !self.done.within_reach.is_empty() =>
            {
                Err(within_reach(inner, &self.done).at(step))
            }
            (Action::Nothing, _) => Ok(Done::skipped("nothing to eject")),
            (_, Some(error)) => Err(error),
            _ => self.opened.0.stage(step, |_, session, wait| session.let_go(action, wait)),
        };
        match result {
            Ok(done) => Ok(Ejected { opened: self.opened, action, done, seen: None }),
            Err(error) => Err(self.opened.halt(error)),
        }
    }

    /// As [`Opened::stand_back`].
    pub(crate) fn stand_back(&mut self) {
        self.opened.stand_back();
    }

    /// The device left its bus already, with another drive of it.
    pub(crate) fn left(self) -> Ejected<'p> {
        Ejected { opened: self.opened, action: Action::PowerOff, done: Done::default(), seen: None }
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
        self.opened.0.timed(Step::Verify, |_, session, wait| {
            let now = session.refresh()?;
            if let Some(mount) = now.mounts().first() {
                return Err(Error::new(
                    ErrorKind::NotEjected,
                    &now.name,
                    format!("is mounted again, on {}", mount.path.display()),
                ));
            }
            let seen = session.presence(wait)?;
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

/// What stays in the drive, and can be written to, is not released.
fn within_reach(inner: &Inner<'_>, done: &Done) -> Error {
    let what = done.within_reach.join(", ");
    Error::new(
        ErrorKind::Busy,
        &inner.drive.name,
        format!("programs that have {what} open can still write to it: it could not be cut off"),
    )
    .with_help("close them, or let the medium go too: without --dismount-only, or with --power-off")
}

/// Asks the drive again and again until it shows what is expected, or has had its time; what it showed
/// last.
pub(super) fn settled(
    session: &mut dyn Session,
    wait: &mut Wait<'_>,
    expected: impl Fn(Presence) -> bool,
) -> Result<Presence> {
    let settle = wait.now() + SETTLE;
    let mut pause = Duration::from_millis(20);
    loop {
        let seen = match session.presence(wait) {
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
