//! `/proc/PID/maps` (proc(5)): files that a process has mapped.

use crate::platform::linux::sys::device_number::number;
use crate::platform::linux::sys::procfs::parse;
use crate::platform::linux::sys::pseudo_file::replace;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One line: a piece of a file in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<'t> {
    pub device: u64,
    pub inode: u64,
    /// True for a shared, writable mapping: what is written to memory goes to the file.
    pub writing: bool,
    /// Its addresses, as they stand there.
    range: &'t [u8],
    /// Still escaped: a newline is `\012`.
    path: &'t [u8],
}

impl<'t> Mapping<'t> {
    /// Reads one line; `None` for memory that is no file's.
    pub fn parse(line: &'t [u8]) -> Option<Mapping<'t>> {
        let mut words = line.splitn(5, |b| *b == b' ');
        let (range, access, _offset) = (words.next()?, words.next()?, words.next()?);
        let device = words.next()?;
        // Anonymous memory comes often, and is told by its device alone.
        if device == b"00:00" {
            return None;
        }
        let rest = words.next()?;
        let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let inode: u64 = parse(&rest[..end])?;
        let path = rest[end..].trim_ascii_start();
        let colon = device.iter().position(|b| *b == b':')?;
        let hex = |digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let device = number(hex(&device[..colon])?, hex(&device[colon + 1..])?);
        let writing = access.get(1) == Some(&b'w') && access.get(3) == Some(&b's');
        (inode != 0).then_some(Mapping { device, inode, writing, range, path })
    }

    /// Every file mapping in the content of a maps file.
    pub fn all(text: &'t [u8]) -> impl Iterator<Item = Mapping<'t>> {
        text.split(|b| *b == b'\n').filter_map(Mapping::parse)
    }

    /// The link in proc that leads to the file: named by the addresses without the zeros that `maps` fills
    /// them up with.
    pub(crate) fn link(&self) -> Option<CString> {
        let mut link = b"map_files/".to_vec();
        for (at, address) in self.range.splitn(2, |b| *b == b'-').enumerate() {
            link.extend(if at == 0 { &b""[..] } else { b"-" });
            let zeros = address.iter().take_while(|b| **b == b'0').count();
            link.extend(&address[zeros.min(address.len().saturating_sub(1))..]);
        }
        CString::new(link).ok()
    }

    /// The path, and whether the file is deleted.
    pub fn path(&self) -> (PathBuf, bool) {
        let (path, deleted) = match self.path.strip_suffix(b" (deleted)") {
            Some(path) => (path, true),
            None => (self.path, false),
        };
        let path = replace(path, br"\012", b"\n");
        (PathBuf::from(OsString::from_vec(path)), deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_the_manual_page_are_read() {
        let line = b"00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus-daemon";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.device, mapping.inode, mapping.writing), (8 << 32 | 2, 173521, false));
        assert_eq!(mapping.path(), ("/usr/bin/dbus-daemon".into(), false));
        assert_eq!(mapping.link().as_deref(), Some(c"map_files/400000-452000"));
        let gone = b"7f0-7f1 rw-s 00000000 fd:1a 9      /a b\\012c (deleted)";
        let mapping = Mapping::parse(gone).unwrap();
        assert_eq!((mapping.device, mapping.writing), (0xfd << 32 | 0x1a, true));
        assert_eq!(mapping.path(), ("/a b\nc".into(), true));
        assert_eq!(Mapping::parse(b"00e03000-00e24000 rw-p 00000000 00:00 0   [heap]"), None);
        assert_eq!(Mapping::parse(b"00e03000-00e24000 rw-p 00000000 00:00 0 "), None);
    }

    #[test]
    fn this_program_is_among_its_mappings() {
        let text = std::fs::read("/proc/self/maps").unwrap();
        let exe = std::fs::read_link("/proc/self/exe").unwrap();
        assert!(Mapping::all(&text).any(|m| m.path().0 == exe));
    }

    proptest! {
        #[test]
        fn any_line_the_kernel_may_write_is_read(
            major in 1u32..4096, minor in 0u32..1 << 20, inode in 1u64.., spaces in 1usize..30,
            write: bool, shared: bool, path in "/[a-z )(\\[\\]]{0,20}[a-z]",
        ) {
            let access =
                format!("r{}x{}", if write { 'w' } else { '-' }, if shared { 's' } else { 'p' });
            let gap = " ".repeat(spaces);
            let line = format!("7f00-7fff {access} 0001f000 {major:02x}:{minor:02x} {inode}{gap}{path}");
            let mapping = Mapping::parse(line.as_bytes()).unwrap();
            prop_assert_eq!(mapping.device, number(major, minor));
            prop_assert_eq!(mapping.inode, inode);
            prop_assert_eq!(mapping.writing, write && shared);
            prop_assert_eq!(mapping.path(), (path.into(), false));
        }

        #[test]
        fn no_bytes_at_all_make_it_fail(text: Vec<u8>) {
            for mapping in Mapping::all(&text) {
                mapping.path();
                mapping.link();
            }
        }
    }
}
