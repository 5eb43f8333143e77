//! `FS_IOC_SHUTDOWN`: cuts a file system off from its drive. It began as xfs's `XFS_IOC_GOINGDOWN`, and
//! ext4, f2fs and others took the number over.

use crate::platform::linux::blkdev::last_errno;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

const FS_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d; // _IOR('X', 125, __u32)
/// Everything that is in the cache is written first (`FS_SHUTDOWN_FLAGS_DEFAULT`).
const FLUSH_FIRST: u32 = 0;

/// Shuts the file system down that this file lies on: from then on reading and writing give EIO.
pub fn shutdown(file: impl AsFd) -> Result<(), Errno> {
    let mut flags: u32 = FLUSH_FIRST;
    // SAFETY: the kernel reads one u32 from the address, which is `flags`'.
    match unsafe { libc::ioctl(file.as_fd().as_raw_fd(), FS_IOC_SHUTDOWN as _, &raw mut flags) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}
