//! `umount2(2)`: asking the kernel whether a mount is idle, and taking it away.
//!
//! The way to a mount may lead through a file system whose server does not answer: whoever looks there waits
//! for good. So whatever takes the path of a mount does so in a child that can be left behind.

use crate::drive::Mount;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::linux::{errno, mountinfo, worker};
use crate::report::{Attempt, Done};
use crate::wait::Wait;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

/// How the root of a mount is opened: not what a link there leads to, and without waiting for a device.
const ROOT: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// What a child has to say of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Done,
    /// Something else stands at its path.
    Elsewhere,
    /// The file system could not be written.
    Unwritten(Errno),
}

impl Answer {
    fn to_bytes(self) -> [u8; 8] {
        let (tag, errno) = match self {
            Answer::Done => (0, 0),
            Answer::Elsewhere => (1, 0),
            Answer::Unwritten(errno) => (2, errno.raw_os_error()),
        };
        let [a, b, c, d] = errno.to_le_bytes();
        [tag, a, b, c, d, 0, 0, 0]
    }

    fn from_bytes([tag, a, b, c, d, ..]: [u8; 8]) -> Answer {
        match tag {
            0 => Answer::Done,
            1 => Answer::Elsewhere,
            _ => Answer::Unwritten(Errno::from_raw_os_error(i32::from_le_bytes([a, b, c, d]))),
        }
    }
}

/// What became of a mount that does not stand at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It is gone.
    Gone,
    /// Another mount hides it.
    Covered,
}

/// Asks whether nobody uses this mount, with `MNT_EXPIRE`: `EBUSY` when somebody does, `EAGAIN` when
/// nobody does. A second such call without an access in between would unmount, so it is looked at right
/// after.
///
/// # Errors
/// `Busy`; `NotPermitted`; `TimedOut`.
pub fn probe(mount: &Mount, wait: &mut Wait<'_>) -> Result<()> {
    let (path, id) = (c_path(mount)?, mount.id);
    let answer = in_child(
        wait,
        |_| {},
        || {
            if mount_id(&path) != Some(id) {
                return Ok(Answer::Elsewhere);
            }
            let answer = unmount(&*path, UnmountFlags::EXPIRE | UnmountFlags::NOFOLLOW);
            let _ = mount_id(&path);
            answer.map(|()| Answer::Done)
        },
    )?;
    match answer {
        Err(Errno::AGAIN) => Ok(()),
        Err(Errno::BUSY) => Err(busy(mount, Errno::BUSY)),
        Err(errno) => Err(errno::error(errno, shown(mount), "umount2(MNT_EXPIRE)")),
        Ok(Answer::Elsewhere) => match missing(mount)? {
            Missing::Gone => Ok(()),
            Missing::Covered => Err(covered(mount)),
        },
        // Somebody else's probe had marked it, and ours was the second: it was idle, and it is gone.
        Ok(_) => Ok(()),
    }
}

/// `syncfs` of the file system that is mounted there; skipped when the mount is gone, `None` when another
/// one hides it.
///
/// # Errors
/// `Unwritten`; `TimedOut`.
pub fn sync(
    mount: &Mount,
    wait: &mut Wait<'_>,
    tick: impl FnMut(&mut Wait<'_>),
) -> Result<Option<Done>> {
    let (path, id) = (c_path(mount)?, mount.id);
    let answer = in_child(wait, tick, || {
        let root = openat(CWD, &*path, ROOT, Mode::empty())?;
        if mount_of(&root) != Some(id) {
            return Ok(Answer::Elsewhere);
        }
        Ok(rustix::fs::syncfs(&root).map_or_else(Answer::Unwritten, |()| Answer::Done))
    })?;
    match answer {
        Ok(Answer::Done) => {
            Ok(Some(Done::by(Attempt::accepted("syncfs").with_detail(shown(mount)))))
        }
        Ok(Answer::Unwritten(errno)) => Err(errno::unwritten(errno, shown(mount), "syncfs")),
        // What hides the mount need not have a directory of that name.
        Ok(Answer::Elsewhere) | Err(Errno::NOENT | Errno::NOTDIR) => match missing(mount)? {
            Missing::Gone => Ok(Some(gone(mount))),
            Missing::Covered => Ok(None),
        },
        Err(errno) => Err(errno::error(errno, shown(mount), "open")),
    }
}

/// Takes the mount away. What cannot be written is looked at once more, unless it is `known` that something
/// cannot.
///
/// # Errors
/// `Busy`: with the system's number for it when it is in use, without when another mount covers it.
pub fn take_away(
    mount: &Mount,
    known: bool,
    wait: &mut Wait<'_>,
    tick: impl FnMut(&mut Wait<'_>),
) -> Result<Done> {
    let (path, id) = (c_path(mount)?, mount.id);
    let answer = in_child(wait, tick, || {
        if mount_id(&path) != Some(id) {
            return Ok(Answer::Elsewhere);
        }
        // Unmounting writes what came after the flush, and tells nobody when that fails; syncfs does, also of
        // a mount that is read-only. The file system is closed again before it is unmounted.
        if !known {
            match openat(CWD, &*path, ROOT, Mode::empty()) {
                Ok(root) => {
                    if let Err(errno) = rustix::fs::syncfs(root) {
                        return Ok(Answer::Unwritten(errno));
                    }
                }
                // A user's own FUSE file system may be closed to root.
                Err(Errno::ACCESS | Errno::PERM) => {}
                Err(Errno::IO) => return Ok(Answer::Unwritten(Errno::IO)),
                Err(errno) => return Err(errno),
            }
        }
        unmount(&*path, UnmountFlags::NOFOLLOW).map(|()| Answer::Done)
    });
    match answer.map_err(|error| unfinished(error, mount))? {
        Ok(Answer::Done) => Ok(Done::by(Attempt::accepted("umount2").with_detail(shown(mount)))),
        Ok(Answer::Unwritten(errno)) => Err(errno::unwritten(errno, shown(mount), "syncfs")),
        Ok(Answer::Elsewhere) => match missing(mount)? {
            Missing::Gone => Ok(gone(mount)),
            Missing::Covered => Err(covered(mount)),
        },
        Err(Errno::BUSY) => Err(busy(mount, Errno::BUSY)),
        Err(Errno::IO) => Err(errno::unwritten(Errno::IO, shown(mount), "umount2")),
        Err(errno) => Err(errno::error(errno, shown(mount), "umount2")),
    }
}

/// A call that was left behind: the kernel takes the mount out of the tree first, and writes then.
fn unfinished(error: Error, mount: &Mount) -> Error {
    match missing(mount) {
        Ok(Missing::Gone) => error
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
    match worker::run(wait, |_| {}, &[], || unmount(&*path, flags).map(|()| [0; 8]))? {
        Ok(_) => Ok(Attempt::accepted("umount2(MNT_DETACH)").with_detail(shown(mount))),
        Err(errno) => Err(errno::error(errno, shown(mount), "umount2(MNT_DETACH)")),
    }
}

/// Opens the root of the mount, and makes sure that it is this one.
pub fn open(mount: &Mount, wait: &mut Wait<'_>) -> Result<OwnedFd> {
    let root = worker::open(&mount.path, ROOT, wait)?
        .map_err(|e| errno::error(e, shown(mount), "open"))?;
    match mount_of(&root) == Some(mount.id) {
        true => Ok(root),
        false => Err(Error::new(ErrorKind::Gone, shown(mount), "is not mounted there any more")),
    }
}

fn in_child(
    wait: &mut Wait<'_>,
    tick: impl FnMut(&mut Wait<'_>),
    mut ask: impl FnMut() -> Result<Answer, Errno>,
) -> Result<Result<Answer, Errno>> {
    let answer = worker::run(wait, tick, &[], || ask().map(Answer::to_bytes))?;
    Ok(answer.map(Answer::from_bytes))
}

fn c_path(mount: &Mount) -> Result<CString> {
    CString::new(mount.path.as_os_str().as_bytes())
        .map_err(|_| errno::error(Errno::INVAL, shown(mount), "umount2"))
}

fn missing(mount: &Mount) -> Result<Missing> {
    let lines =
        mountinfo::own().map_err(|e| errno::error(e, "/proc/self/mountinfo", "cannot be read"))?;
    Ok(match lines.iter().any(|line| line.id == mount.id) {
        true => Missing::Covered,
        false => Missing::Gone,
    })
}

/// The number of the mount this path is on (Linux 5.8). Counts as an access to it.
fn mount_id(path: &CStr) -> Option<u64> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    statx(CWD, path, flags, StatxFlags::MNT_ID).ok().map(|stat| stat.stx_mnt_id)
}

/// The number of the mount that this was opened on.
fn mount_of(root: impl AsFd) -> Option<u64> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    statx(root, c"", flags, StatxFlags::MNT_ID).ok().map(|stat| stat.stx_mnt_id)
}

fn gone(mount: &Mount) -> Done {
    Done::skipped(format!("{} is gone already", shown(mount)))
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
