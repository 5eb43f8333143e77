//! Faults of a simulated drive, and the operations where they occur.

/// Operations of a session, for faults and for the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Op {
    /// [`Platform::open`](unmoor::platform::Platform::open)
    Open,
    /// [`Session::refresh`](unmoor::platform::Session::refresh)
    Refresh,
    /// [`Session::flush`](unmoor::platform::Session::flush)
    Flush,
    /// [`Session::flush_drive`](unmoor::platform::Session::flush_drive)
    FlushDrive,
    /// [`Session::try_lock`](unmoor::platform::Session::try_lock)
    Lock,
    /// [`Session::check_raw_users`](unmoor::platform::Session::check_raw_users)
    CheckRawUsers,
    /// [`Session::unmount`](unmoor::platform::Session::unmount)
    Unmount,
    /// [`Session::mount_again`](unmoor::platform::Session::mount_again)
    MountAgain,
    /// [`Session::dismount`](unmoor::platform::Session::dismount)
    Dismount,
    /// [`Session::claim`](unmoor::platform::Session::claim)
    Claim,
    /// [`Session::offline`](unmoor::platform::Session::offline)
    Offline,
    /// [`Session::perform`](unmoor::platform::Session::perform)
    Perform,
    /// [`Session::load`](unmoor::platform::Session::load)
    Load,
    /// [`Session::presence`](unmoor::platform::Session::presence)
    Presence,
    /// [`Session::unlock`](unmoor::platform::Session::unlock)
    Unlock,
    /// [`Session::blockers`](unmoor::platform::Session::blockers)
    Blockers,
    /// [`Platform::attach`](unmoor::platform::Platform::attach)
    Attach,
}

/// A fault that occurs when an operation begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub(crate) at: Op,
    pub(crate) kind: FaultKind,
    pub(crate) volume: Option<String>,
    pub(crate) skip: u32,
    pub(crate) times: u32,
}

/// Effect of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// Input/output error. In a flush and a claim, the unwritten data is lost for good.
    IoError,
    /// The operation does not return until the deadline or a cancellation. Operations without a
    /// [`Deadline`](unmoor::Deadline) cannot hang, so the fault has no effect on them.
    Hang,
    /// The drive is pulled out. Everything not on the medium is lost.
    Yank,
    /// The medium is taken out by hand.
    NoMedium,
    /// The drive is pulled out, and another takes its name, number and mount points.
    Replaced,
    /// The system does not permit the operation to this user.
    NotPermitted,
    /// The drive or its driver does not know this command.
    NotSupported,
    /// The firmware reports success and does nothing.
    Lie,
}

impl Fault {
    /// Returns a fault that occurs at every such operation.
    pub fn new(at: Op, kind: FaultKind) -> Self {
        Fault { at, kind, volume: None, skip: 0, times: u32::MAX }
    }

    /// Limits the fault to this volume.
    #[must_use]
    pub fn on(mut self, volume: &str) -> Self {
        self.volume = Some(volume.into());
        self
    }

    /// Delays the fault until this many operations have succeeded.
    #[must_use]
    pub fn after(mut self, operations: u32) -> Self {
        self.skip = operations;
        self
    }

    /// Limits the fault to this many occurrences.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Returns true if the fault applies to this operation, and counts the occurrence.
    pub(crate) fn applies(&mut self, op: Op, volume: Option<&str>) -> bool {
        if self.at != op || self.volume.as_deref().is_some_and(|v| Some(v) != volume) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        let strikes = self.times > 0;
        self.times = self.times.saturating_sub(1);
        strikes
    }
}
