//! Flags of `mount(2)` and the options of a file system, from the two lists of options in mountinfo (proc(5)).

use crate::platform::linux::sys::mountinfo::{MountInfo, unescape};
use rustix::mount::MountFlags;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Options of a mount as `mount(2)` takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOptions {
    /// Flags of the mount itself: `ro`, `nosuid`, `noatime`, ….
    pub mount: MountFlags,
    /// Flags of the file system, which its mounts share: `ro`, `sync`, ….
    pub file_system: MountFlags,
    /// Options for the file system's own code, as one text.
    pub data: OsString,
}

impl MountOptions {
    /// Returns the options of this mount. `None` if a value holds a comma or a backslash, which no text can give back.
    pub fn of(line: &MountInfo) -> Option<MountOptions> {
        let mut mount: MountFlags = line.options.split(',').filter_map(mount_flag).collect();
        let atime = MountFlags::NOATIME | MountFlags::RELATIME;
        if !mount.intersects(atime) {
            mount |= MountFlags::STRICTATIME;
        }
        let mut file_system = MountFlags::empty();
        let mut data: Vec<u8> = Vec::new();
        for option in line.super_options.split(|byte| *byte == b',') {
            if let Some(flag) = file_system_flag(option) {
                file_system |= flag;
                continue;
            }
            let option = unescape(option);
            if option.as_bytes().iter().any(|byte| matches!(byte, b',' | b'\\')) {
                return None;
            }
            if !data.is_empty() {
                data.push(b',');
            }
            data.extend(option.as_bytes());
        }
        Some(MountOptions { mount, file_system, data: OsString::from_vec(data) })
    }
}

/// Returns the flag of an option of a mount (`show_vfsmnt` of the kernel's proc_namespace.c).
fn mount_flag(option: &str) -> Option<MountFlags> {
    Some(match option {
        "ro" => MountFlags::RDONLY,
        "nosuid" => MountFlags::NOSUID,
        "nodev" => MountFlags::NODEV,
        "noexec" => MountFlags::NOEXEC,
        "noatime" => MountFlags::NOATIME,
        "nodiratime" => MountFlags::NODIRATIME,
        "relatime" => MountFlags::RELATIME,
        "nosymfollow" => MountFlags::NOSYMFOLLOW,
        _ => return None,
    })
}

/// Returns the flag of an option that every file system has (`show_sb_opts`), empty for one that is no flag and is not
/// passed on.
fn file_system_flag(option: &[u8]) -> Option<MountFlags> {
    Some(match option {
        b"ro" => MountFlags::RDONLY,
        b"sync" => MountFlags::SYNCHRONOUS,
        b"dirsync" => MountFlags::DIRSYNC,
        b"mand" => MountFlags::PERMIT_MANDATORY_FILE_LOCKING,
        b"lazytime" => MountFlags::LAZYTIME,
        b"" | b"rw" | b"seclabel" => MountFlags::empty(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::sys::mountinfo::parse;

    fn options(mount: &str, file_system: &str) -> Option<MountOptions> {
        let line = format!("30 20 8:17 / /mnt {mount} - vfat /dev/sdb1 {file_system}\n");
        MountOptions::of(&parse(line.as_bytes())[0])
    }

    #[test]
    fn flags_of_the_mount_and_of_the_file_system_are_apart() {
        let found = options("ro,nosuid,nodev,relatime", "rw,sync,uid=1000,fmask=0022").unwrap();
        let mount =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RELATIME;
        assert_eq!((found.mount, found.file_system), (mount, MountFlags::SYNCHRONOUS));
        assert_eq!(found.data, "uid=1000,fmask=0022");
    }

    #[test]
    fn access_times_are_strict_where_nothing_says_otherwise() {
        assert_eq!(options("rw", "rw,seclabel").unwrap().mount, MountFlags::STRICTATIME);
        assert_eq!(options("rw,noatime", "ro").unwrap().mount, MountFlags::NOATIME);
        assert_eq!(options("rw", "rw").unwrap().data, "");
    }

    #[test]
    fn a_value_with_a_space_is_kept_and_one_with_a_comma_refused() {
        assert_eq!(options("rw", "rw,subvol=/my\\040data").unwrap().data, "subvol=/my data");
        assert_eq!(options("rw", "rw,lowerdir=/a\\054b"), None);
        assert_eq!(options("rw", "rw,lowerdir=/a\\134:b"), None);
    }
}
