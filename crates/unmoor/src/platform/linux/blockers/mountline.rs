//! One line of mountinfo (proc(5)), borrowed: the survey reads many of them and keeps few.

use crate::platform::linux::procfs::{number, parse};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount, as the kernel writes it. Text is still escaped: see [`plain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MountLine<'t> {
    /// Unique among all mounts of all namespaces while it is mounted.
    pub(super) id: u64,
    /// What it is mounted on.
    pub(super) parent: u64,
    /// The device number of its file system.
    pub(super) device: u64,
    /// Which directory of the file system is attached.
    pub(super) root: &'t [u8],
    /// Where, seen from the root of the process whose file this is.
    pub(super) point: &'t [u8],
    /// Its own options.
    pub(super) options: &'t [u8],
    /// The peer group it belongs to; 0 for none.
    pub(super) shared: u32,
    /// The peer group it takes events from; 0 for none.
    pub(super) master: u32,
    /// The type of the file system.
    pub(super) file_system: &'t [u8],
    /// What is mounted: a device, or whatever the file system calls it.
    pub(super) source: &'t [u8],
    /// Options of the file system.
    pub(super) super_options: &'t [u8],
}

impl<'t> MountLine<'t> {
    /// Reads one line; `None` for what is no mountinfo line.
    pub(super) fn parse(line: &'t [u8]) -> Option<MountLine<'t>> {
        let mut words = line.split(|b| *b == b' ');
        let id = parse(words.next()?)?;
        let parent = parse(words.next()?)?;
        let mut device = words.next()?.split(|b| *b == b':');
        let device = number(parse(device.next()?)?, parse(device.next()?)?);
        let (root, point, options) = (words.next()?, words.next()?, words.next()?);
        let (mut shared, mut master) = (0, 0);
        loop {
            match words.next()? {
                b"-" => break,
                tag => {
                    if let Some(group) = tag.strip_prefix(b"shared:") {
                        shared = parse(group)?;
                    } else if let Some(group) = tag.strip_prefix(b"master:") {
                        master = parse(group)?;
                    }
                }
            }
        }
        Some(MountLine {
            id,
            parent,
            device,
            root,
            point,
            options,
            shared,
            master,
            file_system: words.next()?,
            source: words.next()?,
            super_options: words.next().unwrap_or_default(),
        })
    }

    /// Every mount in the content of a mountinfo file.
    pub(super) fn all(text: &'t [u8]) -> impl Iterator<Item = MountLine<'t>> {
        text.split(|b| *b == b'\n').filter_map(MountLine::parse)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(plain(self.point)))
    }

    /// Is it mounted read-only.
    pub(super) fn is_read_only(&self) -> bool {
        self.options.split(|b| *b == b',').any(|o| o == b"ro")
    }
}

/// Text with its escapes undone: the kernel writes space, tab, newline, backslash (and in options also
/// comma and others) as a backslash and three octal digits.
pub(super) fn plain(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            _ => {
                plain.push(*first);
                tail
            }
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_the_manual_page_is_read() {
        let text = br"36 35 98:0 /mnt1 /mnt\0402 ro,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue";
        let line = MountLine::parse(text).unwrap();
        assert_eq!((line.id, line.parent, line.device), (36, 35, 98 << 32));
        assert_eq!(line.path(), PathBuf::from("/mnt 2"));
        assert_eq!((line.master, line.shared), (1, 7));
        assert_eq!((line.file_system, line.source), (&b"ext3"[..], &b"/dev/root"[..]));
        assert!(line.is_read_only());
    }

    #[test]
    fn lines_of_this_system_are_all_read() {
        let text = std::fs::read("/proc/self/mountinfo").unwrap();
        let lines = text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
        assert_eq!(MountLine::all(&text).count(), lines);
    }

    fn escaped(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for b in text {
            match b {
                b' ' | b'\t' | b'\n' | b'\\' => out.extend(format!("\\{b:03o}").bytes()),
                b => out.push(*b),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn any_name_survives_the_kernels_escapes(
            name in proptest::collection::vec(1u8.., 1..40), id: u32, parent: u32, major: u32,
        ) {
            let mut text = format!("{id} {parent} {major}:5 / ").into_bytes();
            text.extend(escaped(&name));
            text.extend(b" rw shared:3 - ext4 ");
            text.extend(escaped(&name));
            text.extend(b" rw\n");
            let lines: Vec<_> = MountLine::all(&text).collect();
            prop_assert_eq!(lines.len(), 1);
            prop_assert_eq!(lines[0].id, u64::from(id));
            prop_assert_eq!(lines[0].device, number(major, 5));
            prop_assert_eq!(plain(lines[0].point), name.clone());
            prop_assert_eq!(plain(lines[0].source), name);
        }

        #[test]
        fn no_bytes_at_all_make_it_fail(text: Vec<u8>) {
            for line in MountLine::all(&text) {
                plain(line.point);
            }
        }
    }
}
