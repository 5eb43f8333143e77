//! Deadlines, and the wish to stop: every wait of the procedure goes through here.

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A clock that the procedure can also be slept by. Simulated drives bring a simulated one.
pub trait Clock {
    /// Time since some moment in the past; never runs backwards.
    fn now(&self) -> Duration;
    /// Sleeps that long, or a little less when a signal arrives.
    fn sleep(&self, time: Duration);
}

/// The wish to stop, shared between a signal handler or another thread and the procedure.
///
/// The procedure looks at it between steps and in every wait, then unlocks and reports
/// [`ErrorKind::Interrupted`].
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Nobody wishes to stop yet.
    pub fn new() -> Self {
        Cancel::default()
    }

    /// Asks the procedure to stop. Safe to call in a signal handler.
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

/// A flag that somebody else sets, a signal handler for instance.
impl From<Arc<AtomicBool>> for Cancel {
    fn from(flag: Arc<AtomicBool>) -> Self {
        Cancel(flag)
    }
}

/// How long a step may wait, and who is told meanwhile.
pub struct Deadline<'w> {
    clock: &'w dyn Clock,
    deadline: Duration,
    /// While bytes still move, the deadline moves along: a slow stick with much to write is no fault.
    stall: Option<Duration>,
    lowest: u64,
    cancel: &'w Cancel,
    on_progress: &'w mut dyn FnMut(u64),
}

impl<'w> Deadline<'w> {
    /// A wait that ends at `deadline` by this clock. `watch` is told of bytes still to be written.
    pub fn until(
        clock: &'w dyn Clock,
        deadline: Duration,
        cancel: &'w Cancel,
        watch: &'w mut dyn FnMut(u64),
    ) -> Self {
        Deadline { clock, deadline, stall: None, lowest: u64::MAX, cancel, on_progress: watch }
    }

    /// The deadline moves on to `stall` from now whenever fewer bytes are left than ever before.
    #[must_use]
    pub fn extend_on_progress(mut self, stall: Duration) -> Self {
        self.stall = Some(stall);
        self
    }

    /// A part of this wait: it ends with it, and after `time` at the latest.
    #[must_use]
    pub fn capped(&mut self, time: Duration) -> Deadline<'_> {
        let deadline = self.deadline.min(self.clock.now() + time);
        let Deadline { clock, cancel, on_progress: watch, .. } = self;
        Deadline {
            clock: *clock,
            deadline,
            stall: None,
            lowest: u64::MAX,
            cancel,
            on_progress: *watch,
        }
    }

    /// The time that is left; zero once the deadline has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_sub(self.clock.now())
    }

    /// The present time by the clock of this wait.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Fails when somebody asked to stop, or the deadline has passed.
    pub fn check(&self) -> Result<()> {
        self.cancel.check()?;
        if self.remaining().is_zero() {
            return Err(Error::new(ErrorKind::TimedOut, "", "no answer within the time given")
                .with_hint(Hint::AllowMoreTime));
        }
        Ok(())
    }

    /// Tells how many bytes are still to be written.
    pub fn report_remaining(&mut self, left: u64) {
        if left < self.lowest {
            self.lowest = left;
            if let Some(stall) = self.stall {
                self.deadline = self.deadline.max(self.clock.now() + stall);
            }
        }
        (self.on_progress)(left);
    }

    /// Bytes moved, though the system does not say how many are left (Windows).
    pub fn note_progress(&mut self) {
        if let Some(stall) = self.stall {
            self.deadline = self.deadline.max(self.clock.now() + stall);
        }
    }

    /// Sleeps for at most `time`, never past the deadline, and fails as [`Deadline::check`] does.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        self.check()?;
        self.clock.sleep(time.min(self.remaining()));
        self.cancel.check()
    }
}
