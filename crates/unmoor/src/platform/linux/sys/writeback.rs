//! Number of bytes in the cache that are still to be written to the drive.
//!
//! The kernel counts dirty pages for each backing device, in `bdi/MAJ:MIN/stats` of debugfs (root, and
//! only where debugfs is mounted). `/proc/meminfo` counts them for the whole machine: an upper bound,
//! good enough to see that bytes still move.

use crate::platform::linux::sys::pseudo_file::{read_path, read_proc};

/// Returns the bytes in the cache for this disk, if the kernel counts them.
///
/// They are being written, or not yet. Partitions have no count of their own.
pub fn unwritten(disk: u64) -> Option<u64> {
    let path = format!("/sys/kernel/debug/bdi/{}:{}/stats", disk >> 32, disk & 0xffff_ffff);
    sum(&read_path(path).ok()?, &["BdiWriteback:", "BdiReclaimable:"])
}

/// Returns the bytes in the cache of the whole machine.
pub fn unwritten_anywhere() -> Option<u64> {
    sum(&read_proc("/proc/meminfo").ok()?, &["Dirty:", "Writeback:"])
}

/// Adds up the lines of these names, which are in kB.
pub fn sum(text: &[u8], names: &[&str]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut total = None;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next().is_some_and(|name| names.contains(&name)) {
            let kilobytes: u64 = words.next()?.parse().ok()?;
            total = Some(total.unwrap_or(0u64).saturating_add(kilobytes.saturating_mul(1024)));
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dirty_pages_and_those_under_way_are_added() {
        let stats = b"BdiWriteback:              128 kB\nBdiReclaimable:            512 kB\nBdiDirtyThresh: 9 kB\n";
        assert_eq!(sum(stats, &["BdiWriteback:", "BdiReclaimable:"]), Some(640 * 1024));
        assert_eq!(sum(b"nonsense", &["Dirty:"]), None);
        assert_eq!(sum(b"Dirty: much kB", &["Dirty:"]), None);
    }
}
