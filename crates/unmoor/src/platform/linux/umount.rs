//! `umount2(2)`: asking the kernel whether a mount is idle, and taking it away.

use crate::drive::Mount;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::linux::{errno, mountinfo, worker};
use crate::report::{Attempt, Done};
use crate::wait::Wait;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What stands at a mount's path now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The mount itself.
    It,
    /// It is gone.
    Gone,
    /// Another mount lies on it.
    Covered,
}

/// Asks whether nobody uses this mount, with `MNT_EXPIRE`: `EBUSY` when somebody does, `EAGAIN` when
/// nobody does. A second such call without an access in between would unmount, so it is looked at right
/// after.
///
/// # Errors
/// `Busy`; `NotPermitted`.
pub fn probe(mount: &Mount) -> Result<()> {
    match standing(mount)? {
        Standing::It => {}
        Standing::Gone => return Ok(()),
        Standing::Covered => return Err(covered(mount)),
    }
    let answer = unmount(&*mount.path, UnmountFlags::EXPIRE | UnmountFlags::NOFOLLOW);
    let _ = mount_id(&mount.path);
    match answer {
        Err(Errno::AGAIN) => Ok(()),
        Err(Errno::BUSY) => Err(busy(mount, Errno::BUSY)),
        Err(errno) => Err(errno::error(errno, shown(mount), "umount2(MNT_EXPIRE)")),
        // Somebody else's probe had marked it, and ours was the second: it was idle, and it is gone.
        Ok(()) => Ok(()),
    }
}

/// Takes the mount away; with `force`, without another look at what cannot be written.
///
/// # Errors
/// `Busy`: with the system's number for it when it is in use, without when another mount covers it.
pub fn take_away(
    mount: &Mount,
    force: bool,
    wait: &mut Wait<'_>,
    tick: impl FnMut(&mut Wait<'_>),
) -> Result<Done> {
    match standing(mount)? {
        Standing::It => {}
        Standing::Gone => return Ok(Done::skipped(format!("{} is gone already", shown(mount)))),
        Standing::Covered => return Err(covered(mount)),
    }
    // Unmounting writes what came after the flush, and tells nobody when that fails; syncfs does. The
    // child closes the file system again before it unmounts it. Who forces it has been told already
    // what could not be written.
    let path = c_path(mount)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let answer = worker::run(wait, tick, || {
        if !mount.read_only && !force {
            let root = openat(CWD, &*path, flags, Mode::empty());
            if let Some(Err(errno)) = root.ok().map(rustix::fs::syncfs) {
                return Ok(not_written(errno));
            }
        }
        unmount(&*path, UnmountFlags::NOFOLLOW).map(|()| [0; 8])
    });
    let answer = answer.map_err(|error| unfinished(error, mount))?;
    if let Some(errno) = answer.ok().and_then(was_not_written) {
        return Err(errno::unwritten(errno, shown(mount), "syncfs"));
    }
    match answer {
        Ok(_) => Ok(Done::by(Attempt::accepted("umount2").with_detail(shown(mount)))),
        Err(Errno::BUSY) => Err(busy(mount, Errno::BUSY)),
        Err(Errno::IO) => Err(errno::unwritten(Errno::IO, shown(mount), "umount2")),
        Err(errno) => Err(errno::error(errno, shown(mount), "umount2")),
    }
}

/// A call that was left behind: the kernel takes the mount out of the tree first, and writes then.
fn unfinished(error: Error, mount: &Mount) -> Error {
    match standing(mount) {
        Ok(Standing::Gone) => error
            .with_attempts(vec![Attempt::accepted("umount2").with_detail(shown(mount))])
            .and_detail(format!(
                "{} is not mounted any more, and the system may not have finished writing to it",
                shown(mount)
            )),
        _ => error,
    }
}

/// Detaches the mount from the tree, whoever uses it.
pub fn detach(mount: &Mount, wait: &mut Wait<'_>) -> Result<Attempt> {
    let path = c_path(mount)?;
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    match worker::run(wait, |_| {}, || unmount(&*path, flags).map(|()| [0; 8]))? {
        Ok(_) => Ok(Attempt::accepted("umount2(MNT_DETACH)").with_detail(shown(mount))),
        Err(errno) => Err(errno::error(errno, shown(mount), "umount2(MNT_DETACH)")),
    }
}

/// Opens the root of the mount; `None` when it is gone or another one hides it.
pub fn open_visible(mount: &Mount) -> Result<Option<OwnedFd>> {
    match standing(mount)? {
        Standing::It => open(mount).map(Some),
        Standing::Gone | Standing::Covered => Ok(None),
    }
}

/// Opens the root of the mount, and makes sure that it is this one.
pub fn open(mount: &Mount) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let root = openat(CWD, &*mount.path, flags, Mode::empty())
        .map_err(|e| errno::error(e, shown(mount), "open"))?;
    let id = statx(&root, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID)
        .map(|stat| stat.stx_mnt_id);
    match id {
        Ok(id) if id == mount.id => Ok(root),
        _ => Err(Error::new(ErrorKind::Gone, shown(mount), "is not mounted there any more")),
    }
}

fn c_path(mount: &Mount) -> Result<CString> {
    CString::new(mount.path.as_os_str().as_bytes())
        .map_err(|_| errno::error(Errno::INVAL, shown(mount), "umount2"))
}

/// An error of `syncfs` on its way out of the child, told apart from one of `umount2`.
fn not_written(errno: Errno) -> [u8; 8] {
    let [a, b, c, d] = errno.raw_os_error().to_le_bytes();
    [1, a, b, c, d, 0, 0, 0]
}

fn was_not_written(answer: [u8; 8]) -> Option<Errno> {
    let [tag, a, b, c, d, ..] = answer;
    (tag == 1).then(|| Errno::from_raw_os_error(i32::from_le_bytes([a, b, c, d])))
}

fn standing(mount: &Mount) -> Result<Standing> {
    if mount_id(&mount.path) == Some(mount.id) {
        return Ok(Standing::It);
    }
    let lines =
        mountinfo::own().map_err(|e| errno::error(e, "/proc/self/mountinfo", "cannot be read"))?;
    Ok(match lines.iter().any(|line| line.id == mount.id) {
        true => Standing::Covered,
        false => Standing::Gone,
    })
}

/// The number of the mount this path is on (Linux 5.8). Counts as an access to it.
fn mount_id(path: &Path) -> Option<u64> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    statx(CWD, path, flags, StatxFlags::MNT_ID).ok().map(|stat| stat.stx_mnt_id)
}

fn busy(mount: &Mount, errno: Errno) -> Error {
    Error::new(ErrorKind::Busy, shown(mount), "is in use").with_os_code(errno.raw_os_error())
}

fn covered(mount: &Mount) -> Error {
    Error::new(ErrorKind::Busy, shown(mount), "another file system is mounted on it or above it")
}

fn shown(mount: &Mount) -> String {
    mount.path.display().to_string()
}
