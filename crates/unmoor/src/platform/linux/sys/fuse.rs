//! `/sys/fs/fuse/connections/N/abort` (Documentation/filesystems/fuse.rst): cuts a FUSE file system off
//! from the program that serves it.

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, write};

/// Returns true if the file system is served through FUSE: `fuse`, `fuse.sshfs`, `fuseblk`.
pub fn is_fuse(file_system: &str) -> bool {
    file_system.starts_with("fuse")
}

/// Returns true if this process has a connection to FUSE open, as every server has.
pub fn is_server(pid: u32) -> bool {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd"));
    links
        .into_iter()
        .flatten()
        .flatten()
        .any(|link| std::fs::read_link(link.path()).is_ok_and(|to| to.as_os_str() == "/dev/fuse"))
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
    format!("/sys/fs/fuse/connections/{number}/abort")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_named_as_the_kernel_counts_devices() {
        assert!(path(52).ends_with("/52/abort"));
        assert!(path(8 << 32 | 17).ends_with("/8388625/abort"));
    }
}
