//! md arrays: `STOP_ARRAY` (`linux/raid/md_u.h`) and `/sys/block/mdN/md` (Documentation/admin-guide/md.rst).

use crate::platform::linux::sys::ioctl;
use crate::platform::linux::sys::pseudo_file::text_at;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

const STOP_ARRAY: ioctl::Request = 0x0932; // _IO(MD_MAJOR, 0x32), MD_MAJOR is 9

/// `STOP_ARRAY`: writes the array's superblocks as clean and releases its members.
///
/// `EBUSY` while it is open elsewhere, or a device is stacked on it.
pub fn stop(array: impl AsFd) -> Result<(), Errno> {
    // SAFETY: STOP_ARRAY takes no argument.
    unsafe { ioctl::with_number(array, STOP_ARRAY, 0) }.map(drop)
}

/// Returns true if a program writes the array's metadata (`external:…`, Intel's and DDF's).
///
/// mdmon has to stop such an array, or the controller's firmware reads an older state later.
pub fn is_managed_outside(name: &str) -> bool {
    text_at(CWD, format!("/sys/block/{name}/md/metadata_version"))
        .is_some_and(|version| version.starts_with("external:"))
}

/// Returns true if the array was never started.
///
/// It has no size, and reads and writes of its node fail.
pub fn is_inactive(name: &str) -> bool {
    let state = text_at(CWD, format!("/sys/block/{name}/md/array_state"));
    state.is_some_and(|state| matches!(&*state, "inactive" | "clear"))
}

/// Text that makes an array 1 KiB long (`md/array_size`), also while it is in use.
///
/// The block layer fails every request behind that. Nothing is written, and the array has its length again when
/// it is assembled the next time.
pub const SHORTEST: &[u8] = b"1";

/// Opens the file that [`SHORTEST`] is written to.
pub fn array_size(name: &str) -> Result<OwnedFd, Errno> {
    let file = format!("/sys/block/{name}/md/array_size");
    openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Returns true if the array has nothing more to write.
///
/// `md/array_state` is `active` until its members are marked as clean.
pub fn is_clean(name: &str) -> bool {
    let state = text_at(CWD, format!("/sys/block/{name}/md/array_state"));
    !state.is_some_and(|state| matches!(&*state, "active" | "write-pending" | "active-idle"))
}
