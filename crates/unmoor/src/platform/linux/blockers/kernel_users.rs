//! Users of the drive that are no processes: mounts, stacked devices, swap, exports.

use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::volume::Volume;
use crate::model::volume::VolumeKind;
use crate::platform::linux::blockers::mounts::ns_members::NsMember;
use crate::platform::linux::blockers::mounts::overlay::Overlay;
use crate::platform::linux::blockers::mounts::pinned_ns::PinnedNs;
use crate::platform::linux::blockers::mounts::scan::{
    DeviceIndex, DriveMount, MountScan, Namespace,
};
use crate::platform::linux::blockers::processes::identity::Identity;
use crate::platform::linux::blockers::processes::process_blocker;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::blockers::shell_quote::{command_on, shell_command};
use crate::platform::linux::blockers::{btrfs, external_stack};
use crate::platform::linux::sys::procfs::stat_at;
use crate::platform::linux::sys::{exports, mountinfo, swaps};
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Every block device to look for: 0 stands for the drive, then its volumes.
pub(crate) fn nodes(drive: &Drive) -> Vec<(u64, DeviceIndex)> {
    let volumes = drive.volumes.iter().enumerate().map(|(at, v)| (v.device, at + 1));
    let mut nodes: Vec<(u64, DeviceIndex)> = volumes.collect();
    if !nodes.iter().any(|(device, _)| *device == drive.id.device) {
        nodes.push((drive.id.device, 0));
    }
    btrfs::add_members(drive, &mut nodes);
    nodes
}

/// The names of those devices.
pub(crate) fn names(drive: &Drive) -> impl Iterator<Item = &String> {
    std::iter::once(&drive.name).chain(drive.volumes.iter().map(|v| &v.name))
}

/// The devices of several drives, one drive's after the other's.
pub(crate) fn nodes_of(drives: &[Drive]) -> Vec<(u64, DeviceIndex)> {
    let mut all: Vec<(u64, DeviceIndex)> = Vec::new();
    let mut first = 0;
    for drive in drives {
        all.extend(nodes(drive).into_iter().map(|(device, on)| (device, first + on)));
        first += names(drive).count();
    }
    all
}

/// What no mount of ours shows: mounts in other namespaces that stay when ours go, and overlays that are
/// no part of these drives.
pub(crate) fn invisible_users(
    drives: &[Drive],
    survey: &MountScan,
    names: &[String],
    who: impl Fn(u32) -> Option<Identity>,
) -> Vec<Blocker> {
    let name = |on: DeviceIndex| names[on].as_str();
    let mut found = other_namespaces(survey, &name, &who);
    let unplanned = survey.overlays.iter().filter(|o| !drives.iter().any(|d| is_planned(d, o)));
    found.extend(unplanned.map(|overlay| {
        let used = Usage::new(UsageKind::MountPoint, name(overlay.on)).at(&overlay.path);
        Blocker::new(BlockerKind::Overlay, overlay.path.display().to_string()).with_usage(used)
    }));
    found
}

/// Is it to be unmounted with this drive.
fn is_planned(drive: &Drive, overlay: &Overlay) -> bool {
    let of = |v: &Volume| v.kind == VolumeKind::Overlay && v.device == overlay.device;
    overlay.namespace.is_ours() && drive.volumes.iter().any(of)
}

/// Everything in the way that is no process, what to undo first in front.
pub(crate) fn blockers(
    drive: &Drive,
    survey: &MountScan,
    wanted: &DeviceFilter,
    who: impl Fn(u32) -> Option<Identity>,
) -> Vec<Blocker> {
    let name = |on: DeviceIndex| match on.checked_sub(1) {
        Some(at) => drive.volumes[at].name.as_str(),
        None => drive.name.as_str(),
    };
    let mut found = nested_mounts(drive, survey, &name);
    found.extend(other_mounts(drive, survey, &name));
    found.extend(other_namespaces(survey, &name, &who));
    found.extend(swap(wanted, &name));
    found.extend(nfs_exports(survey, &name));
    found.extend(external_stack::blockers(drive));
    found
}

/// What is mounted on the drive's mounts, and overlays with a layer there: the topmost of each namespace
/// first, as they have to go.
fn nested_mounts<'d>(
    drive: &Drive,
    survey: &MountScan,
    name: &impl Fn(DeviceIndex) -> &'d str,
) -> Vec<Blocker> {
    let mut found: Vec<(Namespace, usize, Blocker)> = Vec::new();
    // What is planned to be unmounted is in nobody's way.
    for overlay in survey.overlays.iter().filter(|overlay| !is_planned(drive, overlay)) {
        let volume = name(overlay.on);
        let description = format!(
            "overlay on {}: its {} {} lies on {volume}",
            overlay.path.display(),
            overlay.role,
            overlay.layer.display(),
        );
        let blocker = Blocker::new(BlockerKind::Overlay, description)
            .with_usage(Usage::new(UsageKind::MountPoint, volume).at(&overlay.path))
            .with_remedy(
                "unmount the overlay",
                umount(&survey.kept, overlay.namespace, &overlay.path),
            );
        found.push((overlay.namespace, overlay.at, blocker));
    }
    let is_overlay = |id| survey.overlays.iter().any(|overlay| overlay.id == id);
    for top in survey.on_top.iter().filter(|top| !is_overlay(top.id)) {
        let volume = name(top.on);
        let how = if top.hides { "and hides" } else { "within" };
        let description =
            format!("{} is mounted on {}, {how} {volume}", top.file_system, top.path.display());
        let kind = match top.namespace.is_ours() {
            true => BlockerKind::Mount,
            false => BlockerKind::Namespace,
        };
        let blocker = Blocker::new(kind, description)
            .with_usage(Usage::new(UsageKind::MountPoint, volume).at(&top.path))
            .with_remedy("unmount it first", umount(&survey.kept, top.namespace, &top.path));
        found.push((top.namespace, top.at, blocker));
    }
    found.sort_by_key(|(namespace, at, _)| (*namespace, std::cmp::Reverse(*at)));
    found.into_iter().map(|(_, _, blocker)| blocker).collect()
}

/// Mounts of ours that a release of this drive does not take away by itself: of file systems over
/// several devices of which the drive is only one, and what came up since the drive was looked at.
fn other_mounts<'d>(
    drive: &'d Drive,
    survey: &'d MountScan,
    name: &impl Fn(DeviceIndex) -> &'d str,
) -> Vec<Blocker> {
    let released: Vec<u64> =
        drive.volumes.iter().flat_map(|v| v.mounts.iter().map(|m| m.id)).collect();
    let spans = |hit: &DriveMount| {
        let volume = hit.on.checked_sub(1).map(|at| &drive.volumes[at]);
        volume.is_some_and(|v| v.other_members.iter().any(|other| drive.volume(other).is_none()))
    };
    let ours = survey.hits.iter().rev().filter(|hit| hit.namespace.is_ours());
    let others = ours.filter(|hit| spans(hit) || !released.contains(&hit.id));
    others
        .map(|hit| {
            let volume = name(hit.on);
            let path = hit.path.display();
            let (kind, description) = match spans(hit) {
                true => (
                    BlockerKind::MultiDevice,
                    format!("{volume} is part of the file system over several drives on {path}"),
                ),
                false => (BlockerKind::Mount, format!("{volume} is mounted on {path}")),
            };
            Blocker::new(kind, description)
                .with_usage(Usage::new(UsageKind::MountPoint, volume).at(&hit.path))
                .with_remedy("unmount it first", umount(&survey.kept, hit.namespace, &hit.path))
        })
        .collect()
}

/// One blocker for each namespace that keeps the drive mounted.
fn other_namespaces<'d>(
    survey: &'d MountScan,
    name: &impl Fn(DeviceIndex) -> &'d str,
    who: &impl Fn(u32) -> Option<Identity>,
) -> Vec<Blocker> {
    let mut namespaces: Vec<(Namespace, Vec<&DriveMount>)> = Vec::new();
    for hit in survey.hits.iter().filter(|hit| !hit.namespace.is_ours() && !hit.propagates) {
        match namespaces.iter_mut().find(|(namespace, _)| *namespace == hit.namespace) {
            Some((_, hits)) => hits.push(hit),
            None => namespaces.push((hit.namespace, vec![hit])),
        }
    }
    let blocker = |(namespace, hits): (Namespace, Vec<&DriveMount>)| {
        let blocker = match namespace {
            Namespace::Ours => return None,
            // A namespace ends with its last process.
            Namespace::Of(resident) => {
                ns_blocker(&hits, name(hits[0].on), resident, &who(resident.pid)?)
            }
            Namespace::Kept(_) => pinned_ns_blocker(&survey.kept, &hits, name(hits[0].on)),
        };
        let used =
            |hit: &&DriveMount| Usage::new(UsageKind::MountPoint, name(hit.on)).at(&hit.path);
        Some(hits.iter().map(used).fold(blocker, Blocker::with_usage))
    };
    namespaces.into_iter().filter_map(blocker).collect()
}

fn ns_blocker(
    hits: &[&DriveMount],
    volume: &str,
    resident: NsMember,
    person: &Identity,
) -> Blocker {
    let mut who = process_blocker::description(person);
    if let Some(thread) = resident.thread {
        who = format!("thread {thread} of {who}");
    }
    if let Some(unit) = &person.process.unit {
        who = format!("{who}, {unit}");
    }
    let description = format!(
        "{volume} is mounted on {} in the mount namespace of {who} too",
        hits[0].path.display()
    );
    let stop = person.owner.as_ref().and_then(process_blocker::stop_command);
    let (words, command) = match (stop, &person.owner) {
        (Some(stop), Some(owner)) => (format!("stop the {}", owner.noun()), stop),
        _ => ("unmount it there".into(), umount_all(&[], hits)),
    };
    let mut blocker = Blocker::new(BlockerKind::Namespace, description).with_remedy(words, command);
    blocker.process = Some(person.process.clone());
    blocker
}

/// A namespace without a process.
fn pinned_ns_blocker(kept: &[PinnedNs], hits: &[&DriveMount], volume: &str) -> Blocker {
    let by = match hits[0].namespace {
        Namespace::Kept(at) => kept[at].path.display().to_string(),
        _ => String::new(),
    };
    let description = format!(
        "{volume} is mounted on {} in a mount namespace too in which no process is; {by} keeps it",
        hits[0].path.display()
    );
    Blocker::new(BlockerKind::Namespace, description)
        .with_remedy("unmount it there", umount_all(kept, hits))
}

fn swap<'d>(wanted: &DeviceFilter, name: &impl Fn(DeviceIndex) -> &'d str) -> Vec<Blocker> {
    let active = swaps::active();
    let on_drive = active.iter().filter_map(|path| {
        let seen = stat_at(&CString::new(path.as_os_str().as_bytes()).ok()?).ok()?;
        let on = wanted.node(&seen).or_else(|| wanted.file(&seen))?;
        let what = if seen.node.is_some() { "swap" } else { "a swap file" };
        let description = format!("{what} in use: {}", path.display());
        Some(
            Blocker::new(BlockerKind::Swap, description)
                .with_usage(Usage::new(UsageKind::Kernel, name(on)).at(path))
                .with_remedy("switch it off", command_on(&["swapoff"], path)),
        )
    });
    on_drive.collect()
}

fn nfs_exports<'d>(survey: &MountScan, name: &impl Fn(DeviceIndex) -> &'d str) -> Vec<Blocker> {
    let exports = exports::active();
    if exports.is_empty() {
        return Vec::new();
    }
    let Ok(lines) = mountinfo::read_self() else { return Vec::new() };
    let on_drive = exports.iter().filter_map(|export| {
        let mount = mountinfo::mount_of(&lines, &export.path)?.id;
        let on = survey.hits.iter().find(|hit| hit.id == mount)?.on;
        let description =
            format!("{} is exported over NFS to {}", export.path.display(), export.client);
        let mut which = std::ffi::OsString::from(format!("{}:", export.client));
        which.push(&export.path);
        let command = command_on(&["exportfs", "-u"], Path::new(&which))
            .map(|unexport| format!("{unexport} && exportfs -f"));
        Some(
            Blocker::new(BlockerKind::Export, description)
                .with_usage(Usage::new(UsageKind::Kernel, name(on)).at(&export.path))
                .with_remedy("end the export", command),
        )
    });
    on_drive.collect()
}

/// The command that takes a mount away in the namespace where it is.
fn umount(kept: &[PinnedNs], namespace: Namespace, path: &Path) -> Option<String> {
    umount_in(kept, namespace, &[path])
}

/// The command that takes all of these away, which are in one namespace: what came last lies on the others.
fn umount_all(kept: &[PinnedNs], hits: &[&DriveMount]) -> Option<String> {
    let paths: Vec<&Path> = hits.iter().rev().map(|hit| &*hit.path).collect();
    umount_in(kept, hits.first()?.namespace, &paths)
}

fn umount_in(kept: &[PinnedNs], namespace: Namespace, paths: &[&Path]) -> Option<String> {
    let umount = std::iter::once(OsStr::new("umount")).chain(paths.iter().map(|p| p.as_os_str()));
    let enter = match namespace {
        Namespace::Ours => return shell_command(umount),
        Namespace::Of(resident) => {
            vec!["--target".into(), resident.entry().to_string().into(), "--mount".into()]
        }
        Namespace::Kept(at) => {
            let mut by = OsString::from("--mount=");
            by.push(&kept.get(at)?.path);
            vec![by]
        }
    };
    let enter = std::iter::once(OsStr::new("nsenter")).chain(enter.iter().map(OsString::as_os_str));
    shell_command(enter.chain(umount))
}
