//! Actions of programs, people and other parts of the system on a simulated machine.

use crate::fault::Fault;
use crate::files::{FileError, HandleId};
use crate::machine::Simulated;
use crate::scheduled_event::ScheduledEvent;
use std::path::PathBuf;
use std::time::Duration;
use unmoor::DriveId;

impl Simulated {
    /// Sets the name of a process.
    pub fn program(&self, pid: u32, name: &str) {
        self.with(|state| state.programs.entry(pid).or_default().name = name.into());
    }

    /// Opens a file for writing, as this process.
    ///
    /// # Errors
    /// `NotMounted`, `Locked`.
    pub fn open_file(
        &self,
        drive: DriveId,
        volume: &str,
        pid: u32,
        path: impl Into<PathBuf>,
    ) -> Result<HandleId, FileError> {
        self.with(|state| state.open_file(drive, volume, pid, path.into()))
    }

    /// Opens the drive itself as this process, past its file systems. `writing` is false for a process
    /// that only reads.
    pub fn open_device(&self, drive: DriveId, pid: u32, writing: bool) {
        self.with(|state| state.raw_handles.push((drive, pid, writing)));
    }

    /// Appends to the file, in the machine's cache.
    ///
    /// # Errors
    /// `Stale` once the volume was dismounted under the handle, `Closed`, `ReadOnly`.
    pub fn write(&self, handle: HandleId, bytes: &[u8]) -> Result<(), FileError> {
        self.with(|state| state.write(handle, bytes))
    }

    /// Returns the content of the whole file.
    ///
    /// # Errors
    /// `Stale` once the volume was dismounted under the handle, `Closed`.
    pub fn read(&self, handle: HandleId) -> Result<Vec<u8>, FileError> {
        self.with(|state| state.read(handle))
    }

    /// Closes the file. A handle that is already closed is ignored.
    pub fn close(&self, handle: HandleId) {
        self.with(|state| state.apply_event(ScheduledEvent::Close(handle)));
    }

    /// Schedules an event at this time of the machine's clock.
    pub fn at(&self, time: Duration, event: ScheduledEvent) {
        self.with(|state| state.scheduled.push((time, event)));
    }

    /// Applies an event now.
    pub fn trigger(&self, event: ScheduledEvent) {
        self.with(|state| state.apply_event(event));
    }

    /// Adds a fault from now on.
    pub fn fault(&self, drive: DriveId, fault: Fault) {
        self.with(|state| {
            if let Some(device) = state.device_mut(drive) {
                device.faults.push(fault);
            }
        });
    }

    /// Keeps the volume busy until this time, for a user without an open file. Examples are applications
    /// that Windows notifies of a lock first, or a probe by the desktop.
    pub fn busy_until(&self, drive: DriveId, volume: &str, time: Duration, user: &str) {
        self.with(|state| {
            if let Ok(vol) = state.volume(drive, volume) {
                vol.busy_until = Some((time, user.into()));
            }
        });
    }

    /// Mounts the volume where this program cannot unmount it (Linux: another mount namespace). Only
    /// claiming the drive discovers the mount.
    pub fn mount_elsewhere(&self, drive: DriveId, volume: &str, owner: &str) {
        self.with(|state| {
            if let Ok(vol) = state.volume(drive, volume) {
                vol.foreign_namespace = Some(owner.into());
            }
        });
    }
}
