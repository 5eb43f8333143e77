//! Deadlines and cancellation: every wait of an operation goes through here.

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A clock to measure time and to sleep by. Simulated drives have a simulated one.
pub trait Clock {
    /// Returns the time since a fixed moment in the past. It never decreases.
    fn now(&self) -> Duration;
    /// Sleeps for this time, or less if a signal arrives.
    fn sleep(&self, time: Duration);
}

/// A flag that cancels an operation, shared with another thread or a signal handler.
///
/// The operation checks it between steps and in every wait, then unlocks the drive and fails with
/// [`ErrorKind::Interrupted`].
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Returns a flag that is not set.
    pub fn new() -> Self {
        Cancel::default()
    }

    /// Cancels the operation. Safe in a signal handler.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns true if [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Fails if [`Cancel::cancel`] was called.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub fn check(&self) -> Result<()> {
        match self.is_cancelled() {
            true => Err(Error::new(ErrorKind::Interrupted, "", "interrupted")),
            false => Ok(()),
        }
    }
}

/// Uses a flag that exists already, as a signal handler sets it.
impl From<Arc<AtomicBool>> for Cancel {
    fn from(flag: Arc<AtomicBool>) -> Self {
        Cancel(flag)
    }
}

/// Deadline of a step, with its cancellation and its progress.
pub struct Deadline<'w> {
    clock: &'w dyn Clock,
    deadline: Duration,
    /// Time by which progress extends the deadline: a slow stick with much to write is not a fault.
    stall: Option<Duration>,
    lowest: u64,
    cancel: &'w Cancel,
    on_progress: &'w mut dyn FnMut(u64),
}

impl<'w> Deadline<'w> {
    /// Returns a deadline at this moment of the clock.
    ///
    /// `on_progress` receives the bytes that are still to be written.
    pub fn until(
        clock: &'w dyn Clock,
        deadline: Duration,
        cancel: &'w Cancel,
        on_progress: &'w mut dyn FnMut(u64),
    ) -> Self {
        Deadline { clock, deadline, stall: None, lowest: u64::MAX, cancel, on_progress }
    }

    /// Extends the deadline to `stall` from now at each progress.
    ///
    /// Progress means that fewer bytes remain than ever before.
    #[must_use]
    pub fn extend_on_progress(mut self, stall: Duration) -> Self {
        self.stall = Some(stall);
        self
    }

    /// Returns a deadline that is at most `time` from now and not after this one.
    #[must_use]
    pub fn capped(&mut self, time: Duration) -> Deadline<'_> {
        let deadline = self.deadline.min(self.clock.now() + time);
        let Deadline { clock, cancel, on_progress, .. } = self;
        Deadline {
            clock: *clock,
            deadline,
            stall: None,
            lowest: u64::MAX,
            cancel,
            on_progress: *on_progress,
        }
    }

    /// Returns the time until the deadline; zero if it has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_sub(self.clock.now())
    }

    /// Returns the time of the clock.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Fails if the operation was cancelled or the deadline has passed.
    ///
    /// # Errors
    /// `Interrupted`, `TimedOut`.
    pub fn check(&self) -> Result<()> {
        self.cancel.check()?;
        if self.remaining().is_zero() {
            return Err(Error::new(ErrorKind::TimedOut, "", "no answer within the time given")
                .with_hint(Hint::AllowMoreTime));
        }
        Ok(())
    }

    /// Reports the number of bytes that are still to be written.
    pub fn report_remaining(&mut self, remaining: u64) {
        if remaining < self.lowest {
            self.lowest = remaining;
            if let Some(stall) = self.stall {
                self.deadline = self.deadline.max(self.clock.now() + stall);
            }
        }
        (self.on_progress)(remaining);
    }

    /// Reports progress where the system does not count the remaining bytes (Windows).
    pub fn note_progress(&mut self) {
        if let Some(stall) = self.stall {
            self.deadline = self.deadline.max(self.clock.now() + stall);
        }
    }

    /// Sleeps for `time`, but not past the deadline.
    ///
    /// # Errors
    /// As [`Deadline::check`].
    pub fn sleep(&self, time: Duration) -> Result<()> {
        self.check()?;
        self.clock.sleep(time.min(self.remaining()));
        self.cancel.check()
    }
}
