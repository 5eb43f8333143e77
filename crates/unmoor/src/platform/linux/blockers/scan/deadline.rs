//! How long a search may go on, and whether it moves: shared by its threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A deadline that can also be brought forward, and a pulse.
#[derive(Debug, Clone)]
pub(crate) struct ScanDeadline {
    end: Option<Instant>,
    stop: Arc<AtomicBool>,
    heartbeat: Arc<AtomicU64>,
}

impl ScanDeadline {
    /// Patience for this long.
    pub(crate) fn of(time: Duration) -> ScanDeadline {
        let end = Instant::now().checked_add(time);
        ScanDeadline { end, stop: Arc::default(), heartbeat: Arc::default() }
    }

    /// The same deadline for another thread, with a pulse of its own.
    pub(crate) fn for_thread(&self) -> ScanDeadline {
        ScanDeadline { heartbeat: Arc::default(), ..self.clone() }
    }

    /// The half of what is left, for a part of the work; its end is not the end of the whole.
    pub(crate) fn half(&self) -> ScanDeadline {
        let now = Instant::now();
        let end = self.end.map(|end| now + end.saturating_duration_since(now) / 2);
        let stop = Arc::new(AtomicBool::new(self.stop.load(Ordering::Relaxed)));
        ScanDeadline { end, stop, heartbeat: self.heartbeat.clone() }
    }

    /// Ends it now.
    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Has it been brought to its end.
    pub(crate) fn is_ended(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Shows that the thread moves; asked before every call that might not come back. Is it over.
    pub(crate) fn has_passed(&self) -> bool {
        let beat = self.heartbeat.fetch_add(1, Ordering::Relaxed);
        if self.stop.load(Ordering::Relaxed) {
            return true;
        }
        // A look at the clock costs as much as a small system call.
        beat.is_multiple_of(64) && self.end.is_some_and(|end| Instant::now() >= end) && {
            self.end();
            true
        }
    }

    /// How often the thread has moved.
    pub(crate) fn heartbeat(&self) -> u64 {
        self.heartbeat.load(Ordering::Relaxed)
    }
}
