//! End of a scan, shared by its threads, and the heartbeat of each.

use crate::platform::stuck_pool::Heartbeat;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Deadline that can also be brought forward, with the heartbeat of one thread.
#[derive(Debug, Clone)]
pub(crate) struct ScanDeadline {
    end: Option<Instant>,
    stop: Arc<AtomicBool>,
    heartbeat: Arc<Heartbeat>,
}

impl ScanDeadline {
    /// Returns a deadline this far in the future.
    pub(crate) fn of(time: Duration) -> ScanDeadline {
        let end = Instant::now().checked_add(time);
        ScanDeadline { end, stop: Arc::default(), heartbeat: Arc::default() }
    }

    /// Returns the same deadline for a thread with this heartbeat.
    pub(crate) fn for_thread(&self, heartbeat: &Arc<Heartbeat>) -> ScanDeadline {
        ScanDeadline { heartbeat: heartbeat.clone(), ..self.clone() }
    }

    /// Returns a deadline at half of the remaining time.
    ///
    /// Its end does not end the whole scan.
    pub(crate) fn half(&self) -> ScanDeadline {
        let now = Instant::now();
        let end = self.end.map(|end| now + end.saturating_duration_since(now) / 2);
        let stop = Arc::new(AtomicBool::new(self.stop.load(Ordering::Relaxed)));
        ScanDeadline { end, stop, heartbeat: self.heartbeat.clone() }
    }

    /// Ends the scan now.
    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Returns true if the scan has to end.
    pub(crate) fn is_ended(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Counts a heartbeat, and returns true if the scan has to end.
    ///
    /// To be called before every system call that may hang.
    pub(crate) fn has_passed(&self) -> bool {
        let beats = self.heartbeat.beat();
        if self.stop.load(Ordering::Relaxed) {
            return true;
        }
        // Reading the clock costs as much as a small system call.
        beats.is_multiple_of(64) && self.end.is_some_and(|end| Instant::now() >= end) && {
            self.end();
            true
        }
    }
}
