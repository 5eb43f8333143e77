//! `/proc/swaps` (proc(5)) and `swapoff(2)`: swap in use, and taking it out of use.

use crate::platform::linux::sys::blkdev::last_errno;
use crate::platform::linux::sys::mountinfo::unescape;
use crate::platform::linux::sys::pseudo_file::read_proc;
use rustix::io::Errno;
use std::ffi::CStr;
use std::path::PathBuf;

/// The files and partitions that are swapped to.
pub fn active() -> Vec<PathBuf> {
    read_proc("/proc/swaps").map(|text| parse(&text)).unwrap_or_default()
}

/// `swapoff(2)`: reads everything back that is in it. `ENOMEM` when that does not fit into memory; then
/// nothing has changed. A signal ends it early (`EINTR`), with the swap still in use.
pub fn swapoff(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads a string that ends in 0 from the address, which `path` is.
    match unsafe { libc::swapoff(path.as_ptr()) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

pub fn parse(text: &[u8]) -> Vec<PathBuf> {
    text.split(|&b| b == b'\n')
        .skip(1)
        .filter_map(|line| line.split(|b| b.is_ascii_whitespace()).next())
        .filter(|name| name.starts_with(b"/"))
        .map(|name| PathBuf::from(unescape(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heading_is_no_file_and_spaces_are_escaped() {
        let text = b"Filename\t\t\t\tType\t\tSize\n/dev/sdb2    partition\t65532\t0\t-2\n/mnt/my\\040swap file 4 0 -3\n";
        assert_eq!(parse(text), [PathBuf::from("/dev/sdb2"), PathBuf::from("/mnt/my swap")]);
        assert_eq!(parse(b""), Vec::<PathBuf>::new());
    }
}
