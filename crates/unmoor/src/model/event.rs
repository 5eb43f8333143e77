//! Progress events of a release.

use crate::model::drive::Drive;
use crate::model::error::Error;
use crate::model::report::StepReport;
use crate::model::step::{Action, Step};
use std::sync::Arc;
use std::time::Duration;

/// Receives the events of an operation, in order, on the thread that runs it.
///
/// A handler observes an operation and cannot influence it. To follow an operation from another
/// thread, send the events through a channel: `&mut |event| { let _ = sender.send(event); }`.
pub type EventHandler<'e> = dyn FnMut(Event) + Send + 'e;

/// A progress event. Owns its data, so that it can be stored or sent to another thread.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The target was resolved to a drive and the plan was made.
    #[non_exhaustive]
    Resolved {
        /// The drive.
        drive: Arc<Drive>,
        /// The action that follows the dismount.
        action: Action,
    },
    /// A step has started.
    Started(Step),
    /// A step has finished.
    Finished(StepReport),
    /// Data is being written.
    #[non_exhaustive]
    Flushing {
        /// Bytes in the cache that are not on the drive yet, from the system's counters.
        remaining: u64,
    },
    /// Something blocks the drive, and the operation waits for it.
    #[non_exhaustive]
    Waiting {
        /// The error that ends the operation if nothing changes. About once a second it carries a
        /// new [scan](Error::scan).
        error: Error,
        /// Time until the operation gives up.
        remaining: Duration,
    },
    /// A problem that does not stop the operation. [`Report::warnings`](crate::Report::warnings)
    /// collects them.
    Warning(String),
}
