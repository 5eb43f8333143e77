//! Effects of scheduled events.

use crate::files::Handle;
use crate::scheduled_event::ScheduledEvent;
use crate::state::MachineState;
use unmoor::{DriveId, SystemUse};

impl MachineState {
    pub fn apply_event(&mut self, event: ScheduledEvent) {
        match event {
            ScheduledEvent::Close(handle) => self.handles.retain(|h| h.id != handle),
            ScheduledEvent::Write(handle, bytes) => {
                // A failed write is an error of that program, and does not count.
                let _ = self.write(handle, &bytes);
            }
            ScheduledEvent::Open { drive, volume, pid, path } => {
                // A failed open is an error of that program.
                let _ = self.open_file(drive, &volume, pid, path);
            }
            ScheduledEvent::Mount { drive, volume, path } => {
                self.mount_volume(drive, &volume, &path)
            }
            ScheduledEvent::Yank(drive) => self.yank(drive),
            ScheduledEvent::TakeMedium(drive) => self.take_medium(drive),
            ScheduledEvent::Replace(drive) => self.replace(drive),
            ScheduledEvent::SwapOff(drive) => {
                if let Ok(device) = self.with_medium(drive) {
                    device.spec.system_uses.retain(|one| !matches!(one, SystemUse::Swap(_)));
                }
            }
            ScheduledEvent::Exit(pid) => self.exit(pid),
            ScheduledEvent::Cancel(cancel) => cancel.cancel(),
        }
    }

    /// Mounts the volume, if the medium is present and the drive is not claimed.
    fn mount_volume(&mut self, drive: DriveId, volume: &str, path: &std::path::Path) {
        let Ok(device) = self.with_medium(drive) else { return };
        let index = device.volumes.iter().position(|v| v.spec.name == volume);
        let free = device.claimed_by.is_none() && device.moving.is_none();
        if let (Some(index), true) = (index, free)
            && device.volumes[index].locked_by.is_none()
            && !device.volumes[index].offline
        {
            self.mount(drive, index, path);
        }
    }

    /// Returns the open files on this volume, also those opened through another of its drives.
    pub fn live_handles(&self, id: DriveId, volume: &str) -> impl Iterator<Item = &Handle> {
        let here = move |h: &&Handle| h.device == id || self.is_shared(volume, h.device);
        self.handles.iter().filter(move |h| h.volume == volume && !h.stale).filter(here)
    }
}
