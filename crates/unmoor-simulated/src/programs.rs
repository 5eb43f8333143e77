//! What programs, people and other parts of the system do to a simulated machine.

use crate::Simulated;
use crate::fault::Fault;
use crate::files::{FileError, HandleId};
use crate::happening::ScheduledEvent;
use std::path::PathBuf;
use std::time::Duration;
use unmoor::DriveId;

impl Simulated {
    /// Gives a process a name.
    pub fn program(&self, pid: u32, name: &str) {
        self.with(|w| w.programs.entry(pid).or_default().name = name.into());
    }

    /// A process opens a file for writing.
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
        self.with(|w| w.open_file(drive, volume, pid, path.into()))
    }

    /// A process opens the drive itself, past its file systems: to write (an imager) or to read only.
    pub fn open_device(&self, drive: DriveId, pid: u32, writing: bool) {
        self.with(|w| w.raw.push((drive, pid, writing)));
    }

    /// Appends to the file, in the machine's cache.
    ///
    /// # Errors
    /// `Stale` once the volume was dismounted under it, `Closed`, `ReadOnly`.
    pub fn write(&self, handle: HandleId, bytes: &[u8]) -> Result<(), FileError> {
        self.with(|w| w.write(handle, bytes))
    }

    /// The whole file.
    ///
    /// # Errors
    /// `Stale` once the volume was dismounted under it, `Closed`.
    pub fn read(&self, handle: HandleId) -> Result<Vec<u8>, FileError> {
        self.with(|w| w.read(handle))
    }

    /// Closes the file; a handle that is closed already is none.
    pub fn close(&self, handle: HandleId) {
        self.with(|w| w.apply_event(ScheduledEvent::Close(handle)));
    }

    /// This happens at that time by the machine's clock.
    pub fn at(&self, time: Duration, happening: ScheduledEvent) {
        self.with(|w| w.agenda.push((time, happening)));
    }

    /// This happens now.
    pub fn trigger(&self, happening: ScheduledEvent) {
        self.with(|w| w.apply_event(happening));
    }

    /// This goes wrong from now on.
    pub fn fault(&self, drive: DriveId, fault: Fault) {
        self.with(|w| {
            if let Some(device) = w.device_mut(drive) {
                device.faults.push(fault);
            }
        });
    }

    /// Somebody who opens no file keeps the volume busy until that time: applications that Windows
    /// tells of a lock first, a probe of the desktop.
    pub fn busy_until(&self, drive: DriveId, volume: &str, time: Duration, who: &str) {
        self.with(|w| {
            if let Ok(vol) = w.volume(drive, volume) {
                vol.busy_until = Some((time, who.into()));
            }
        });
    }

    /// The volume is mounted where this program cannot unmount it (Linux: another mount namespace).
    /// Only claiming the drive finds out.
    pub fn mount_elsewhere(&self, drive: DriveId, volume: &str, who: &str) {
        self.with(|w| {
            if let Ok(vol) = w.volume(drive, volume) {
                vol.elsewhere = Some(who.into());
            }
        });
    }
}
