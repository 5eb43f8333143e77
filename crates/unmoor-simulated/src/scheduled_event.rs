//! Events that occur at a given time while the procedure runs.

use crate::files::HandleId;
use std::path::PathBuf;
use unmoor::{Cancel, DriveId};

/// An action by others on the machine, see [`Simulated::at`](crate::Simulated::at).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ScheduledEvent {
    /// A program closes its file.
    Close(HandleId),
    /// A program writes more to its file, if the file is still writable.
    Write(HandleId, Vec<u8>),
    /// A program opens a file for writing, if the volume is not locked.
    Open {
        /// The drive.
        drive: DriveId,
        /// Name of the volume.
        volume: String,
        /// Identifier of the process.
        pid: u32,
        /// Path of the file on the volume.
        path: PathBuf,
    },
    /// A program mounts a volume, if the volume exists and is not locked.
    Mount {
        /// The drive.
        drive: DriveId,
        /// Name of the volume.
        volume: String,
        /// The mount point.
        path: PathBuf,
    },
    /// The drive is pulled out.
    Yank(DriveId),
    /// The medium is taken out by hand.
    TakeMedium(DriveId),
    /// Another drive takes the name of this one.
    Replace(DriveId),
    /// The system stops swapping to this drive.
    SwapOff(DriveId),
    /// A program exits, and its files are closed.
    Exit(u32),
    /// The user interrupts the operation.
    Cancel(Cancel),
}
