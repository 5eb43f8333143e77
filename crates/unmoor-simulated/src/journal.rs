//! The journal: every operation with its reported and its true result.
//!
//! Tests compare it with a report.

use crate::fault::Op;
use std::time::Duration;
use unmoor::{DriveId, ErrorKind};

/// An operation, in the order of execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Time when the operation ended, by the machine's clock.
    pub at: Duration,
    /// The operation.
    pub op: Op,
    /// The device that the operation was for.
    pub device: DriveId,
    /// The volume that the operation was for, if any.
    pub volume: Option<String>,
    /// The reported result.
    pub answer: Result<(), ErrorKind>,
    /// The true result, whatever the operation reported.
    pub effect: Option<Effect>,
}

/// A change that an operation made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Data moved one level towards the medium.
    Flushed {
        /// Number of bytes.
        bytes: u64,
    },
    /// A volume was found idle. Windows keeps it locked; Linux only probed it.
    Locked,
    /// A mount or a whole volume is gone.
    Dismounted {
        /// True if the volume was in use. Open handles are stale from then on.
        forced: bool,
    },
    /// Mounts that were unmounted are back.
    MountedAgain,
    /// The drive is held exclusively.
    Claimed,
    /// A volume cannot be mounted until it is plugged in anew.
    TakenOffline,
    /// The medium is out, or on its way out.
    Ejected {
        /// True if a volume was still mounted.
        mounted: bool,
    },
    /// The drive has stopped, or is about to.
    Stopped {
        /// True if a volume was still mounted.
        mounted: bool,
    },
    /// The image is detached.
    Detached {
        /// True if a volume was still mounted.
        mounted: bool,
    },
    /// The device has left its bus.
    PoweredOff {
        /// True if a volume was still mounted.
        mounted: bool,
    },
    /// The device is on its bus again.
    Attached,
    /// The tray is closed.
    Loaded,
    /// At least one lock or claim was released.
    Unlocked,
}

impl Effect {
    /// Returns true if the effect removed the medium or the drive.
    pub fn releases_medium(self) -> bool {
        self.mounted().is_some()
    }

    /// Returns, for effects that removed the medium or the drive, whether a volume was mounted.
    pub fn mounted(self) -> Option<bool> {
        match self {
            Effect::Ejected { mounted }
            | Effect::Stopped { mounted }
            | Effect::Detached { mounted }
            | Effect::PoweredOff { mounted } => Some(mounted),
            _ => None,
        }
    }
}
