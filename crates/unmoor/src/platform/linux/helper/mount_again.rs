//! `mount(2)` of what was unmounted a moment ago, from within its mount point.

use crate::platform::linux::helper::mount_calls::MountPoint;
use crate::platform::linux::sys::device_number::from_dev;
use crate::platform::linux::sys::mount_id;
use crate::platform::linux::sys::procfs::ProcPath;
use crate::platform::linux::sys::without_links::open_parent;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_remount};
use rustix::process::{chdir, fchdir};
use std::ffi::CStr;

/// Flags for a mount point, and for the source of a bind mount.
const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Mounts: see [`Request::Mount`](crate::platform::linux::helper::request::Request::Mount). Allocates nothing.
///
/// # Errors
/// `EBUSY` if something is mounted there; `ENODEV` if the source is another device by now; those of mount(2).
pub fn mount_again(
    text: &[u8],
    device: u64,
    flags: MountFlags,
    remount: Option<MountFlags>,
) -> Result<(), Errno> {
    let mut texts = text.split_inclusive(|byte| *byte == 0).map(CStr::from_bytes_with_nul);
    let mut next = || texts.next().and_then(Result::ok).ok_or(Errno::INVAL);
    let (path, source, kind, data) = (next()?, next()?, next()?, next()?);
    let place = MountPoint::open(path)?;
    let point = openat(&place.directory, place.name, PLACE | OFlags::DIRECTORY, Mode::empty())?;
    if mount_id::of_file(&point) != mount_id::of_file(&place.directory) {
        return Err(Errno::BUSY);
    }
    fchdir(&point)?;
    let mounted = match kind.is_empty() {
        true => bind(source, device),
        false => match is_device(source, device) {
            true => mount(source, c".", kind, flags, data),
            false => Err(Errno::NODEV),
        },
    };
    let mounted = mounted.and_then(|()| match remount {
        Some(flags) => {
            fchdir(&place.directory)?;
            mount_remount(place.name, MountFlags::BIND | flags, c"")
        }
        None => Ok(()),
    });
    // The directory would be in use.
    let _ = chdir(c"/");
    mounted
}

/// Binds a directory of the file system on this device to the working directory. No link leads to it.
fn bind(source: &CStr, device: u64) -> Result<(), Errno> {
    let (directory, name) = open_parent(source)?;
    let source: OwnedFd = openat(directory, name, PLACE, Mode::empty())?;
    if device != 0 && from_dev(fstat(&source)?.st_dev) != device {
        return Err(Errno::NODEV);
    }
    let link = ProcPath::within("/proc/self/fd/", source.as_raw_fd().unsigned_abs());
    mount(link.as_c_str(), c".", c"", MountFlags::BIND, None)
}

/// Returns true if the path is the node of this device. 0 stands for any.
fn is_device(path: &CStr, device: u64) -> bool {
    let number = || {
        let node = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        Some(from_dev(fstat(&node).ok()?.st_rdev))
    };
    device == 0 || number() == Some(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::helper::mount_calls::test_mounts::Place;

    #[test]
    #[ignore = "needs root"]
    fn a_mount_comes_back_with_its_flags() {
        Place::apart(|place| {
            std::fs::create_dir(place.at("user/new")).unwrap_or_default();
            std::fs::create_dir_all(place.at("free")).unwrap();
            let flags = MountFlags::NOSUID | MountFlags::NOATIME;
            let text = place.text(["free", "stick", "tmpfs", "size=64k"]);
            let read_only = Some(flags | MountFlags::RDONLY);
            assert_eq!(mount_again(&text, 0, flags, read_only), Ok(()));
            let line = place.lines().into_iter().find(|l| l.path == place.at("free")).unwrap();
            assert_eq!(line.options, "ro,nosuid,noatime");
            assert!(String::from_utf8(line.super_options).unwrap().starts_with("rw,size=64k"));
        });
    }

    #[test]
    #[ignore = "needs root"]
    fn a_mount_point_that_is_taken_by_then_is_left_alone() {
        Place::apart(|place| {
            let text = place.text(["user/stick", "again", "tmpfs", ""]);
            let before = place.mounted();
            assert_eq!(mount_again(&text, 0, MountFlags::empty(), None), Err(Errno::BUSY));
            assert_eq!(place.mounted(), before);
        });
    }

    #[test]
    #[ignore = "needs root"]
    fn nothing_is_mounted_through_a_link_or_from_another_device() {
        Place::apart(|place| {
            std::fs::create_dir_all(place.at("free/stick")).unwrap();
            std::os::unix::fs::symlink(place.at("free"), place.at("link")).unwrap();
            let before = place.mounted();
            let text = place.text(["link/stick", "again", "tmpfs", ""]);
            assert_eq!(mount_again(&text, 0, MountFlags::empty(), None), Err(Errno::NOTDIR));
            let text = place.text(["free/stick", "/dev/null", "ext4", ""]);
            assert_eq!(mount_again(&text, 8 << 32, MountFlags::empty(), None), Err(Errno::NODEV));
            assert_eq!(place.mounted(), before);
        });
    }

    #[test]
    #[ignore = "needs root"]
    fn a_directory_is_bound_if_it_is_on_the_device_and_no_link() {
        Place::apart(|place| {
            std::fs::create_dir_all(place.at("user/stick/photos")).unwrap();
            std::fs::create_dir_all(place.at("free")).unwrap();
            let (other, link) = (place.at("other/stick"), place.at("user/stick/link"));
            std::os::unix::fs::symlink(other, link).unwrap();
            let source = |name: &str| place.at("user/stick").join(name).display().to_string();
            let bind = |source: &str, device| {
                let text = place.text(["free", source, "", ""]);
                mount_again(&text, device, MountFlags::BIND, Some(MountFlags::RDONLY))
            };
            let device = place.lines().iter().find(|line| line.source == "stick").unwrap().device;
            assert!(bind(&source("link"), 0).is_err());
            assert_eq!(bind(&source("photos"), 8 << 32 | 1), Err(Errno::NODEV));
            assert_eq!(bind(&source("photos"), device), Ok(()));
            let line = place.lines().into_iter().find(|l| l.path == place.at("free")).unwrap();
            assert_eq!((line.root.to_str(), line.device), (Some("/photos"), device));
            assert!(line.options.starts_with("ro"));
        });
    }
}
