//! `setns(2)`: going into another mount namespace.

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

/// Takes the calling thread into this mount namespace, for good: with a root and a working directory of
/// its own (`unshare(2)`), which the kernel demands. Needs `CAP_SYS_ADMIN` and `CAP_SYS_CHROOT`.
///
/// For a thread that ends soon after: everything that it looks up by a path is looked up there.
pub(crate) fn enter_mounts(namespace: impl AsFd) -> Result<(), Errno> {
    let last = || Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOSYS);
    // SAFETY: gives this thread a copy of its root and working directory; no memory is concerned, and
    // no other thread.
    if unsafe { libc::unshare(libc::CLONE_FS) } != 0 {
        return Err(last());
    }
    // SAFETY: the descriptor is open for the length of the call; the kernel changes which mounts this
    // thread sees, and no memory.
    match unsafe { libc::setns(namespace.as_fd().as_raw_fd(), libc::CLONE_NEWNS) } {
        0 => Ok(()),
        _ => Err(last()),
    }
}
