//! One thread of a search, which may get stuck in the kernel.

use crate::platform::linux::blockers::scan::Search;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A thread whose pulse has stood still for so long is taken for stuck.
const STUCK: Duration = Duration::from_millis(1500);

/// One thread of the search.
pub(crate) struct WorkerThread {
    over: Arc<AtomicBool>,
    patience: ScanDeadline,
    /// The process it is at.
    at: Arc<AtomicU32>,
    /// Its pulse when it was last seen to move.
    last: (u64, Instant),
}

impl WorkerThread {
    pub(crate) fn start(
        search: &Arc<Search>,
        patience: &ScanDeadline,
        work: fn(&Search, &ScanDeadline, &AtomicU32),
    ) -> WorkerThread {
        let thread = WorkerThread {
            over: Arc::default(),
            patience: patience.for_thread(),
            at: Arc::default(),
            last: (0, Instant::now()),
        };
        let (patience, at) = (thread.patience.clone(), thread.at.clone());
        let end = DoneGuard { search: search.clone(), over: thread.over.clone() };
        let started = std::thread::Builder::new().spawn(move || work(&end.search, &patience, &at));
        // Without a thread there is no search: whoever waits is told so by its end.
        drop(started);
        thread
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The process it is stuck at.
    pub(crate) fn stuck_at(&mut self) -> Option<u32> {
        let pulse = self.patience.heartbeat();
        if pulse != self.last.0 {
            self.last = (pulse, Instant::now());
        }
        (self.last.1.elapsed() >= STUCK).then(|| self.at.load(Ordering::Relaxed))
    }
}

/// Says that a thread is over, whether it came to its end, panicked, or never began.
struct DoneGuard {
    search: Arc<Search>,
    over: Arc<AtomicBool>,
}

impl Drop for DoneGuard {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Between the look of whoever waits and its sleep there must be no room for this.
        let _board = self.search.state();
        self.search.condvar.notify_all();
    }
}
