//! Opening, reading and writing files.

use crate::cache::{Chunk, contents};
use crate::files::{FileError, Handle, HandleId};
use crate::semantics::Semantics;
use crate::state::MachineState;
use std::path::PathBuf;
use unmoor::DriveId;

impl MachineState {
    pub fn open_file(
        &mut self,
        drive: DriveId,
        volume: &str,
        pid: u32,
        path: PathBuf,
    ) -> Result<HandleId, FileError> {
        let remounts = self.semantics == Semantics::Windows;
        let vol = self.volume(drive, volume).map_err(|_| FileError::NotMounted)?;
        if vol.locked_by.is_some() {
            return Err(FileError::Locked);
        }
        if vol.offline {
            return Err(FileError::NotMounted);
        }
        // Windows mounts a volume again as soon as a process opens a file on it.
        if remounts && !vol.is_mounted() {
            vol.spec.mounts = std::mem::take(&mut vol.remount_letters);
        }
        let mount = vol.spec.mounts.first().ok_or(FileError::NotMounted)?.id;
        let id = HandleId(self.next_id());
        let volume = volume.to_string();
        self.handles.push(Handle { id, device: drive, volume, mount, pid, path, stale: false });
        Ok(id)
    }

    fn handle(&self, id: HandleId) -> Result<&Handle, FileError> {
        let handle = self.handles.iter().find(|h| h.id == id).ok_or(FileError::Closed)?;
        if handle.stale { Err(FileError::Stale) } else { Ok(handle) }
    }

    pub fn write(&mut self, id: HandleId, bytes: &[u8]) -> Result<(), FileError> {
        let handle = self.handle(id)?;
        let (drive, volume) = (handle.device, handle.volume.clone());
        let chunks = Chunk::pieces(&volume, &handle.path, bytes);
        let device = self.with_medium(drive).map_err(|_| FileError::Stale)?;
        if device.spec.read_only {
            return Err(FileError::ReadOnly);
        }
        let vol = device.volume_mut(&volume).ok_or(FileError::Stale)?;
        vol.cache.extend(chunks.iter().cloned());
        device.written.extend(chunks);
        Ok(())
    }

    pub fn read(&mut self, id: HandleId) -> Result<Vec<u8>, FileError> {
        let handle = self.handle(id)?;
        let (drive, key) = (handle.device, (handle.volume.clone(), handle.path.clone()));
        let device = self.with_medium(drive).map_err(|_| FileError::Stale)?;
        let vol = device.volume(&key.0).ok_or(FileError::Stale)?;
        let levels = device.on_medium.iter().chain(&device.cache).chain(&vol.cache);
        Ok(contents(levels).remove(&key).unwrap_or_default())
    }
}
