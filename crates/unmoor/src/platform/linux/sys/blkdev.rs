//! The block layer's ioctls (`linux/fs.h`), on an open block device.

use crate::platform::linux::sys::ioctl;
use rustix::fd::AsFd;
use rustix::io::Errno;

// linux/fs.h. The numbers of `_IO` and `_IOR` are the same on every architecture unmoor is built for
// that follows asm-generic/ioctl.h.
const BLKRRPART: ioctl::Request = 0x125f; // _IO(0x12, 95)
const BLKFLSBUF: ioctl::Request = 0x1261; // _IO(0x12, 97)
const BLKGETDISKSEQ: ioctl::Request = 0x8008_1280; // _IOR(0x12, 128, __u64)

/// `BLKRRPART`: reads the partition table again.
///
/// The kernel checks the medium on the way, and removes the partitions of a medium that has left.
pub fn reread_partitions(device: impl AsFd) -> Result<(), Errno> {
    // SAFETY: BLKRRPART takes no argument.
    unsafe { ioctl::with_number(device, BLKRRPART, 0) }.map(drop)
}

/// `BLKFLSBUF`: writes the cache of the file system on this device, then the device's own.
///
/// The kernel's function is `fsync_bdev`. A failed write is reported to the next `syncfs` or `fsync` of the file system, not here. Needs CAP_SYS_ADMIN.
pub fn flush_buffers(device: impl AsFd) -> Result<(), Errno> {
    // SAFETY: BLKFLSBUF takes no argument.
    unsafe { ioctl::with_number(device, BLKFLSBUF, 0) }.map(drop)
}

/// `BLKGETDISKSEQ` (Linux 5.15): the number of this disk and this medium, never given twice.
pub fn diskseq(device: impl AsFd) -> Result<u64, Errno> {
    let mut seq: u64 = 0;
    // SAFETY: the kernel writes one u64.
    unsafe { ioctl::with(device, BLKGETDISKSEQ, &mut seq) }.map(|()| seq)
}

/// Returns the errno of the call that just failed.
pub(crate) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
