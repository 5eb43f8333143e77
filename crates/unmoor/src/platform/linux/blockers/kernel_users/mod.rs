//! Users of the drive in the kernel: mounts, stacked devices, swap, NFS, files of other parts of the kernel.

mod external_logs;
mod kernel_files;
mod nfs;
mod remedy;

use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::blockers::kernel_users::remedy::{umount, umount_all};
use crate::platform::linux::blockers::mounts::ns_members::NsMember;
use crate::platform::linux::blockers::mounts::overlay::Overlay;
use crate::platform::linux::blockers::mounts::pinned_ns::PinnedNs;
use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::blockers::mounts::types::{DeviceIndex, DriveMount, Namespace};
use crate::platform::linux::blockers::processes::identity::Identity;
use crate::platform::linux::blockers::processes::process_blocker;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::blockers::shell_quote::command_on;
use crate::platform::linux::blockers::{btrfs, external_stack};
use crate::platform::linux::sys::procfs::stat_at;
use crate::platform::linux::sys::{character_devices, swaps};
use std::collections::HashSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// Returns the devices to scan for: index 0 is the drive, then its volumes.
///
/// The drive is also reached through character devices, such as `/dev/sg1`.
pub(crate) fn nodes(drive: &Drive) -> Vec<(u64, DeviceIndex)> {
    let volumes = drive.volumes.iter().enumerate().map(|(position, v)| (v.device, position + 1));
    let mut nodes: Vec<(u64, DeviceIndex)> = volumes.collect();
    if !nodes.iter().any(|(device, _)| *device == drive.id.device) {
        nodes.push((drive.id.device, 0));
    }
    nodes.extend(character_devices::of_drive(&drive.name).into_iter().map(|device| (device, 0)));
    btrfs::add_members(drive, &mut nodes);
    nodes
}

/// Returns the names of those devices.
pub(crate) fn names(drive: &Drive) -> impl Iterator<Item = &String> {
    std::iter::once(&drive.name).chain(drive.volumes.iter().map(|v| &v.name))
}

/// Returns the devices of several drives, one drive after the other.
pub(crate) fn nodes_of(drives: &[Drive]) -> Vec<(u64, DeviceIndex)> {
    let mut all: Vec<(u64, DeviceIndex)> = Vec::new();
    let mut first = 0;
    for drive in drives {
        all.extend(nodes(drive).into_iter().map(|(device, index)| (device, first + index)));
        first += names(drive).count();
    }
    all
}

/// Returns the users that a probe of our mounts does not show.
///
/// Those are mounts in other namespaces that stay when ours are unmounted, and overlays that are not unmounted with
/// these drives.
pub(crate) fn invisible_users(
    drives: &[Drive],
    scan: &MountScan,
    names: &[String],
    identify: impl Fn(u32) -> Option<Identity>,
) -> Vec<Blocker> {
    let name = |index: DeviceIndex| names[index].as_str();
    let mut found = other_namespaces(scan, &name, &identify);
    let unplanned = scan.overlays.iter().filter(|o| !drives.iter().any(|d| is_planned(d, o)));
    found.extend(unplanned.map(|overlay| {
        let usage = Usage::new(UsageKind::MountPoint, name(overlay.index)).at(&overlay.path);
        Blocker::new(BlockerKind::Overlay, overlay.path.display().to_string()).with_usage(usage)
    }));
    found
}

/// Returns true if this overlay is unmounted with this drive.
fn is_planned(drive: &Drive, overlay: &Overlay) -> bool {
    let is_overlay = |v: &Volume| v.kind == VolumeKind::Overlay && v.device == overlay.device;
    overlay.namespace.is_ours() && drive.volumes.iter().any(is_overlay)
}

/// Returns the blockers for files and devices of the drive that other parts of the kernel have open.
pub(crate) fn kernel_file_blockers(drive: &Drive, filter: &DeviceFilter) -> Vec<Blocker> {
    let name = |index| volume_name(drive, index);
    let mut found = kernel_files::blockers(filter, &name);
    found.extend(external_logs::blockers(drive, filter, &name));
    found
}

/// Returns the name of the volume with this index, or of the drive.
fn volume_name(drive: &Drive, index: DeviceIndex) -> &str {
    match index.checked_sub(1) {
        Some(position) => &drive.volumes[position].name,
        None => &drive.name,
    }
}

/// Returns all blockers that are no processes, in the order in which to remove them.
pub(crate) fn blockers(
    drive: &Drive,
    scan: &MountScan,
    filter: &DeviceFilter,
    identify: impl Fn(u32) -> Option<Identity>,
) -> Vec<Blocker> {
    let name = |index: DeviceIndex| volume_name(drive, index);
    let mut found = nested_mounts(drive, scan, &name);
    found.extend(other_mounts(drive, scan, &name));
    found.extend(other_namespaces(scan, &name, &identify));
    found.extend(swap(filter, &name));
    found.extend(nfs::exports(scan, filter, &name));
    found.extend(nfs::clients(filter, &name));
    found.extend(external_stack::blockers(drive));
    found
}

/// Returns the mounts on the drive's mounts, and overlays with a layer there.
///
/// The topmost of each namespace comes first, in the order in which to unmount them.
fn nested_mounts<'d>(
    drive: &Drive,
    scan: &MountScan,
    name: &impl Fn(DeviceIndex) -> &'d str,
) -> Vec<Blocker> {
    let mut found: Vec<(Namespace, usize, Blocker)> = Vec::new();
    // An overlay that the release itself unmounts is no blocker.
    for overlay in scan.overlays.iter().filter(|overlay| !is_planned(drive, overlay)) {
        let volume = name(overlay.index);
        let description = format!(
            "{} on {}: its {} {} lies on {volume}",
            overlay.file_system,
            overlay.path.display(),
            overlay.role,
            overlay.layer.display(),
        );
        let blocker = Blocker::new(BlockerKind::Overlay, description)
            .with_usage(Usage::new(UsageKind::MountPoint, volume).at(&overlay.path))
            .with_remedy(
                format!("unmount the {}", overlay.file_system),
                umount(&scan.pinned, overlay.namespace, &overlay.path),
            );
        found.push((overlay.namespace, overlay.position, blocker));
    }
    let overlays: HashSet<u64> = scan.overlays.iter().map(|overlay| overlay.id).collect();
    for nested in scan.nested_mounts.iter().filter(|nested| !overlays.contains(&nested.id)) {
        let volume = name(nested.index);
        let how = if nested.hides { "and hides" } else { "within" };
        let description = format!(
            "{} is mounted on {}, {how} {volume}",
            nested.file_system,
            nested.path.display()
        );
        let kind = match nested.namespace.is_ours() {
            true => BlockerKind::Mount,
            false => BlockerKind::Namespace,
        };
        let blocker = Blocker::new(kind, description)
            .with_usage(Usage::new(UsageKind::MountPoint, volume).at(&nested.path))
            .with_remedy("unmount it first", umount(&scan.pinned, nested.namespace, &nested.path));
        found.push((nested.namespace, nested.position, blocker));
    }
    found.sort_by_key(|(namespace, position, _)| (*namespace, std::cmp::Reverse(*position)));
    found.into_iter().map(|(_, _, blocker)| blocker).collect()
}

/// Returns the mounts in our namespace that a release of this drive does not unmount.
///
/// Those are file systems that lie on other drives too, and mounts made after the drive was described.
fn other_mounts<'d>(
    drive: &'d Drive,
    scan: &'d MountScan,
    name: &impl Fn(DeviceIndex) -> &'d str,
) -> Vec<Blocker> {
    let released: HashSet<u64> =
        drive.volumes.iter().flat_map(|v| v.mounts.iter().map(|m| m.id)).collect();
    let external = external_stack::external_volumes(drive);
    let volume_of = |mount: &DriveMount| mount.index.checked_sub(1).map(|at| &drive.volumes[at]);
    let has_other_members =
        |v: &Volume| v.other_members.iter().any(|other| drive.volume(other).is_none());
    let spans = |mount: &DriveMount| {
        volume_of(mount).is_some_and(|v| has_other_members(v) || external.contains(&*v.name))
    };
    let ours = scan.drive_mounts.iter().rev().filter(|mount| mount.namespace.is_ours());
    let others = ours.filter(|mount| spans(mount) || !released.contains(&mount.id));
    others
        .map(|mount| {
            let volume = name(mount.index);
            let path = mount.path.display();
            let (kind, description) = match spans(mount) {
                true => (
                    BlockerKind::MultiDevice,
                    match volume_of(mount).is_some_and(has_other_members) {
                        true => format!(
                            "{volume} is part of the file system over several drives on {path}"
                        ),
                        false => {
                            format!("{volume}, which lies on several drives, is mounted on {path}")
                        }
                    },
                ),
                false => (BlockerKind::Mount, format!("{volume} is mounted on {path}")),
            };
            Blocker::new(kind, description)
                .with_usage(Usage::new(UsageKind::MountPoint, volume).at(&mount.path))
                .with_remedy("unmount it first", umount(&scan.pinned, mount.namespace, &mount.path))
        })
        .collect()
}

/// Returns one blocker for each namespace that keeps the drive mounted.
fn other_namespaces<'d>(
    scan: &'d MountScan,
    name: &impl Fn(DeviceIndex) -> &'d str,
    identify: &impl Fn(u32) -> Option<Identity>,
) -> Vec<Blocker> {
    let elsewhere = scan.drive_mounts.iter().filter(|m| !m.namespace.is_ours() && !m.propagates);
    // Each namespace was read once, so its mounts are next to each other.
    let elsewhere: Vec<&DriveMount> = elsewhere.collect();
    let blocker = |mounts: &[&DriveMount]| {
        let volume = name(mounts[0].index);
        let blocker = match mounts[0].namespace {
            Namespace::Ours => return None,
            // A namespace ends with its last process.
            Namespace::Member(member) => ns_blocker(mounts, volume, member, &identify(member.pid)?),
            Namespace::Pinned(_) => pinned_ns_blocker(&scan.pinned, mounts, volume),
        };
        let usage = |mount: &&DriveMount| {
            Usage::new(UsageKind::MountPoint, name(mount.index)).at(&mount.path)
        };
        Some(mounts.iter().map(usage).fold(blocker, Blocker::with_usage))
    };
    elsewhere.chunk_by(|one, next| one.namespace == next.namespace).filter_map(blocker).collect()
}

/// Returns the blocker for a namespace with a process or thread.
///
/// Mounts that a namespace of another user inherits cannot be unmounted in it (mount_namespaces(7), "Restrictions on
/// mount namespaces"). Only the end of its processes removes them.
fn ns_blocker(
    mounts: &[&DriveMount],
    volume: &str,
    member: NsMember,
    process: &Identity,
) -> Blocker {
    let mut name = process_blocker::description(process);
    if let Some(thread) = member.thread {
        name = format!("thread {thread} of {name}");
    }
    if let Some(unit) = &process.process.unit {
        name = format!("{name}, {unit}");
    }
    let description = format!(
        "{volume} is also mounted on {} in the mount namespace of {name}",
        mounts[0].path.display()
    );
    let stop = process.owner.as_ref().and_then(process_blocker::stop_command);
    let (words, command) = match (stop, &process.owner) {
        (Some(stop), Some(owner)) => (format!("stop the {}", owner.noun()), stop),
        _ if !process.is_in_own_user_ns => {
            let command = process_blocker::kill_command(process);
            ("stop the program, which keeps the mount".into(), Some(command))
        }
        _ => ("unmount it there".into(), umount_all(&[], mounts)),
    };
    let mut blocker = Blocker::new(BlockerKind::Namespace, description).with_remedy(words, command);
    blocker.process = Some(process.process.clone());
    blocker
}

/// Returns the blocker for a namespace without a process.
fn pinned_ns_blocker(pinned: &[PinnedNs], mounts: &[&DriveMount], volume: &str) -> Blocker {
    let pin = match mounts[0].namespace {
        Namespace::Pinned(position) => pinned[position].path.display().to_string(),
        _ => String::new(),
    };
    let description = format!(
        "{volume} is also mounted on {} in a mount namespace without a process, pinned by {pin}",
        mounts[0].path.display()
    );
    Blocker::new(BlockerKind::Namespace, description)
        .with_remedy("unmount it there", umount_all(pinned, mounts))
}

fn swap<'d>(filter: &DeviceFilter, name: &impl Fn(DeviceIndex) -> &'d str) -> Vec<Blocker> {
    let active = swaps::active();
    let on_drive = active.iter().filter_map(|path| {
        let stat = stat_at(&CString::new(path.as_os_str().as_bytes()).ok()?).ok()?;
        let index = filter.node(&stat).or_else(|| filter.file(&stat))?;
        let what = if stat.node.is_some() { "swap" } else { "a swap file" };
        let description = format!("{what} in use: {}", path.display());
        Some(
            Blocker::new(BlockerKind::Swap, description)
                .with_usage(Usage::new(UsageKind::Kernel, name(index)).at(path))
                .with_remedy("switch it off", command_on(&["swapoff"], path)),
        )
    });
    on_drive.collect()
}
