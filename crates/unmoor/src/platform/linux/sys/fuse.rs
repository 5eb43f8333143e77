//! `/sys/fs/fuse/connections/N/abort` (Documentation/filesystems/fuse.rst): cuts a FUSE file system off
//! from the program that serves it.

use crate::platform::linux::sys::procfs::parse;
use crate::platform::linux::sys::sysfs::SysfsDir;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, write};

/// Returns true if the file system is served through FUSE: `fuse`, `fuse.sshfs`, `fuseblk`.
pub fn is_fuse(file_system: &str) -> bool {
    file_system.starts_with("fuse") && file_system != "fusectl"
}

/// Folder of the control file system, with one folder for each connection.
const CONNECTIONS: &str = "/sys/fs/fuse/connections";

/// Returns the device numbers of all FUSE file systems, in every mount namespace.
///
/// The control file system must be mounted; without it, its folder is empty.
pub fn connections() -> Option<Vec<u64>> {
    let names = SysfsDir::open(CONNECTIONS).and_then(|folder| folder.names()).ok()?;
    Some(names.iter().filter_map(|name| name.parse().ok()).map(device_number).collect())
}

/// Returns the device number of the file system that a descriptor of `/dev/fuse` serves.
///
/// The line is in fdinfo since Linux 6.17.
pub fn connection_of(fdinfo: &[u8]) -> Option<u64> {
    let mut lines = fdinfo.split(|b| *b == b'\n');
    let number = lines.find_map(|line| line.strip_prefix(b"fuse_connection:"))?;
    parse(number.trim_ascii()).map(device_number)
}

/// Converts a number as the kernel holds it (`MKDEV`: twenty bits of minor number).
fn device_number(kernel: u64) -> u64 {
    (kernel >> 20) << 32 | kernel & 0xf_ffff
}

/// Ends the connection of the file system with this device number.
///
/// Every pending call and every later one fails, and the server is asked to end.
///
/// `ENOENT` where the control file system is not mounted.
pub fn abort(device: u64) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path(device), flags, Mode::empty())?;
    write(&file, b"1").map(drop)
}

/// The connection is named for the file system's number as the kernel holds it (`MKDEV`: twenty bits
/// of minor number), not as stat(2) shows it.
fn path(device: u64) -> String {
    let number = (device >> 32) << 20 | device & 0xf_ffff;
    format!("{CONNECTIONS}/{number}/abort")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_named_as_the_kernel_counts_devices() {
        assert!(path(52).ends_with("/52/abort"));
        assert!(path(8 << 32 | 17).ends_with("/8388625/abort"));
        assert_eq!(device_number(8388625), 8 << 32 | 17);
    }

    #[test]
    fn fdinfo_names_the_connection_on_new_kernels() {
        let text = b"pos:\t0\nflags:\t02\nmnt_id:\t25\nino:\t9\nfuse_connection:\t52\n";
        assert_eq!(connection_of(text), Some(52));
        assert_eq!(connection_of(b"pos:\t0\nflags:\t02\n"), None);
    }
}
