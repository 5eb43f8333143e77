//! Changes, as they come: until an interrupt, or until the output has no reader any more.

use crate::console;
use crate::outcome::Outcome;
use std::time::{Duration, Instant};
use unmoor::platform::{Platform, Watcher};
use unmoor::{Cancel, Error};

/// Interval between checks for an interrupt and for the reader of the output.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// A series of changes.
pub struct Changes {
    watcher: Box<dyn Watcher>,
    cancel: Cancel,
}

impl Changes {
    /// Starts the watch. Changes from now on count, so that a list made after it misses none.
    pub fn start(platform: &dyn Platform, cancel: Cancel) -> Result<Changes, Error> {
        Ok(Changes { watcher: platform.watch()?, cancel })
    }

    /// Waits for the next change, or for this long. Returns false once the watch is to end.
    pub fn wait(&mut self, longest: Option<Duration>) -> Result<bool, Error> {
        let start = Instant::now();
        loop {
            if self.cancel.is_cancelled() || console::is_output_closed() {
                return Ok(false);
            }
            let left = longest.map(|longest| longest.saturating_sub(start.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(true);
            }
            if self.watcher.wait(left.map_or(CHECK_INTERVAL, |left| left.min(CHECK_INTERVAL)))? {
                return Ok(true);
            }
        }
    }

    /// Returns the exit code of a watch that has ended: 0 if the reader of the output has left.
    pub fn exit_code(&self) -> u8 {
        if self.cancel.is_cancelled() { Outcome::Interrupted.exit_code() } else { 0 }
    }
}
