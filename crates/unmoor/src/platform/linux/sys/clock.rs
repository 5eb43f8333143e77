//! `clock_gettime(2)`: the monotonic clock, and deadlines by it.

use crate::deadline::{Cancel, Clock, Deadline};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

/// The kernel's monotonic clock (`CLOCK_MONOTONIC`).
#[derive(Debug, Clone, Copy, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
        Duration::new(tv_sec.unsigned_abs(), u32::try_from(tv_nsec).unwrap_or(0))
    }

    /// Sleeps until the time has passed or a signal arrives, so that Ctrl-C is heard at once.
    fn sleep(&self, time: Duration) {
        let _ = rustix::thread::nanosleep(&timespec(time));
    }
}

/// Returns the time as the kernel takes it.
pub fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ }
}

/// Calls `run` with a deadline that passes after `time` and that nothing cancels.
pub fn within<T>(time: Duration, run: impl FnOnce(&mut Deadline<'_>) -> T) -> T {
    let (clock, cancel) = (MonotonicClock, Cancel::new());
    let mut ignore = |_| {};
    run(&mut Deadline::until(&clock, clock.now() + time, &cancel, &mut ignore))
}
