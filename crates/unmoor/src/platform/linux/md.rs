//! md arrays: `STOP_ARRAY` (`linux/raid/md_u.h`) and `/sys/block/mdN/md` (Documentation/admin-guide/md.rst).

use crate::platform::linux::blkdev::last_errno;
use crate::platform::linux::kernel_file::text_at;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::CWD;
use rustix::io::Errno;

const STOP_ARRAY: libc::c_ulong = 0x0932; // _IO(MD_MAJOR, 0x32), MD_MAJOR is 9

/// `STOP_ARRAY`: writes the array's superblocks as clean and lets its members go; `EBUSY` while anybody
/// but this descriptor has it open, or something stands on it.
pub fn stop(array: impl AsFd) -> Result<(), Errno> {
    // SAFETY: STOP_ARRAY takes no argument; the descriptor is open for the length of the call.
    match unsafe { libc::ioctl(array.as_fd().as_raw_fd(), STOP_ARRAY as _) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

/// Is its metadata written by a program (`external:…`, Intel's and DDF's): mdmon has to stop such an
/// array, or what the controller's firmware reads later is not what the kernel did.
pub fn is_managed_outside(name: &str) -> bool {
    text_at(CWD, format!("/sys/block/{name}/md/metadata_version"))
        .is_some_and(|version| version.starts_with("external:"))
}
