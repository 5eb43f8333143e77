//! Calls on a mount, each of which makes sure first that this mount is the one at the path.
//!
//! The path may lead through a file system whose server does not answer. So all of this runs in the helper. The
//! directories on the way may belong to a user, who exchanges them: so the directory of the mount point is held
//! open, no link leads there, and the call is made from within it.

use crate::platform::linux::helper::request::Values;
use crate::platform::linux::sys::mount_events::MountEvents;
use crate::platform::linux::sys::mount_id;
use crate::platform::linux::sys::procfs::ProcPath;
use crate::platform::linux::sys::without_links::open_parent;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chdir, fchdir};
use std::ffi::CStr;

/// Number of attempts to unmount a mount that other programs look at, which unmarks it.
const MARKING_ATTEMPTS: usize = 16;

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

/// Moment between the check of a mount and the call on it, at which a test acts.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The file system has been written, and the mount is checked next.
    Synced,
    /// The mount was checked.
    Checked,
    /// The mount is unmounted next.
    Marked,
}

#[cfg(test)]
type Action = (Moment, Box<dyn FnMut()>);

#[cfg(test)]
thread_local! {
    static ACTION: std::cell::RefCell<Option<Action>> = const { std::cell::RefCell::new(None) };
}

/// Sets what this thread does at the moment.
#[cfg(test)]
fn at(moment: Moment, action: impl FnMut() + 'static) {
    ACTION.set(Some((moment, Box::new(action))));
}

/// Runs the action of a test.
macro_rules! reached {
    ($moment:ident) => {
        #[cfg(test)]
        ACTION.with_borrow_mut(|action| match action {
            Some((Moment::$moment, act)) => act(),
            _ => {}
        });
    };
}

/// A mount point: the directory that it is in, held open, and its name there.
pub struct MountPoint<'p> {
    pub directory: OwnedFd,
    pub name: &'p CStr,
}

impl<'p> MountPoint<'p> {
    /// Opens the directory of this mount point. No link leads there.
    pub fn open(path: &'p CStr) -> Result<MountPoint<'p>, Errno> {
        open_parent(path).map(|(directory, name)| MountPoint { directory, name })
    }

    /// Returns the ID of the uppermost mount there. Counts as an access to it.
    ///
    /// A path that this user may not look at tells nothing.
    fn mount_id(&self) -> Result<Option<u64>, Errno> {
        match mount_id::of_name(&self.directory, self.name) {
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => Err(errno),
            mount => Ok(mount.unwrap_or(None)),
        }
    }

    /// Returns the root of the mount, opened with `O_PATH`; `ESTALE` if another mount is there.
    fn root(&self, id: u64) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(&self.directory, self.name, flags, Mode::empty())?;
        (mount_id::of_file(&root) == Some(id)).then_some(root).ok_or(Errno::STALE)
    }

    /// Opens the root of the mount for reading; `ESTALE` if another mount is there.
    ///
    /// Only after it was checked: opening a device or a pipe has effects.
    fn open_root(&self, id: u64) -> Result<OwnedFd, Errno> {
        let root = self.root(id)?;
        let number = u32::try_from(root.as_raw_fd()).map_err(|_| Errno::BADF)?;
        let link = ProcPath::within("/proc/self/fd/", number);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(CWD, link.as_c_str(), flags, Mode::empty())
    }

    /// Makes a call from within the directory, with the name alone, if the mount is the uppermost one there.
    fn checked(
        &self,
        id: u64,
        call: impl FnOnce(&CStr) -> Result<MountReply, Errno>,
    ) -> Result<MountReply, Errno> {
        fchdir(&self.directory)?;
        let reply = match self.mount_id()? == Some(id) {
            true => {
                reached!(Checked);
                call(self.name)
            }
            false => Ok(MountReply::OtherMount),
        };
        // The directory is on another mount, which would be in use.
        let _ = chdir(c"/");
        reply
    }

    /// Unmounts the mount, and no other one that is mounted over it meanwhile.
    ///
    /// `MNT_EXPIRE` unmounts only what an earlier such call has marked, and nothing has used since. If no mount came
    /// or went between the check and the mark, the mark is on the mount that was checked.
    fn unmount(&self, id: u64) -> Result<MountReply, Errno> {
        let events = MountEvents::watch();
        for _ in 0..MARKING_ATTEMPTS {
            let _ = events.as_ref().is_ok_and(MountEvents::happened);
            let marked = self.checked(id, |name| match expire(name) {
                Err(Errno::AGAIN) if events.as_ref().is_ok_and(|events| !events.happened()) => {
                    reached!(Marked);
                    expire(name)
                }
                other => other,
            });
            if marked != Err(Errno::AGAIN) {
                return marked;
            }
        }
        self.checked(id, |name| unmount(name, UnmountFlags::NOFOLLOW).map(|()| MountReply::Done))
    }
}

/// `umount2(MNT_EXPIRE)`: `EBUSY` if the mount is in use; `EAGAIN` if not, and it is marked now. A mount that was
/// marked before is unmounted.
fn expire(name: &CStr) -> Result<MountReply, Errno> {
    unmount(name, UnmountFlags::EXPIRE | UnmountFlags::NOFOLLOW).map(|()| MountReply::Done)
}

/// Opens the root of the mount, for `reading` or with `O_PATH`.
///
/// # Errors
/// `ESTALE` if another mount is at the path.
pub fn open_mount(path: &CStr, id: u64, reading: bool) -> Result<OwnedFd, Errno> {
    let place = MountPoint::open(path)?;
    if reading { place.open_root(id) } else { place.root(id) }
}

/// `MNT_EXPIRE`: `EBUSY` if the mount is in use, `EAGAIN` if not. A second such call without an access in
/// between would unmount, so the mount is accessed right after.
pub fn probe(path: &CStr, id: u64) -> Result<MountReply, Errno> {
    let place = MountPoint::open(path)?;
    let answer = place.checked(id, expire);
    let _ = place.mount_id();
    answer
}

/// `syncfs` of the file system that is mounted there.
pub fn sync(path: &CStr, id: u64) -> Result<MountReply, Errno> {
    match MountPoint::open(path)?.open_root(id) {
        Ok(root) => {
            Ok(rustix::fs::syncfs(root).map_or_else(MountReply::Unwritten, |()| MountReply::Done))
        }
        Err(Errno::STALE) => Ok(MountReply::OtherMount),
        Err(errno) => Err(errno),
    }
}

/// `umount2`, after a `syncfs` where wanted.
///
/// Unmounting writes what came after the flush, and reports no failure of that; `syncfs` does, also of a
/// mount that is read-only. The root is closed again before the mount is unmounted.
pub fn unmount_checked(path: &CStr, id: u64, sync: bool) -> Result<MountReply, Errno> {
    let place = MountPoint::open(path)?;
    if sync {
        match place.open_root(id) {
            Ok(root) => {
                if let Err(errno) = rustix::fs::syncfs(root) {
                    return Ok(MountReply::Unwritten(errno));
                }
            }
            // A user's own FUSE file system may be closed to root.
            Err(Errno::ACCESS | Errno::PERM) => {}
            Err(Errno::IO) => return Ok(MountReply::Unwritten(Errno::IO)),
            Err(Errno::STALE) => return Ok(MountReply::OtherMount),
            Err(errno) => return Err(errno),
        }
    }
    reached!(Synced);
    place.unmount(id)
}

/// `MNT_DETACH`: takes the mount out of the tree while it is in use.
pub fn detach(path: &CStr, id: u64) -> Result<MountReply, Errno> {
    MountPoint::open(path)?.checked(id, |name| {
        reached!(Marked);
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        unmount(name, flags).map(|()| MountReply::Done)
    })
}

#[cfg(test)]
pub(crate) mod test_mounts;
#[cfg(test)]
mod tests;
