//! `setns(2)`: going into another mount or network namespace.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// Takes the calling thread into this mount namespace, for good: with a root and a working directory of
/// its own (`unshare(2)`), which the kernel demands. Needs `CAP_SYS_ADMIN` and `CAP_SYS_CHROOT`.
///
/// For a thread that ends soon after: everything that it looks up by a path is looked up there.
pub(crate) fn enter_mounts(namespace: impl AsFd) -> Result<(), Errno> {
    // SAFETY: gives this thread a copy of its root and working directory; no memory is concerned, and
    // no other thread.
    if unsafe { libc::unshare(libc::CLONE_FS) } != 0 {
        return Err(last_error());
    }
    enter(namespace.as_fd(), libc::CLONE_NEWNS)
}

/// Takes the calling thread into this network namespace. Needs `CAP_SYS_ADMIN`.
pub(crate) fn enter_network(namespace: impl AsFd) -> Result<(), Errno> {
    enter(namespace.as_fd(), libc::CLONE_NEWNET)
}

fn enter(namespace: BorrowedFd<'_>, kind: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for the length of the call; the kernel changes what this thread sees,
    // and no memory.
    match unsafe { libc::setns(namespace.as_raw_fd(), kind) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOSYS)
}
