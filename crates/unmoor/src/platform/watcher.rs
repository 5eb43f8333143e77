//! Watchers: wait for changes of drives, media and mounts.

use crate::model::error::Result;
use std::thread;
use std::time::Duration;

/// A watch for changes of drives, media and mounts.
///
/// It says that something may have changed, not what: [`Platform::list`](crate::platform::Platform::list) shows it.
pub trait Watcher: Send {
    /// Waits for a change, for this long at most. Returns true if something may have changed.
    ///
    /// Changes since the watch began, or since the last call, count too.
    ///
    /// # Errors
    /// What the system reports. The watch is over then.
    fn wait(&mut self, time: Duration) -> Result<bool>;
}

/// Watcher of a system that reports no changes: once a second, something may have changed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Polling {
    slept: Duration,
}

/// Interval between two possible changes.
const INTERVAL: Duration = Duration::from_secs(1);

impl Watcher for Polling {
    fn wait(&mut self, time: Duration) -> Result<bool> {
        let time = time.min(INTERVAL.saturating_sub(self.slept));
        thread::sleep(time);
        self.slept += time;
        let is_due = self.slept >= INTERVAL;
        if is_due {
            self.slept = Duration::ZERO;
        }
        Ok(is_due)
    }
}
