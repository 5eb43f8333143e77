//! `FS_IOC_SHUTDOWN`: cuts a file system off from its drive. It began as xfs's `XFS_IOC_GOINGDOWN`, and
//! ext4, f2fs and others took the number over.

use crate::platform::linux::sys::ioctl;
use rustix::fd::AsFd;
use rustix::io::Errno;

const FS_IOC_SHUTDOWN: ioctl::Request = 0x8004_587d; // _IOR('X', 125, __u32)
/// Everything that is in the cache is written first (`FS_SHUTDOWN_FLAGS_DEFAULT`).
const FLUSH_FIRST: u32 = 0;

/// Shuts down the file system of this file.
///
/// Reads and writes fail with EIO from then on.
pub fn shutdown(file: impl AsFd) -> Result<(), Errno> {
    let mut flags: u32 = FLUSH_FIRST;
    // SAFETY: the kernel reads one u32.
    unsafe { ioctl::with(file, FS_IOC_SHUTDOWN, &mut flags) }
}
