//! Threads that sleep by the machine's clock.

use std::thread::ThreadId;
use std::time::Duration;

/// The threads at work on the drives of a machine.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    pub(crate) last: u64,
    /// Threads that are registered and not finished.
    pub(crate) all: Vec<Thread>,
    pub(crate) running: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) number: u64,
    /// Identifier of the program's thread; `None` until it has started.
    pub(crate) id: Option<ThreadId>,
    /// End of the thread's sleep; `None` while it runs.
    pub(crate) until: Option<Duration>,
}
