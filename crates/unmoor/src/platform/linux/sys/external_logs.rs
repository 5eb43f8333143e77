//! Mounted file systems whose log or journal is on another device: xfs (`logdev`, `rtdev`), ext4.
//!
//! xfs shows these devices in its mount options (Documentation/admin-guide/xfs.rst). ext4 shows the thread of its
//! journal (`/sys/fs/ext4/DEVICE/journal_task`), which bears the name of the device: `jbd2/sdb1`, and `jbd2/sdb1-8` for a
//! journal in the file system itself.

use crate::platform::linux::sys::mountinfo::{MountInfo, unescape};
use crate::platform::linux::sys::pseudo_file::{read_path, read_proc};
use std::path::{Path, PathBuf};

/// Returns the other devices that this mount needs.
pub(crate) fn of_mount(mount: &MountInfo) -> Vec<PathBuf> {
    match &*mount.file_system {
        "xfs" => in_options(&mount.super_options),
        "ext3" | "ext4" => journal_of(mount.device).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Returns the devices in the options of an xfs.
pub(crate) fn in_options(options: &[u8]) -> Vec<PathBuf> {
    let device = |option: &[u8]| {
        let path = option.strip_prefix(b"logdev=").or_else(|| option.strip_prefix(b"rtdev="))?;
        Some(PathBuf::from(unescape(path)))
    };
    options.split(|b| *b == b',').filter_map(device).collect()
}

fn journal_of(device: u64) -> Option<PathBuf> {
    let link = format!("/sys/dev/block/{}:{}", device >> 32, device & 0xffff_ffff);
    let target = std::fs::read_link(link).ok()?;
    let name = target.file_name()?;
    let task =
        read_path(Path::new("/sys/fs/ext4").join(name).join("journal_task").as_path()).ok()?;
    let pid: u32 = std::str::from_utf8(&task).ok()?.trim().parse().ok()?;
    let journal = journal_device(&read_proc(format!("/proc/{pid}/comm")).ok()?)?;
    Some(Path::new("/dev").join(journal))
}

/// Returns the name of the device in the name of a journal's thread; `None` for a journal in the file system.
pub(crate) fn journal_device(thread: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(thread).ok()?.trim_end().strip_prefix("jbd2/")?;
    let is_inode = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_inside = name.rsplit_once('-').is_some_and(|(_, inode)| is_inode(inode));
    (!is_inside && !name.is_empty()).then(|| name.replace('!', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn devices_are_read_from_options_and_names() {
        let options = br"rw,attr2,logdev=/dev/a\040b,rtdev=/dev/sdc,noquota";
        assert_eq!(in_options(options), [PathBuf::from("/dev/a b"), PathBuf::from("/dev/sdc")]);
        assert_eq!(journal_device(b"jbd2/sdb1\n").as_deref(), Some("sdb1"));
        assert_eq!(journal_device(b"jbd2/sdb1-8\n"), None);
        assert_eq!(journal_device(b"jbd2/dm-0-8\n"), None);
        assert_eq!(journal_device(b"jbd2/cciss!c0d0p1\n").as_deref(), Some("cciss/c0d0p1"));
    }

    proptest! {
        #[test]
        fn no_input_panics(text: Vec<u8>) {
            in_options(&text);
            journal_device(&text);
        }
    }
}
