//! The block layer's ioctls (`linux/fs.h`), on an open block device.

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

// linux/fs.h. The numbers of `_IO` and `_IOR` are the same on every architecture unmoor is built for
// that follows asm-generic/ioctl.h.
const BLKRRPART: libc::c_ulong = 0x125f; // _IO(0x12, 95)
const BLKFLSBUF: libc::c_ulong = 0x1261; // _IO(0x12, 97)
const BLKGETDISKSEQ: libc::c_ulong = 0x8008_1280; // _IOR(0x12, 128, __u64)

/// `BLKRRPART`: reads the partition table again; the kernel looks at the medium on the way, and the
/// partitions of one that left vanish.
pub fn reread_partitions(device: impl AsFd) -> Result<(), Errno> {
    // SAFETY: BLKRRPART takes no argument; the descriptor is open for the length of the call.
    let result = unsafe { libc::ioctl(device.as_fd().as_raw_fd(), BLKRRPART as _) };
    check(result)
}

/// `BLKFLSBUF`: writes what the file system on this device has in the cache (`fsync_bdev`), then the
/// device's own. What could not be written is told to whoever asks the file system next, not here.
/// Needs CAP_SYS_ADMIN.
pub fn flush_buffers(device: impl AsFd) -> Result<(), Errno> {
    // SAFETY: BLKFLSBUF takes no argument; the descriptor is open for the length of the call.
    let result = unsafe { libc::ioctl(device.as_fd().as_raw_fd(), BLKFLSBUF as _) };
    check(result)
}

/// `BLKGETDISKSEQ` (Linux 5.15): the number of this disk and this medium, never given twice.
pub fn diskseq(device: impl AsFd) -> Result<u64, Errno> {
    let mut seq: u64 = 0;
    // SAFETY: the kernel writes one u64 to the address, which is `seq`'s.
    let result =
        unsafe { libc::ioctl(device.as_fd().as_raw_fd(), BLKGETDISKSEQ as _, &raw mut seq) };
    check(result).map(|()| seq)
}

fn check(result: libc::c_int) -> Result<(), Errno> {
    match result {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

/// The errno of the call that just failed.
pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
