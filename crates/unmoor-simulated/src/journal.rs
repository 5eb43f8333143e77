//! What was asked of the machine, and what truly came of it: the ground truth that a report can be
//! held against.

use crate::fault::Op;
use std::time::Duration;
use unmoor::{DriveId, ErrorKind};

/// One operation, in the order they were carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// When it was over, by the machine's clock.
    pub at: Duration,
    /// What was asked.
    pub op: Op,
    /// The device it was asked of.
    pub device: DriveId,
    /// The volume it concerned.
    pub volume: Option<String>,
    /// What was answered.
    pub answer: Result<(), ErrorKind>,
    /// What truly happened, whatever was answered.
    pub effect: Option<Effect>,
}

/// A change that an operation made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Data moved on towards the medium.
    Flushed {
        /// That much.
        bytes: u64,
    },
    /// A volume was found idle, and is held so (Windows) or was so (Linux).
    Locked,
    /// A mount or a whole volume is gone.
    Dismounted {
        /// Although it was in use: open handles are stale now.
        forced: bool,
    },
    /// The drive is held exclusively.
    Claimed,
    /// A volume cannot be mounted any more until it is plugged in anew.
    TakenOffline,
    /// The medium is out, or on its way out.
    Ejected {
        /// While something of it was mounted.
        mounted: bool,
    },
    /// The drive has stopped, or is about to.
    Stopped {
        /// While something of it was mounted.
        mounted: bool,
    },
    /// The image is detached.
    Detached {
        /// While something of it was mounted.
        mounted: bool,
    },
    /// The device has left its bus.
    PoweredOff {
        /// While something of it was mounted.
        mounted: bool,
    },
    /// The device is on its bus again.
    Attached,
    /// The tray was closed.
    Loaded,
    /// At least one lock or claim was let go of.
    Unlocked,
}

impl Effect {
    /// It took the medium or the drive away.
    pub fn releases_medium(self) -> bool {
        self.mounted().is_some()
    }

    /// For those that took the medium or the drive away: while something was mounted.
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
