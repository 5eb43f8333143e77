//! `/proc/swaps` (proc(5)): swap in use.

use crate::platform::linux::kernel_file::read_proc;
use crate::platform::linux::mountinfo::unescape;
use std::path::PathBuf;

/// The files and partitions that are swapped to.
pub fn active() -> Vec<PathBuf> {
    read_proc("/proc/swaps").map(|text| parse(&text)).unwrap_or_default()
}

fn parse(text: &[u8]) -> Vec<PathBuf> {
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
