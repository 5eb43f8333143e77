//! `/proc/PID/fdinfo/N` (proc(5)): how a file was opened, without touching the file.

use crate::platform::linux::sys::device_number::number;
use crate::platform::linux::sys::mountinfo::unescape;
use crate::platform::linux::sys::procfs::parse;
use std::path::PathBuf;

/// Attributes of an open file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FdInfo {
    flags: u32,
    /// The mount it was opened through.
    pub mount: Option<u64>,
}

impl FdInfo {
    /// Reads the file.
    pub fn parse(text: &[u8]) -> FdInfo {
        let mut info = FdInfo::default();
        for line in text.split(|b| *b == b'\n') {
            if let Some(flags) = line.strip_prefix(b"flags:") {
                let flags = std::str::from_utf8(flags.trim_ascii()).unwrap_or_default();
                info.flags = u32::from_str_radix(flags, 8).unwrap_or(0);
            } else if let Some(mount) = line.strip_prefix(b"mnt_id:") {
                info.mount = parse(mount.trim_ascii());
                break; // What follows is of particular kinds of file.
            }
        }
        info
    }

    /// Returns true if the file was opened for writing.
    pub(crate) fn writing(&self) -> bool {
        let access = self.flags & libc::O_ACCMODE as u32;
        access == libc::O_WRONLY as u32 || access == libc::O_RDWR as u32
    }

    /// Returns true if the file is closed on exec: then this program has opened it by itself.
    pub(crate) fn is_own(&self) -> bool {
        self.flags & libc::O_CLOEXEC as u32 != 0
    }
}

/// Returns the paths of the files that are registered with an io_uring instance (`io_uring_show_fdinfo`).
pub(crate) fn registered_files(fdinfo: &[u8]) -> Vec<PathBuf> {
    let mut lines = fdinfo.split(|b| *b == b'\n');
    let count = lines.find_map(|line| line.strip_prefix(b"UserFiles:"));
    let Some(count) = count.and_then(|count| parse::<usize>(count.trim_ascii())) else {
        return Vec::new();
    };
    let path = |line: &[u8]| {
        let start = line.iter().position(|b| *b == b':')? + 1;
        let path = line[start..].trim_ascii_start();
        path.starts_with(b"/").then(|| PathBuf::from(unescape(path)))
    };
    lines.take(count).filter_map(path).collect()
}

/// Mark of a fanotify(7) listener that is asked before a file is opened or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PermissionMark {
    /// Files opened through the mount with this ID.
    Mount(u64),
    /// Files of the file system with this device number, or one of them.
    FileSystem(u64),
}

/// `FAN_OPEN_PERM`, `FAN_ACCESS_PERM`, `FAN_OPEN_EXEC_PERM` (linux/fanotify.h).
const PERMISSION_EVENTS: u64 = 0x7_0000;

/// Returns the marks of a fanotify listener that ask for permission (proc_pid_fdinfo(5)). All numbers are hexadecimal.
pub(crate) fn permission_marks(fdinfo: &[u8]) -> Vec<PermissionMark> {
    let mark = |line: &[u8]| {
        let line = std::str::from_utf8(line.strip_prefix(b"fanotify ")?).ok()?;
        let value = |name: &str| {
            let word = line.split(' ').find_map(|word| word.strip_prefix(name))?;
            u64::from_str_radix(word, 16).ok()
        };
        (value("mask:")? & PERMISSION_EVENTS != 0).then_some(())?;
        if let Some(id) = value("mnt_id:") {
            return Some(PermissionMark::Mount(id));
        }
        // Twelve bits and twenty, as the kernel has it inside (linux/kdev_t.h).
        let device = u32::try_from(value("sdev:")?).ok()?;
        Some(PermissionMark::FileSystem(number(device >> 20, device & 0xf_ffff)))
    };
    fdinfo.split(|b| *b == b'\n').filter_map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn marks_that_ask_for_permission_are_read() {
        let info = b"pos:\t0\nflags:\t02\nfanotify flags:4 event-flags:0\n\
            fanotify mnt_id:2a mflags:0 mask:40030000 ignored_mask:0\n\
            fanotify sdev:800011 mflags:0 mask:10000 ignored_mask:0\n\
            fanotify ino:4f969 sdev:800013 mflags:0 mask:3b ignored_mask:40000000 fhandle-bytes:8\n";
        let (mount, device) = (PermissionMark::Mount(42), PermissionMark::FileSystem(8 << 32 | 17));
        assert_eq!(permission_marks(info), [mount, device]);
    }

    proptest! {
        #[test]
        fn no_fanotify_text_panics(text: Vec<u8>) {
            permission_marks(&[b"fanotify ", &*text].concat());
        }
    }

    #[test]
    fn writing_is_told_from_reading() {
        let dir = tempfile::tempdir().unwrap();
        let info = |file: &std::fs::File| {
            let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
            FdInfo::parse(&std::fs::read(path).unwrap())
        };
        let writer = std::fs::File::create(dir.path().join("a")).unwrap();
        let reader = std::fs::File::open(dir.path().join("a")).unwrap();
        assert!(info(&writer).writing() && info(&writer).is_own());
        assert!(!info(&reader).writing());
        assert_eq!(info(&reader).mount, info(&writer).mount);
        assert!(info(&reader).mount.is_some());
    }

    #[test]
    fn registered_files_are_read_until_the_next_list() {
        let text = b"UserFiles:\t3\n    0: /m/a\\040b\n    1: <none>\n    2: /c\nUserBufs:\t1\n    0: /0x7f/16\n";
        assert_eq!(registered_files(text), [PathBuf::from("/m/a b"), PathBuf::from("/c")]);
        assert!(registered_files(b"pos:\t0\n").is_empty());
    }

    proptest! {
        #[test]
        fn fields_are_read_whatever_stands_around_them(
            flags in 0u32..0o100000000, mount: u64, pos: u64, more in "[a-z]{0,8}:[ -~]{0,20}",
        ) {
            let text = format!("pos:\t{pos}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\n{more}\n");
            let info = FdInfo::parse(text.as_bytes());
            prop_assert_eq!(info, FdInfo { flags, mount: Some(mount) });
        }

        #[test]
        fn no_bytes_at_all_make_it_fail(text: Vec<u8>) {
            FdInfo::parse(&text);
            registered_files(&text);
        }
    }
}
