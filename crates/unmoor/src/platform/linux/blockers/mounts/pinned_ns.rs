//! Mount namespaces without a process, pinned by a mount of their `ns/mnt`, or by a descriptor of it
//! (mount_namespaces(7)).
//!
//! `unshare --mount=FILE`, snapd and container engines make such namespaces.

use crate::platform::linux::blockers::mounts::ns_reader;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::procfs::{Result, namespace_number};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Mount namespace that a mount pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PinnedNs {
    /// Inode number of the namespace.
    pub(crate) number: u64,
    /// Mount point that pins it, or the descriptor in /proc.
    pub(crate) path: PathBuf,
    /// True if its mount table could be read.
    pub(crate) was_read: bool,
}

/// Returns the mount namespace that this mount pins.
pub(crate) fn from_mount(line: &MountInfo) -> Option<PinnedNs> {
    let number = match &*line.file_system {
        "nsfs" => namespace_number(line.root.as_bytes())?,
        _ => return None,
    };
    Some(PinnedNs { number, path: line.path.clone(), was_read: false })
}

/// Returns the mount namespace that a descriptor at this path keeps, by the text of its link.
pub(crate) fn from_link(link: &[u8], path: PathBuf) -> Option<PinnedNs> {
    Some(PinnedNs { number: namespace_number(link)?, path, was_read: false })
}

/// Reads the mount table of this namespace.
///
/// # Errors
/// EPERM without root's rights; ETIMEDOUT if the call hangs.
pub(crate) fn mountinfo(pinned: &PinnedNs) -> Result<Vec<u8>> {
    let (path, number) = (pinned.path.clone(), pinned.number);
    ns_reader::mountinfo(move || open(&path, number))
}

/// Opens the namespace with this inode number.
///
/// # Errors
/// ESTALE if the path leads to something else by now.
pub(crate) fn open(path: &Path, number: u64) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let namespace = rustix::fs::open(path, flags, Mode::empty())?;
    match rustix::fs::fstat(&namespace)?.st_ino == number {
        true => Ok(namespace),
        false => Err(Errno::STALE),
    }
}
