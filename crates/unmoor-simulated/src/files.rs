//! Open files of programs.

use std::fmt;
use std::path::PathBuf;
use unmoor::DriveId;

/// Handle of a program's open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId(pub(crate) u64);

/// Reasons why a program cannot use a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileError {
    /// The volume was dismounted under this handle, or its drive is gone. Linux reports EIO, Windows
    /// ERROR_NOT_READY.
    Stale,
    /// The handle was closed.
    Closed,
    /// The volume does not exist, or is not mounted.
    NotMounted,
    /// Another process has locked the volume (Windows: ERROR_ACCESS_DENIED).
    Locked,
    /// The volume is read-only.
    ReadOnly,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileError::Stale => "the volume is no longer mounted under this handle",
            FileError::Closed => "the handle is closed",
            FileError::NotMounted => "the volume is not mounted",
            FileError::Locked => "the volume is locked",
            FileError::ReadOnly => "the volume is read-only",
        })
    }
}

impl std::error::Error for FileError {}

#[derive(Debug)]
pub(crate) struct Handle {
    pub id: HandleId,
    pub device: DriveId,
    pub volume: String,
    /// Identifier of the mount that the file was opened through.
    pub mount: u64,
    pub pid: u32,
    pub path: PathBuf,
    /// True if the volume was dismounted while the file was open.
    pub stale: bool,
}
