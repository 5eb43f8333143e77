//! Layers of an overlay that were given by relative paths. The kernel remembers the words and not where
//! they led from, so they are looked for where they can be: beside the mount point (container engines go
//! to the directory that holds both) and at the root of each mount of the drive.

use crate::platform::linux::blockers::mounts::remote_fs;
use crate::platform::linux::blockers::mounts::scan::{DeviceIndex, DriveMount, Namespace};
use crate::platform::linux::sys::mountinfo::{MountInfo, mount_of};
use crate::platform::linux::sys::procfs::seen;
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use std::path::{Path, PathBuf};

/// Which of the drive's mounts these layers lie on, and where the first of them is.
pub(crate) fn place(
    layers: &[&Path],
    overlay: &MountInfo,
    lines: &[MountInfo],
    namespace: Namespace,
    hits: &[DriveMount],
) -> Option<(DeviceIndex, PathBuf)> {
    let root = match namespace {
        Namespace::Ours => PathBuf::from("/"),
        Namespace::Of(resident) => PathBuf::from(format!("/proc/{}/root", resident.entry())),
        Namespace::Kept(_) => return None,
    };
    let beside = overlay.path.ancestors().skip(1);
    let mut bases =
        beside.chain(hits.iter().map(|hit| &*hit.path)).filter(|base| !may_wait(lines, base));
    let (base, mount) = bases.find_map(|base| {
        let seen_from_here = root.join(base.strip_prefix("/").unwrap_or(base));
        Some((base, all_in(&seen_from_here, layers)?))
    })?;
    let hit = hits.iter().find(|hit| hit.id == mount)?;
    Some((hit.on, base.join(layers.first()?)))
}

/// The number of the mount that this directory is on, if all of these are directories in it.
fn all_in(base: &Path, layers: &[&Path]) -> Option<u64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = openat(CWD, base, flags, Mode::empty()).ok()?;
    // Links lead out of the directory, but never to another mount, which might not answer.
    let within = ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    let is_there = |layer: &&Path| openat2(&base, *layer, flags, Mode::empty(), within).is_ok();
    layers.iter().all(is_there).then(|| seen(base.as_fd(), c".").ok()?.mount)?
}

/// May looking for a name there wait for a server: does any mount on the way have one.
fn may_wait(lines: &[MountInfo], path: &Path) -> bool {
    let mut at = mount_of(lines, path);
    // No deeper than there are mounts, should two of them name each other.
    for _ in lines {
        let Some(mount) = at else { return false };
        if remote_fs::lookup_may_block(&mount.file_system) {
            return true;
        }
        at = lines.iter().find(|line| line.id == mount.parent);
    }
    false
}
