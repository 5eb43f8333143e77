//! `umount2(2)`: asking the kernel whether a mount is idle, and taking it away.
//!
//! The way to a mount may lead through a file system whose server does not answer: whoever looks there waits
//! for good. So whatever takes the path of a mount does so in a child that can be left behind.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::Mount;
use crate::platform::linux::helper;
use crate::platform::linux::sys::{errno, mountinfo};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

/// How the root of a mount is opened: not what a link there leads to, and without waiting for a device.
const OPEN_ROOT: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// What a child has to say of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MountReply {
    Done,
    /// Something else stands at its path.
    OtherMount,
    /// The file system could not be written.
    Unwritten(Errno),
}

impl MountReply {
    fn to_bytes(self) -> [u8; 8] {
        let (tag, errno) = match self {
            MountReply::Done => (0, 0),
            MountReply::OtherMount => (1, 0),
            MountReply::Unwritten(errno) => (2, errno.raw_os_error()),
        };
        let [a, b, c, d] = errno.to_le_bytes();
        [tag, a, b, c, d, 0, 0, 0]
    }

    fn from_bytes([tag, a, b, c, d, ..]: [u8; 8]) -> MountReply {
        match tag {
            0 => MountReply::Done,
            1 => MountReply::OtherMount,
            _ => MountReply::Unwritten(Errno::from_raw_os_error(i32::from_le_bytes([a, b, c, d]))),
        }
    }
}

/// What became of a mount that does not stand at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MountLoss {
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
pub fn probe(mount: &Mount, deadline: &mut Deadline<'_>) -> Result<()> {
    let (path, id) = (c_path(mount)?, mount.id);
    let answer = run_in_helper(
        deadline,
        |_| {},
        || {
            if mount_id(&path) != Some(id) {
                return Ok(MountReply::OtherMount);
            }
            let answer = unmount(&*path, UnmountFlags::EXPIRE | UnmountFlags::NOFOLLOW);
            let _ = mount_id(&path);
            answer.map(|()| MountReply::Done)
        },
    )?;
    match answer {
        Err(Errno::AGAIN) => Ok(()),
        Err(Errno::BUSY) => Err(busy(mount, Errno::BUSY)),
        Err(errno) => Err(errno::error(errno, display_path(mount), "umount2(MNT_EXPIRE)")),
        Ok(MountReply::OtherMount) => match mount_loss(mount)? {
            MountLoss::Gone => Ok(()),
            MountLoss::Covered => Err(covered(mount)),
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
    deadline: &mut Deadline<'_>,
    tick: impl FnMut(&mut Deadline<'_>),
) -> Result<Option<StepOutcome>> {
    let (path, id) = (c_path(mount)?, mount.id);
    let answer = run_in_helper(deadline, tick, || {
        let root = openat(CWD, &*path, OPEN_ROOT, Mode::empty())?;
        if mount_of(&root) != Some(id) {
            return Ok(MountReply::OtherMount);
        }
        Ok(rustix::fs::syncfs(&root).map_or_else(MountReply::Unwritten, |()| MountReply::Done))
    })?;
    match answer {
        Ok(MountReply::Done) => {
            Ok(Some(StepOutcome::via(Attempt::accepted("syncfs").with_detail(display_path(mount)))))
        }
        Ok(MountReply::Unwritten(errno)) => {
            Err(errno::unwritten(errno, display_path(mount), "syncfs"))
        }
        // What hides the mount need not have a directory of that name.
        Ok(MountReply::OtherMount) | Err(Errno::NOENT | Errno::NOTDIR) => {
            match mount_loss(mount)? {
                MountLoss::Gone => Ok(Some(gone(mount))),
                MountLoss::Covered => Ok(None),
            }
        }
        Err(errno) => Err(errno::error(errno, display_path(mount), "open")),
    }
}

/// Takes the mount away. What cannot be written is looked at once more, unless it is `known` that something
/// cannot.
///
/// # Errors
/// `Busy`: with the system's number for it when it is in use, without when another mount covers it.
pub fn unmount_checked(
    mount: &Mount,
    known: bool,
    deadline: &mut Deadline<'_>,
    tick: impl FnMut(&mut Deadline<'_>),
) -> Result<StepOutcome> {
    let (path, id) = (c_path(mount)?, mount.id);
    let answer = run_in_helper(deadline, tick, || {
        if mount_id(&path) != Some(id) {
            return Ok(MountReply::OtherMount);
        }
        // Unmounting writes what came after the flush, and tells nobody when that fails; syncfs does, also of
        // a mount that is read-only. The file system is closed again before it is unmounted.
        if !known {
            match openat(CWD, &*path, OPEN_ROOT, Mode::empty()) {
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
        unmount(&*path, UnmountFlags::NOFOLLOW).map(|()| MountReply::Done)
    });
    match answer.map_err(|error| with_timeout_state(error, mount))? {
        Ok(MountReply::Done) => {
            Ok(StepOutcome::via(Attempt::accepted("umount2").with_detail(display_path(mount))))
        }
        Ok(MountReply::Unwritten(errno)) => {
            Err(errno::unwritten(errno, display_path(mount), "syncfs"))
        }
        Ok(MountReply::OtherMount) => match mount_loss(mount)? {
            MountLoss::Gone => Ok(gone(mount)),
            MountLoss::Covered => Err(covered(mount)),
        },
        Err(Errno::BUSY) => Err(busy(mount, Errno::BUSY)),
        Err(Errno::IO) => Err(errno::unwritten(Errno::IO, display_path(mount), "umount2")),
        Err(errno) => Err(errno::error(errno, display_path(mount), "umount2")),
    }
}

/// A call that was left behind: the kernel takes the mount out of the tree first, and writes then.
fn with_timeout_state(error: Error, mount: &Mount) -> Error {
    match mount_loss(mount) {
        Ok(MountLoss::Gone) => error
            .with_attempts(vec![Attempt::accepted("umount2").with_detail(display_path(mount))])
            .append_detail(format!(
                "{} is not mounted any more, and the system may not have finished writing to it",
                display_path(mount)
            )),
        _ => error,
    }
}

/// Detaches the mount from the tree, whoever uses it.
pub fn detach(mount: &Mount, deadline: &mut Deadline<'_>) -> Result<Attempt> {
    let path = c_path(mount)?;
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    match helper::run(deadline, |_| {}, &[], || unmount(&*path, flags).map(|()| [0; 8]))? {
        Ok(_) => Ok(Attempt::accepted("umount2(MNT_DETACH)").with_detail(display_path(mount))),
        Err(errno) => Err(errno::error(errno, display_path(mount), "umount2(MNT_DETACH)")),
    }
}

/// Opens the root of the mount, and makes sure that it is this one.
pub fn open(mount: &Mount, deadline: &mut Deadline<'_>) -> Result<OwnedFd> {
    let root = helper::open(&mount.path, OPEN_ROOT, deadline)?
        .map_err(|e| errno::error(e, display_path(mount), "open"))?;
    match mount_of(&root) == Some(mount.id) {
        true => Ok(root),
        false => {
            Err(Error::new(ErrorKind::Gone, display_path(mount), "is not mounted there any more"))
        }
    }
}

fn run_in_helper(
    deadline: &mut Deadline<'_>,
    tick: impl FnMut(&mut Deadline<'_>),
    mut ask: impl FnMut() -> Result<MountReply, Errno>,
) -> Result<Result<MountReply, Errno>> {
    let answer = helper::run(deadline, tick, &[], || ask().map(MountReply::to_bytes))?;
    Ok(answer.map(MountReply::from_bytes))
}

fn c_path(mount: &Mount) -> Result<CString> {
    CString::new(mount.path.as_os_str().as_bytes())
        .map_err(|_| errno::error(Errno::INVAL, display_path(mount), "umount2"))
}

fn mount_loss(mount: &Mount) -> Result<MountLoss> {
    let lines = mountinfo::read_self()
        .map_err(|e| errno::error(e, "/proc/self/mountinfo", "cannot be read"))?;
    Ok(match lines.iter().any(|line| line.id == mount.id) {
        true => MountLoss::Covered,
        false => MountLoss::Gone,
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

fn gone(mount: &Mount) -> StepOutcome {
    StepOutcome::skipped(format!("{} is gone already", display_path(mount)))
}

fn busy(mount: &Mount, errno: Errno) -> Error {
    Error::new(ErrorKind::Busy, display_path(mount), "is in use").with_os_code(errno.raw_os_error())
}

fn covered(mount: &Mount) -> Error {
    Error::new(
        ErrorKind::Busy,
        display_path(mount),
        "another file system is mounted on it or above it",
    )
}

fn display_path(mount: &Mount) -> String {
    mount.path.display().to_string()
}
