//! Overlay layers that were given by relative paths.
//!
//! The kernel shows the relative path and not the directory it started from. Two kinds of directories are tried: those
//! above the mount point (container engines work in the directory of both) and the root of each of the drive's mounts.

use crate::platform::linux::blockers::mounts::remote_fs::may_block;
use crate::platform::linux::blockers::mounts::types::{DeviceIndex, DriveMount, Namespace};
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::procfs::stat_no_sync;
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use std::path::{Path, PathBuf};

/// Returns the device that these layers lie on, and the path of the first layer.
pub(crate) fn find(
    layers: &[&Path],
    overlay: &MountInfo,
    table: &MountTable,
    namespace: Namespace,
    drive_mounts: &[DriveMount],
) -> Option<(DeviceIndex, PathBuf)> {
    let root = match namespace {
        Namespace::Ours => PathBuf::from("/"),
        Namespace::Member(member) => PathBuf::from(format!("/proc/{}/root", member.proc_entry())),
        Namespace::Pinned(_) => return None,
    };
    let above = overlay.path.ancestors().skip(1);
    let mut bases =
        above.chain(drive_mounts.iter().map(|m| &*m.path)).filter(|base| !may_block(table, base));
    let (base, mount) = bases.find_map(|base| {
        let path_here = root.join(base.strip_prefix("/").unwrap_or(base));
        Some((base, mount_with_all(&path_here, layers)?))
    })?;
    let drive_mount = drive_mounts.iter().find(|m| m.id == mount)?;
    Some((drive_mount.index, base.join(layers.first()?)))
}

/// Returns the mount ID of this directory if it contains all of these layers.
fn mount_with_all(base: &Path, layers: &[&Path]) -> Option<u64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = openat(CWD, base, flags, Mode::empty()).ok()?;
    // A symbolic link may leave the directory, but not its mount: another mount might not answer.
    let within = ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    let exists = |layer: &&Path| openat2(&base, *layer, flags, Mode::empty(), within).is_ok();
    layers.iter().all(exists).then(|| stat_no_sync(base.as_fd(), c".").ok()?.mount)?
}
