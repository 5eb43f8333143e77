//! What happens by itself at a given time, while the procedure runs.

use crate::files::{Handle, HandleId};
use crate::world::MachineState;
use std::path::PathBuf;
use unmoor::{Cancel, DriveId};

/// Something that others do to the machine: see [`Simulated::at`](crate::Simulated::at).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ScheduledEvent {
    /// A program closes its file.
    Close(HandleId),
    /// A program writes more to its file, if it still can.
    Write(HandleId, Vec<u8>),
    /// A program opens a file for writing, if the system lets it.
    Open {
        /// On this drive,
        drive: DriveId,
        /// this volume,
        volume: String,
        /// this program
        pid: u32,
        /// opens this file.
        path: PathBuf,
    },
    /// A program mounts a volume, if it is there and not held.
    Mount {
        /// On this drive,
        drive: DriveId,
        /// this volume
        volume: String,
        /// there.
        path: PathBuf,
    },
    /// The drive is pulled out.
    Yank(DriveId),
    /// The medium is taken out by hand.
    TakeMedium(DriveId),
    /// Another drive takes this one's name.
    Replace(DriveId),
    /// The system swaps to this drive no longer.
    SwapOff(DriveId),
    /// A program ends, and its files are closed.
    Exit(u32),
    /// Somebody wishes to stop.
    Cancel(Cancel),
}

impl MachineState {
    pub fn apply_event(&mut self, happening: ScheduledEvent) {
        match happening {
            ScheduledEvent::Close(handle) => self.handles.retain(|h| h.id != handle),
            ScheduledEvent::Write(handle, bytes) => {
                // What cannot be written any more fails in that program, and does not count.
                let _ = self.write(handle, &bytes);
            }
            ScheduledEvent::Open { drive, volume, pid, path } => {
                // Whether it was let in is that program's business.
                let _ = self.open_file(drive, &volume, pid, path);
            }
            ScheduledEvent::Mount { drive, volume, path } => {
                self.mount_again(drive, &volume, &path)
            }
            ScheduledEvent::Yank(drive) => self.yank(drive),
            ScheduledEvent::TakeMedium(drive) => self.take_medium(drive),
            ScheduledEvent::Replace(drive) => self.replace(drive),
            ScheduledEvent::SwapOff(drive) => {
                if let Ok(device) = self.with_medium(drive) {
                    device.spec.system_uses.retain(|what| !what.starts_with("swap on "));
                }
            }
            ScheduledEvent::Exit(pid) => self.exit(pid),
            ScheduledEvent::Cancel(cancel) => cancel.cancel(),
        }
    }

    /// Mounting needs the medium, and the drive not claimed by somebody else.
    fn mount_again(&mut self, drive: DriveId, volume: &str, path: &std::path::Path) {
        let Ok(device) = self.with_medium(drive) else { return };
        let index = device.volumes.iter().position(|v| v.shape.name == volume);
        let free = device.claimed_by.is_none() && device.moving.is_none();
        if let (Some(index), true) = (index, free)
            && device.volumes[index].locked_by.is_none()
            && !device.volumes[index].offline
        {
            self.mount(drive, index, path);
        }
    }

    /// Open files on this volume, also when it was reached through another drive that it lies on.
    pub fn live_handles(&self, id: DriveId, volume: &str) -> impl Iterator<Item = &Handle> {
        let here = move |h: &&Handle| h.device == id || self.is_shared(volume, h.device);
        self.handles.iter().filter(move |h| h.volume == volume && !h.stale).filter(here)
    }
}
