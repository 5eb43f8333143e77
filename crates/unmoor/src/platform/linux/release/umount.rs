//! `umount2(2)`: asks the kernel whether a mount is idle, and unmounts it.
//!
//! The path of a mount may lead through a file system whose server does not answer, and a call with that path may
//! never return. So the helper makes these calls.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::Mount;
use crate::platform::linux::helper::Device;
use crate::platform::linux::helper::mount_calls::MountReply;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::helper::{CallResult, Helper, c_path};
use crate::platform::linux::sys::{errno, mountinfo, utab};
use rustix::io::Errno;
use std::ffi::CString;
use std::path::PathBuf;

/// Reason why a mount is not at its path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MountLoss {
    /// The mount is gone.
    Gone,
    /// Another mount hides it.
    Covered,
    /// The directory of its mount point was renamed or removed: the mount is at this path now.
    Moved(PathBuf),
}

impl MountLoss {
    /// Returns the error; `None` if the mount is gone.
    fn error(self, mount: &Mount) -> Option<Error> {
        let what = match self {
            MountLoss::Gone => return None,
            MountLoss::Covered => "another file system is mounted on it or above it".to_owned(),
            MountLoss::Moved(path) => {
                format!("its mount point was moved meanwhile, and is {} now", path.display())
            }
        };
        Some(Error::new(ErrorKind::Busy, display_path(mount), what))
    }
}

/// Errors of a path on which a directory was exchanged, or hidden by another mount.
fn leads_elsewhere(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE)
}

/// Checks with `MNT_EXPIRE` that the mount is idle.
///
/// # Errors
/// `Busy`; `NotPermitted`; `TimedOut`.
pub fn probe(mount: &Mount, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<()> {
    let path = mount_path(mount)?;
    let request = Request::ProbeMount { path: &path, id: mount.id };
    match mount_call(helper, &request, deadline, |_| {})? {
        Err(Errno::AGAIN) => Ok(()),
        Err(Errno::BUSY) => Err(busy(mount, Errno::BUSY)),
        Ok(MountReply::OtherMount) => mount_loss(mount)?.error(mount).map_or(Ok(()), Err),
        Err(errno) if leads_elsewhere(errno) => mount_loss(mount)?.error(mount).map_or(Ok(()), Err),
        Err(errno) => Err(errno::error(errno, display_path(mount), "umount2(MNT_EXPIRE)")),
        // Another program's probe had marked it, and this was the second: it was idle, and it is gone.
        Ok(_) => Ok(()),
    }
}

/// Calls `syncfs` on the file system of the mount.
///
/// The outcome is skipped if the mount is gone, and `None` if another mount hides it.
///
/// # Errors
/// `Unwritten`; `TimedOut`.
pub fn sync(
    mount: &Mount,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
    tick: impl FnMut(&mut Deadline<'_>),
) -> Result<Option<StepOutcome>> {
    let path = mount_path(mount)?;
    let request = Request::SyncMount { path: &path, id: mount.id };
    match mount_call(helper, &request, deadline, tick)? {
        Ok(MountReply::Done) => {
            Ok(Some(StepOutcome::via(Attempt::accepted("syncfs").with_detail(display_path(mount)))))
        }
        Ok(MountReply::Unwritten(errno)) => {
            Err(errno::unwritten(errno, display_path(mount), "syncfs"))
        }
        // The mount that hides it need not have a directory of that name.
        Ok(MountReply::OtherMount) => Ok(is_gone(mount)?.then(|| gone(mount))),
        Err(errno) if leads_elsewhere(errno) => Ok(is_gone(mount)?.then(|| gone(mount))),
        Err(errno) => Err(errno::error(errno, display_path(mount), "open")),
    }
}

/// Unmounts the mount, after another `syncfs` unless a write error is `known` already.
///
/// # Errors
/// `Busy`: with an errno if it is in use, without one if another mount covers it.
pub fn unmount_checked(
    mount: &Mount,
    known: bool,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
    tick: impl FnMut(&mut Deadline<'_>),
) -> Result<StepOutcome> {
    let path = mount_path(mount)?;
    let request = Request::Unmount { path: &path, id: mount.id, sync: !known };
    let answer = mount_call(helper, &request, deadline, tick);
    match answer.map_err(|error| with_timeout_state(error, mount))? {
        Ok(MountReply::Done) => {
            remove_from_table(mount);
            Ok(StepOutcome::via(Attempt::accepted("umount2").with_detail(display_path(mount))))
        }
        Ok(MountReply::Unwritten(errno)) => {
            Err(errno::unwritten(errno, display_path(mount), "syncfs"))
        }
        Ok(MountReply::OtherMount) => gone_or_elsewhere(mount),
        Err(errno) if leads_elsewhere(errno) => gone_or_elsewhere(mount),
        Err(Errno::BUSY) => Err(busy(mount, Errno::BUSY)),
        Err(Errno::IO) => Err(errno::unwritten(Errno::IO, display_path(mount), "umount2")),
        Err(errno) => Err(errno::error(errno, display_path(mount), "umount2")),
    }
}

/// Adds the state of the mount to the error of a call that was left behind.
///
/// The kernel removes the mount from the tree first, and writes then.
fn with_timeout_state(error: Error, mount: &Mount) -> Error {
    match is_gone(mount) {
        Ok(true) => error
            .with_attempts(vec![Attempt::accepted("umount2").with_detail(display_path(mount))])
            .append_detail(format!(
                "{} is not mounted any more, and the system may not have finished writing to it",
                display_path(mount)
            )),
        _ => error,
    }
}

/// Detaches the mount from the tree, even while it is in use.
///
/// # Errors
/// `Busy` if another mount covers it, or its mount point was moved.
pub fn detach(mount: &Mount, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
    let path = mount_path(mount)?;
    match mount_call(helper, &Request::Detach { path: &path, id: mount.id }, deadline, |_| {})? {
        Ok(MountReply::OtherMount) => gone_or_elsewhere(mount),
        Ok(_) => {
            remove_from_table(mount);
            let attempt = Attempt::accepted("umount2(MNT_DETACH)");
            Ok(StepOutcome::via(attempt.with_detail(display_path(mount))))
        }
        Err(errno) if leads_elsewhere(errno) => gone_or_elsewhere(mount),
        Err(errno) => Err(errno::error(errno, display_path(mount), "umount2(MNT_DETACH)")),
    }
}

/// Removes the mount's line from libmount's table, as umount(8) does.
///
/// A line that stays does no harm: so a failure is no error.
fn remove_from_table(mount: &Mount) {
    let _ = utab::remove(&mount.path);
}

/// Opens the root of the mount, and makes sure that it is this one.
pub fn open(mount: &Mount, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<Device> {
    let path = mount_path(mount)?;
    let request = Request::OpenMount { path: &path, id: mount.id, reading: true };
    match helper.open_by(&request, deadline)? {
        Ok(root) => Ok(root),
        Err(errno) if leads_elsewhere(errno) => {
            Err(mount_loss(mount)?.error(mount).unwrap_or_else(|| {
                Error::new(ErrorKind::Gone, display_path(mount), "is not mounted there any more")
            }))
        }
        Err(errno) => Err(errno::error(errno, display_path(mount), "open")),
    }
}

fn mount_call(
    helper: &Helper,
    request: &Request<'_>,
    deadline: &mut Deadline<'_>,
    tick: impl FnMut(&mut Deadline<'_>),
) -> CallResult<MountReply> {
    let answer = helper.call_with_progress(request, deadline, tick)?;
    Ok(answer.map(|(values, _)| MountReply::from_values(values)))
}

fn mount_path(mount: &Mount) -> Result<CString> {
    c_path(&mount.path).map_err(|errno| errno::error(errno, display_path(mount), "umount2"))
}

fn mount_loss(mount: &Mount) -> Result<MountLoss> {
    let lines = mountinfo::read_self()
        .map_err(|e| errno::error(e, "/proc/self/mountinfo", "cannot be read"))?;
    Ok(match lines.into_iter().find(|line| line.id == mount.id) {
        None => MountLoss::Gone,
        Some(line) if line.path == mount.path => MountLoss::Covered,
        Some(line) => MountLoss::Moved(line.path),
    })
}

fn is_gone(mount: &Mount) -> Result<bool> {
    Ok(mount_loss(mount)? == MountLoss::Gone)
}

fn gone_or_elsewhere(mount: &Mount) -> Result<StepOutcome> {
    mount_loss(mount)?.error(mount).map_or_else(|| Ok(gone(mount)), Err)
}

fn gone(mount: &Mount) -> StepOutcome {
    StepOutcome::skipped(format!("{} is gone already", display_path(mount)))
}

fn busy(mount: &Mount, errno: Errno) -> Error {
    Error::new(ErrorKind::Busy, display_path(mount), "is in use").with_os_code(errno.raw_os_error())
}

fn display_path(mount: &Mount) -> String {
    mount.path.display().to_string()
}
