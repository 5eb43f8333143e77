//! The machine, and how it is made.

use crate::semantics::Semantics;
use crate::setup::DriveSetup;
use crate::state::MachineState;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;
use unmoor::DriveId;

/// A machine in memory.
#[derive(Debug)]
pub struct Simulated {
    pub(crate) state: Mutex<MachineState>,
    /// Notified when a thread that sleeps by this machine's clock may continue.
    pub(crate) woke: Condvar,
    pub(crate) real_time: bool,
    pub(crate) lock_retry: Duration,
}

impl Simulated {
    /// Returns a machine without drives.
    pub fn new(semantics: Semantics) -> Self {
        Simulated {
            state: Mutex::new(MachineState::new(semantics)),
            woke: Condvar::new(),
            real_time: false,
            lock_retry: Duration::ZERO,
        }
    }

    /// Makes sleeps and operations take real time, so that a person can watch them.
    #[must_use]
    pub fn with_real_clock(mut self) -> Self {
        self.real_time = true;
        self
    }

    /// Retries a refused lock for at least this time, as the native Windows platform does.
    #[must_use]
    pub fn with_lock_retry(mut self, time: Duration) -> Self {
        self.lock_retry = time;
        self
    }

    /// Plugs a drive in and returns its identifier, which every other call takes.
    pub fn plug(&self, drive: &DriveSetup) -> DriveId {
        self.with(|state| state.plug(drive))
    }

    /// Returns the attached drive with this full name (`sim:stick`).
    pub fn find(&self, name: &str) -> Option<DriveId> {
        self.with(|state| {
            state.devices.iter().find(|d| d.attached && d.spec.name == name).map(|d| d.spec.id)
        })
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut MachineState) -> T) -> T {
        // Nothing panics while it holds this lock. Even after a panic the state would be readable.
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
