//! `statx(2)` with `STATX_MNT_ID` (Linux 5.8): the mount that a path or a descriptor is on.

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::ffi::CStr;

/// Returns the ID of the mount that this path is on. Counts as an access to the mount.
pub fn of_path(path: &CStr) -> Option<u64> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    statx(CWD, path, flags, StatxFlags::MNT_ID).ok().map(|stat| stat.stx_mnt_id)
}

/// Returns the ID of the mount that this file was opened on.
pub fn of_file(file: impl AsFd) -> Option<u64> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    statx(file, c"", flags, StatxFlags::MNT_ID).ok().map(|stat| stat.stx_mnt_id)
}
