//! Mount namespaces in which no process lives: a mount of their `ns/mnt` keeps them (`unshare
//! --mount=FILE`, snapd, container tools), and everything that is mounted in them.

use crate::platform::linux::blockers::mounts::ns_reader::NsReader;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::procfs::Result;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One such namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PinnedNs {
    /// Its number.
    pub(crate) number: u64,
    /// What keeps it.
    pub(crate) path: PathBuf,
    /// It could be looked into.
    pub(crate) seen: bool,
}

/// The namespace that this mount keeps, if it does.
pub(crate) fn from_mount(line: &MountInfo) -> Option<PinnedNs> {
    let number = match &*line.file_system {
        "nsfs" => {
            crate::platform::linux::blockers::mounts::scan::namespace_number(line.root.as_bytes())?
        }
        _ => return None,
    };
    Some(PinnedNs { number, path: line.path.clone(), seen: false })
}

/// The mount table of this namespace.
///
/// # Errors
/// EPERM for who is not root; ETIMEDOUT when nothing came back.
pub(crate) fn mountinfo(kept: &PinnedNs, visitor: &mut NsReader) -> Result<Vec<u8>> {
    let (path, number) = (kept.path.clone(), kept.number);
    visitor.mountinfo(move || open(&path, number))
}

/// Opens the namespace of this number.
///
/// # Errors
/// ESTALE where something else is there by now.
pub(crate) fn open(path: &Path, number: u64) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let namespace = rustix::fs::open(path, flags, Mode::empty())?;
    match rustix::fs::fstat(&namespace)?.st_ino == number {
        true => Ok(namespace),
        false => Err(Errno::STALE),
    }
}
