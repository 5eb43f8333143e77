//! Mount table of a namespace as seen from the namespace's own root.
//!
//! `/proc/PID/mountinfo` ends at the root of that process: below a chroot(2) it leaves out the rest
//! (`show_mountinfo`, fs/proc_namespace.c). A thread that enters the namespace with setns(2) sees all of it, under
//! the names that `nsenter --mount` sees.

use crate::platform::linux::sys::procfs::{Proc, Result};
use crate::platform::linux::sys::setns::enter_mounts;
use crate::platform::stuck_pool::run_one;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::time::Duration;

/// Timeout for one namespace, the way to which may lead through a dead file system.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads the mount table of the namespace that `open` opens.
///
/// Runs on a thread of its own, because entering a mount namespace changes the root of the thread.
///
/// # Errors
/// EPERM for a user that may not enter the namespace; ETIMEDOUT if the call hangs.
pub(crate) fn mountinfo(
    open: impl FnOnce() -> Result<OwnedFd> + Send + 'static,
) -> Result<Vec<u8>> {
    run_one(READ_TIMEOUT, || true, move || read_in_ns(open)).unwrap_or(Err(Errno::TIMEDOUT))
}

/// Reads mountinfo in the namespace and switches back.
///
/// A thread that stayed would pin the namespace, and the drive, until it has exited.
fn read_in_ns(open: impl FnOnce() -> Result<OwnedFd>) -> Result<Vec<u8>> {
    // The namespace may have no /proc. This one shows the namespace of the thread that reads it.
    let (proc, home, namespace) = (Proc::open()?, open_own()?, open()?);
    enter_mounts(&namespace)?;
    let mut text = Vec::new();
    let read = proc.read(c"thread-self/mountinfo", &mut text);
    // When this fails, the end of the thread leaves the namespace.
    let _ = enter_mounts(&home);
    read.map(|()| text)
}

fn open_own() -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(c"/proc/thread-self/ns/mnt", flags, Mode::empty())
}
