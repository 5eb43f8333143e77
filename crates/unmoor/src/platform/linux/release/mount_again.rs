//! `mount(2)`: mounts again, at the same places, what a release had unmounted before it was refused.
//!
//! mountinfo has all that is needed (proc(5)): the source, the type, the options of the mount and those of the file
//! system. The propagation is that of the parent mount, as at any mount.

use crate::deadline::Deadline;
use crate::model::error::Result;
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::sys::fuse;
use crate::platform::linux::sys::mount_flags::MountOptions;
use crate::platform::linux::sys::mountinfo::{MountInfo, read_self};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Mounts these again, the last that was unmounted first.
///
/// Each accepted attempt has a mount point as its detail. A warning names each mount that is not back.
///
/// # Errors
/// `TimedOut`.
pub fn mount_again(
    unmounted: &[MountInfo],
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let mut done = StepOutcome::default();
    // A mount that is up gives its file system to the others, whatever was written to it since.
    let mut up = read_self().unwrap_or_default();
    for line in unmounted.iter().rev() {
        let answer = match NewMount::like(line, &up) {
            Some(new) => helper.run(&new.request(), deadline)?,
            None => Err(Errno::OPNOTSUPP),
        };
        match answer {
            Ok(()) => {
                let path = line.path.display().to_string();
                done.attempts.push(Attempt::accepted("mount").with_detail(path));
                up.push(line.clone());
            }
            Err(errno) => done.warnings.push(not_back(line, errno)),
        }
    }
    Ok(done)
}

/// A mount to be made.
#[derive(Debug, PartialEq, Eq)]
struct NewMount {
    /// Mount point, source, type and options, each with a NUL at its end. A bind mount has no type.
    text: Vec<u8>,
    /// Device number of the source, or of its file system; 0 if that is anonymous.
    device: u64,
    flags: MountFlags,
    /// Flags that are set once it is mounted.
    remount: Option<MountFlags>,
}

impl NewMount {
    /// Returns a mount like this one, a bind mount if its file system is mounted somewhere.
    ///
    /// `None` for a FUSE file system, whose server has ended, and for a directory of a file system that is not mounted.
    fn like(line: &MountInfo, up: &[MountInfo]) -> Option<NewMount> {
        let MountOptions { mount, file_system, data } = MountOptions::of(line)?;
        let device = if line.device >> 32 == 0 { 0 } else { line.device };
        if let Some(source) = up.iter().find_map(|other| path_through(other, line)) {
            let text =
                joined([line.path.as_os_str(), source.as_os_str(), "".as_ref(), "".as_ref()]);
            let (flags, remount) = (MountFlags::BIND, Some(mount));
            return Some(NewMount { text, device, flags, remount });
        }
        let own_root = matches!(&*line.file_system, "btrfs" | "bcachefs");
        if fuse::is_fuse(&line.file_system) || (line.root != "/" && !own_root) {
            return None;
        }
        let text = joined([
            line.path.as_os_str(),
            &line.source,
            line.file_system.as_ref(),
            data.as_os_str(),
        ]);
        // A read-only mount of a writable file system.
        let remount =
            mount.contains(MountFlags::RDONLY) && !file_system.contains(MountFlags::RDONLY);
        let flags = (mount - MountFlags::RDONLY) | file_system;
        Some(NewMount { text, device, flags, remount: remount.then_some(mount) })
    }

    fn request(&self) -> Request<'_> {
        Request::Mount {
            text: &self.text,
            device: self.device,
            flags: self.flags,
            remount: self.remount,
        }
    }
}

/// Returns the path of the mount's root through another mount of its file system.
fn path_through(other: &MountInfo, line: &MountInfo) -> Option<PathBuf> {
    let below = Path::new(&line.root).strip_prefix(&other.root).ok()?;
    let path = other.path.join(below);
    (other.device == line.device).then(|| path.components().collect())
}

fn joined(texts: [&OsStr; 4]) -> Vec<u8> {
    texts.into_iter().flat_map(|text| text.as_bytes().iter().copied().chain([0])).collect()
}

fn not_back(line: &MountInfo, errno: Errno) -> String {
    let why = match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => {
            format!("{} is not there any more", line.source.display())
        }
        Errno::OPNOTSUPP => "what served it has ended".into(),
        Errno::BUSY => "the device or the mount point is in use by something else".into(),
        errno => errno.to_string(),
    };
    format!("{} was unmounted, and could not be mounted again: {why}", line.path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::sys::mountinfo::parse;

    const UP: &str = "30 20 8:17 / /mnt/stick rw,relatime - ext4 /dev/sdb1 rw\n";

    fn like(line: &str, up: &str) -> Option<NewMount> {
        NewMount::like(&parse(line.as_bytes())[0], &parse(up.as_bytes()))
    }

    #[test]
    fn a_file_system_is_mounted_from_its_device_with_its_options() {
        let line = "31 20 8:18 / /mnt/fat ro,nosuid,relatime - vfat /dev/sdb2 rw,uid=7\n";
        let new = like(line, UP).unwrap();
        assert_eq!(new.text, b"/mnt/fat\0/dev/sdb2\0vfat\0uid=7\0");
        let nosuid = MountFlags::NOSUID | MountFlags::RELATIME;
        assert_eq!((new.device, new.flags), (8 << 32 | 18, nosuid));
        assert_eq!(new.remount, Some(nosuid | MountFlags::RDONLY));
    }

    #[test]
    fn a_second_mount_of_a_file_system_is_a_bind_mount() {
        let line = "31 20 8:17 /photos /srv/photos ro,relatime - ext4 /dev/sdb1 rw\n";
        let new = like(line, UP).unwrap();
        assert_eq!(new.text, b"/srv/photos\0/mnt/stick/photos\0\0\0");
        assert_eq!(new.flags, MountFlags::BIND);
        assert!(new.remount.unwrap().contains(MountFlags::RDONLY));
        assert_eq!(like(line, ""), None, "its root alone cannot be mounted");
    }

    #[test]
    fn a_subvolume_is_mounted_by_its_option_and_fuse_not_at_all() {
        let line = "31 20 0:41 /@ /mnt/b rw - btrfs /dev/sdb1 rw,subvolid=256,subvol=/@\n";
        let new = like(line, "").unwrap();
        assert_eq!(new.text, b"/mnt/b\0/dev/sdb1\0btrfs\0subvolid=256,subvol=/@\0");
        assert_eq!(new.device, 0);
        assert_eq!(like("31 20 8:17 / /n rw - fuseblk /dev/sdb1 rw,user_id=0\n", ""), None);
    }
}
