//! Remains of a drive that was pulled: mounts, mappings, arrays and loop devices without a device below.

use crate::model::drive::{Bus, Drive, DriveId, DriveKind, Medium};
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::inventory::describe::{Remnant, add_remnants};
use crate::platform::linux::inventory::snapshot::Snapshot;
use crate::platform::linux::inventory::system_mounts;
use crate::platform::linux::sys::mountinfo::{MountInfo, source_is_device};
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Returns the remains of the drive with this device number.
///
/// They are described as a drive without a medium. `None` if a device is there, or nothing is left.
pub fn of_device(snapshot: &Snapshot, device: u64) -> Option<Drive> {
    let line = snapshot.mounts.iter().find(|line| line.device == device);
    let lowest = match BlockDevice::of(device) {
        Ok(place) => dead_levels(&place.disk)?,
        // Its other partitions are gone too.
        Err(_) => {
            let name = name_of(line.filter(|line| is_dead(line))?);
            dead_parts(snapshot, disk_of(&name))
        }
    };
    describe(snapshot, lowest, device)
}

/// Returns the remains of the drive with this name: `sda1`, `/dev/sda1`, or its disk `sda`.
pub fn of_name(snapshot: &Snapshot, given: &OsStr) -> Option<Drive> {
    let word = given.to_str()?;
    let name = word.strip_prefix("/dev/").unwrap_or(word);
    if name.is_empty() || name.contains('/') {
        return None;
    }
    let lowest = dead_parts(snapshot, disk_of(name));
    let first = lowest.first()?.number()?;
    describe(snapshot, lowest, first)
}

/// Returns the devices of this disk that are gone and still mounted.
fn dead_parts(snapshot: &Snapshot, disk: &str) -> Vec<Remnant> {
    let source_of =
        |line: &MountInfo| Some(line.source.to_str()?.strip_prefix("/dev/")?.to_owned());
    let is_part = |line: &&MountInfo| source_of(line).is_some_and(|name| disk_of(&name) == disk);
    let mut parts: Vec<Remnant> = Vec::new();
    for line in snapshot.mounts.iter().filter(is_part).filter(|line| is_dead(line)) {
        if !parts.iter().any(|known| known.number() == Some(line.device)) {
            parts.push(Remnant::Device { device: line.device, name: name_of(line) });
        }
    }
    parts
}

/// Returns the name of the disk that a partition with this name is on; the name of a disk itself.
///
/// The disk is gone, so sysfs does not tell. A disk whose name ends in a digit has partitions with a `p`
/// (`disk_name` of the kernel's block/genhd.c).
fn disk_of(name: &str) -> &str {
    let is_digit = |c: char| c.is_ascii_digit();
    let stem = name.trim_end_matches(is_digit);
    match stem.strip_suffix('p') {
        _ if stem.len() == name.len() => name,
        Some(disk) if disk.ends_with(is_digit) => disk,
        _ if ["sd", "hd", "vd", "xvd"].iter().any(|kind| stem.starts_with(kind)) => stem,
        _ => name,
    }
}

/// Returns true if this is a mount of a device that is gone.
fn is_dead(line: &MountInfo) -> bool {
    match line.device >> 32 {
        0 => {
            let source = line.source.to_str().and_then(|source| source.strip_prefix("/dev/"));
            // The name of a mapping is a link, which may be missing while the mapping is there.
            source_is_device(line)
                && source
                    .is_some_and(|name| !name.contains('/') && is_gone(BlockDevice::of_name(name)))
        }
        _ => is_gone(BlockDevice::of(line.device)),
    }
}

/// Returns true if sysfs lists block devices, and not this one.
///
/// In a container, sysfs may be missing or empty, and every device would seem to be gone.
fn is_gone(found: Result<BlockDevice, Errno>) -> bool {
    let listed = || SysfsDir::open("/sys/dev/block").and_then(|node| node.names());
    found == Err(Errno::NOENT) && listed().is_ok_and(|names| !names.is_empty())
}

/// Returns the lowest levels below this one, if all that they lay on is gone.
fn dead_levels(name: &str) -> Option<Vec<Remnant>> {
    let node = SysfsDir::open(format!("/sys/block/{name}")).ok()?;
    let slaves = node.names_in("slaves");
    if slaves.is_empty() {
        return None;
    }
    let alive: Vec<&String> =
        slaves.iter().filter(|slave| !is_gone(BlockDevice::of_name(slave))).collect();
    if alive.is_empty() {
        return Some(vec![Remnant::Level { name: name.to_owned(), on: slaves }]);
    }
    let below: Option<Vec<Vec<Remnant>>> =
        alive.into_iter().map(|slave| dead_levels(slave)).collect();
    below.map(|levels| levels.into_iter().flatten().collect())
}

fn name_of(line: &MountInfo) -> String {
    let source = Path::new(&line.source);
    source.strip_prefix("/dev").unwrap_or(source).display().to_string()
}

fn describe(snapshot: &Snapshot, lowest: Vec<Remnant>, device: u64) -> Option<Drive> {
    let name = lowest.first()?.device_name();
    let path = PathBuf::from(format!("/dev/{name}"));
    let id = DriveId { device, generation: 0 };
    let mut drive = Drive::new(id, name, path, DriveKind::Other, Bus::Other);
    drive.medium = Medium::Absent;
    add_remnants(snapshot, &mut drive, lowest);
    let system = drive.mounts().iter().any(|mount| system_mounts::is_system(&mount.path));
    (!drive.volumes.is_empty() && !system).then_some(drive)
}

/// Returns the names of what is to be removed: mount points, and levels.
pub fn names(drive: &Drive) -> Vec<String> {
    let of = |volume: &Volume| {
        let level =
            !matches!(volume.kind, VolumeKind::Disk | VolumeKind::Partition | VolumeKind::Overlay);
        let mounts = volume.mounts.iter().map(|mount| mount.path.display().to_string());
        mounts.chain(level.then(|| volume.name.clone())).collect::<Vec<_>>()
    };
    drive.volumes.iter().rev().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::disk_of;

    #[test]
    fn a_partition_belongs_to_its_disk_and_to_no_other() {
        let cases = [
            ("sda1", "sda"),
            ("sdaa12", "sdaa"),
            ("sdp1", "sdp"),
            ("vdb3", "vdb"),
            ("mmcblk0p1", "mmcblk0"),
            ("nvme0n1p2", "nvme0n1"),
            ("loop1p2", "loop1"),
            ("md0p1", "md0"),
        ];
        for (name, disk) in cases {
            assert_eq!(disk_of(name), disk);
            assert_eq!(disk_of(disk), disk);
        }
        for disk in ["loop10", "sr0", "dm-0", "md127", "nbd3", ""] {
            assert_eq!(disk_of(disk), disk);
        }
    }
}
