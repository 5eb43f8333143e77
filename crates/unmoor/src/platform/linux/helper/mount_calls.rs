//! Calls on a mount, each of which makes sure first that this mount is the one at the path.
//!
//! The path may lead through a file system whose server does not answer. So all of this runs in the helper.

use crate::platform::linux::helper::request::Values;
use crate::platform::linux::sys::mount_id;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::ffi::CStr;

/// Flags for opening the root of a mount: no link is followed, and `open` waits for no device.
const OPEN_ROOT: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Result of a call on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountReply {
    /// The call was made.
    Done,
    /// Another mount is at the path.
    OtherMount,
    /// The file system could not be written.
    Unwritten(Errno),
}

impl MountReply {
    /// Encodes the reply for the way to the parent.
    pub fn to_values(self) -> Values {
        let (kind, errno) = match self {
            MountReply::Done => (0, 0),
            MountReply::OtherMount => (1, 0),
            MountReply::Unwritten(errno) => (2, errno.raw_os_error().unsigned_abs()),
        };
        [kind, errno.into(), 0, 0, 0, 0]
    }

    /// The reverse of [`MountReply::to_values`].
    pub fn from_values([kind, errno, ..]: Values) -> MountReply {
        match kind {
            0 => MountReply::Done,
            1 => MountReply::OtherMount,
            _ => MountReply::Unwritten(Errno::from_raw_os_error(
                i32::try_from(errno).unwrap_or(libc::EIO),
            )),
        }
    }
}

/// Opens the root of the mount; `ESTALE` if another mount is at the path.
pub fn open_mount(path: &CStr, id: u64) -> Result<OwnedFd, Errno> {
    let root = openat(CWD, path, OPEN_ROOT, Mode::empty())?;
    match mount_id::of_file(&root) == Some(id) {
        true => Ok(root),
        false => Err(Errno::STALE),
    }
}

/// Returns true if this mount is at the path.
///
/// A path that this user may not look at tells nothing.
fn is_at(path: &CStr, id: u64) -> Result<bool, Errno> {
    match mount_id::of_path(path) {
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => Err(errno),
        mount => Ok(mount == Ok(Some(id))),
    }
}

/// `MNT_EXPIRE`: `EBUSY` if the mount is in use, `EAGAIN` if not. A second such call without an access in
/// between would unmount, so the mount is accessed right after.
pub fn probe(path: &CStr, id: u64) -> Result<MountReply, Errno> {
    if !is_at(path, id)? {
        return Ok(MountReply::OtherMount);
    }
    let answer = unmount(path, UnmountFlags::EXPIRE | UnmountFlags::NOFOLLOW);
    let _ = mount_id::of_path(path);
    answer.map(|()| MountReply::Done)
}

/// `syncfs` of the file system that is mounted there.
pub fn sync(path: &CStr, id: u64) -> Result<MountReply, Errno> {
    let root = openat(CWD, path, OPEN_ROOT, Mode::empty())?;
    if mount_id::of_file(&root) != Some(id) {
        return Ok(MountReply::OtherMount);
    }
    Ok(rustix::fs::syncfs(&root).map_or_else(MountReply::Unwritten, |()| MountReply::Done))
}

/// `umount2`, after a `syncfs` where wanted.
///
/// Unmounting writes what came after the flush, and reports no failure of that; `syncfs` does, also of a
/// mount that is read-only. The root is closed again before the mount is unmounted.
pub fn unmount_checked(path: &CStr, id: u64, sync: bool) -> Result<MountReply, Errno> {
    if !is_at(path, id)? {
        return Ok(MountReply::OtherMount);
    }
    if sync {
        match openat(CWD, path, OPEN_ROOT, Mode::empty()) {
            Ok(root) => {
                if let Err(errno) = rustix::fs::syncfs(root) {
                    return Ok(MountReply::Unwritten(errno));
                }
            }
            // A user's own FUSE file system may be closed to root.
            Err(Errno::ACCESS | Errno::PERM) => {}
            Err(Errno::IO) => return Ok(MountReply::Unwritten(Errno::IO)),
            Err(errno) => return Err(errno),
        }
    }
    unmount(path, UnmountFlags::NOFOLLOW).map(|()| MountReply::Done)
}

/// `MNT_DETACH`: takes the mount out of the tree while it is in use.
pub fn detach(path: &CStr) -> Result<(), Errno> {
    unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}
