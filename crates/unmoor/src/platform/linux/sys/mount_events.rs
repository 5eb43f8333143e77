//! `poll(2)` of mountinfo (proc(5)): tells whether a mount was added to this namespace, moved or removed.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::time::Timespec;

/// Watch of the mounts of this thread's namespace.
pub struct MountEvents(OwnedFd);

impl MountEvents {
    /// Starts the watch.
    ///
    /// # Errors
    /// Those of openat(2), where proc is not mounted for one.
    pub fn watch() -> Result<MountEvents, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        openat(CWD, c"/proc/thread-self/mountinfo", flags, Mode::empty()).map(MountEvents)
    }

    /// Returns true if a mount has changed since the last call, or since the start. Allocates nothing.
    pub fn happened(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        !matches!(poll(&mut fds, Some(&now)), Ok(0))
    }
}

/// For a poll of [`PollFlags::PRI`].
impl AsFd for MountEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
