//! How long a search may go on: shared by every thread of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A deadline that can also be brought forward.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    end: Option<Instant>,
    stop: Arc<AtomicBool>,
}

impl Patience {
    /// Patience for this long.
    pub(super) fn of(time: Duration) -> Patience {
        Patience { end: Instant::now().checked_add(time), stop: Arc::default() }
    }

    /// Ends it now.
    pub(super) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Is it over.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.end.is_some_and(|end| Instant::now() >= end)
    }
}
