//! Mount namespaces in which no process lives: a mount of their `ns/mnt` keeps them (`unshare
//! --mount=FILE`, snapd, container tools), and everything that is mounted in them.

use super::visitor::NsReader;
use crate::platform::linux::mountinfo::MountInfo;
use crate::platform::linux::procfs::Result;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One such namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PinnedNs {
    /// Its number.
    pub(super) number: u64,
    /// What keeps it.
    pub(super) path: PathBuf,
    /// It could be looked into.
    pub(super) seen: bool,
}

/// The namespace that this mount keeps, if it does.
pub(super) fn from_mount(line: &MountInfo) -> Option<PinnedNs> {
    let number = match &*line.file_system {
        "nsfs" => super::survey::namespace_number(line.root.as_bytes())?,
        _ => return None,
    };
    Some(PinnedNs { number, path: line.path.clone(), seen: false })
}

/// The mount table of this namespace.
///
/// # Errors
/// EPERM for who is not root; ETIMEDOUT when nothing came back.
pub(super) fn mountinfo(kept: &PinnedNs, visitor: &mut NsReader) -> Result<Vec<u8>> {
    let (path, number) = (kept.path.clone(), kept.number);
    visitor.mountinfo(move || open(&path, number))
}

/// Opens the namespace of this number.
///
/// # Errors
/// ESTALE where something else is there by now.
pub(super) fn open(path: &Path, number: u64) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let namespace = rustix::fs::open(path, flags, Mode::empty())?;
    match rustix::fs::fstat(&namespace)?.st_ino == number {
        true => Ok(namespace),
        false => Err(Errno::STALE),
    }
}
