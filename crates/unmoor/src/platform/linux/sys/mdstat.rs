//! `/proc/mdstat` (md(4)): arrays whose write-intent bitmap is a file.

use crate::platform::linux::sys::mountinfo::unescape;
use crate::platform::linux::sys::pseudo_file::read_proc;
use std::path::PathBuf;

/// Array with a bitmap in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BitmapFile {
    /// Name of the array: `md0`.
    pub(crate) array: String,
    /// Path of the file.
    pub(crate) path: PathBuf,
}

/// Lists the bitmaps that the kernel has open as files.
pub(crate) fn bitmap_files() -> Vec<BitmapFile> {
    parse(&read_proc("/proc/mdstat").unwrap_or_default())
}

/// Parses the file. An array begins with `md0 : active`, its bitmap with `bitmap:`; white space in a path is octal.
pub(crate) fn parse(text: &[u8]) -> Vec<BitmapFile> {
    let (mut array, mut found) = (None, Vec::new());
    for line in text.split(|b| *b == b'\n') {
        let is_indented = line.first().is_none_or(u8::is_ascii_whitespace);
        if !is_indented {
            let name = line.split(|b| *b == b' ').next().unwrap_or_default();
            array = std::str::from_utf8(name).ok().map(str::to_owned);
        }
        let Some(array) = array.as_ref().filter(|_| line.trim_ascii().starts_with(b"bitmap:"))
        else {
            continue;
        };
        if let Some(at) = line.windows(FILE.len()).position(|part| part == FILE) {
            let path = PathBuf::from(unescape(&line[at + FILE.len()..]));
            found.push(BitmapFile { array: array.clone(), path });
        }
    }
    found
}

/// Words before the path (`md_bitmap_status`, drivers/md/md-bitmap.c).
const FILE: &[u8] = b", file: ";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_are_read_and_bitmaps_within_the_array_are_not() {
        let text = b"Personalities : [raid1] \n\
            md77 : active raid1 loop1[1] loop0[0]\n      8128 blocks [2/2] [UU]\n      \
            bitmap: 0/1 pages [0KB], 64KB chunk, file: /mnt/ext/a\\040b\n\n\
            md1 : active raid1 sdb1[0]\n      8 blocks super 1.2 [1/1] [U]\n      \
            bitmap: 1/1 pages [4KB], 65536KB chunk\n\nunused devices: <none>\n";
        let found = BitmapFile { array: "md77".into(), path: "/mnt/ext/a b".into() };
        assert_eq!(parse(text), [found]);
    }

    proptest! {
        #[test]
        fn no_input_panics(text: Vec<u8>) {
            parse(&text);
        }
    }
}
