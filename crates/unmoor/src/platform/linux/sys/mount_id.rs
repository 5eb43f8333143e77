//! Mount that a name or a descriptor is on: statx(2) with `STATX_MNT_ID` (Linux 5.8), before that `mnt_id` in
//! `/proc/PID/fdinfo/N` (proc(5), Linux 3.15).

use crate::platform::linux::sys::fdinfo::FdInfo;
use crate::platform::linux::sys::procfs::{ProcPath, mount_id_of};
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::Errno;
use std::ffi::CStr;

/// Returns the ID of the uppermost mount at a name in this directory. Counts as an access to the mount.
///
/// # Errors
/// As statx(2): `ACCES` in a directory that this user may not enter.
pub fn of_name(directory: impl AsFd, name: &CStr) -> Result<Option<u64>, Errno> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    match statx(&directory, name, flags, StatxFlags::MNT_ID) {
        Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::NOTDIR)) => Err(errno),
        stat => Ok(stat.ok().as_ref().and_then(mount_id_of).or_else(|| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            of_file(openat(&directory, name, flags, Mode::empty()).ok()?)
        })),
    }
}

/// Returns the ID of the mount that this file was opened on.
///
/// A file system that was shut down fails statx(2) with `EIO` (XFS), and has an fdinfo all the same.
pub fn of_file(file: impl AsFd) -> Option<u64> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(&file, c"", flags, StatxFlags::MNT_ID).ok();
    stat.as_ref().and_then(mount_id_of).or_else(|| from_fdinfo(file))
}

/// Returns the ID in the fdinfo of this file. Allocates nothing.
fn from_fdinfo(file: impl AsFd) -> Option<u64> {
    let number = u32::try_from(file.as_fd().as_raw_fd()).ok()?;
    let path = ProcPath::within("/proc/self/fdinfo/", number);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let info = openat(CWD, path.as_c_str(), flags, Mode::empty()).ok()?;
    let mut text = [0; 256];
    let len = rustix::io::read(&info, &mut text[..]).ok()?;
    FdInfo::parse(&text[..len]).mount
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::sys::procfs::WITHOUT_MNT_ID;
    use std::sync::atomic::Ordering;

    #[test]
    fn statx_and_fdinfo_give_the_same_mount() {
        for path in [c"/", c"/proc", c"/dev"] {
            let statx = of_name(CWD, path);
            WITHOUT_MNT_ID.store(true, Ordering::Relaxed);
            let fdinfo = of_name(CWD, path);
            WITHOUT_MNT_ID.store(false, Ordering::Relaxed);
            assert!(statx.is_ok_and(|mount| mount.is_some()));
            assert_eq!(statx, fdinfo, "{path:?}");
        }
    }
}
