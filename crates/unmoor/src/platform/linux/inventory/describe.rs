//! From a block device to a [`Drive`] with everything that stands on it.

use crate::model::drive::{Bus, Drive, DriveId, DriveKind, Medium};
use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::helper::{Helper, c_path};
use crate::platform::linux::inventory::content::{self, Described, Detail};
use crate::platform::linux::inventory::loop_devices::LoopDevice;
use crate::platform::linux::inventory::port::Port;
use crate::platform::linux::inventory::served::{self, ServedVolume};
use crate::platform::linux::inventory::servers::{Served, Server};
use crate::platform::linux::inventory::snapshot::{Snapshot, device_of, volume_of_mount};
use crate::platform::linux::inventory::system_mounts;
use crate::platform::linux::sys::cdrom::DriveStatus;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use crate::platform::linux::sys::{external_logs, overlay_options, writeback};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Describes the drives at these places, in their order. One that leaves meanwhile is left out.
pub fn drives(
    snapshot: &Snapshot,
    places: Vec<BlockDevice>,
    detail: Detail,
    helper: &Helper,
) -> Vec<(BlockDevice, Drive)> {
    let described = places.into_iter().filter_map(|place| {
        let described = without_content(snapshot, &place, helper).ok()?;
        Some((place, described))
    });
    let mut found: Vec<(BlockDevice, Described)> = described.collect();
    let drives = found.iter_mut().map(|(_, described)| described).collect();
    content::read(drives, &snapshot.probes(), detail, helper);
    found.into_iter().map(|(place, described)| (place, described.drive)).collect()
}

/// Describes the drive at this place.
///
/// # Errors
/// As [`without_content`].
pub fn drive(
    snapshot: &Snapshot,
    place: &BlockDevice,
    detail: Detail,
    helper: &Helper,
) -> Result<Drive, Errno> {
    let mut described = without_content(snapshot, place, helper)?;
    content::read(vec![&mut described], &snapshot.probes(), detail, helper);
    Ok(described.drive)
}

/// Describes the drive at this place, without the content of its volumes.
///
/// It is opened for a moment where that is permitted: the kernel notices a changed medium when a drive
/// is opened, and gives it a new `diskseq`; and only the drive itself knows about its tray.
///
/// # Errors
/// The errno of sysfs: `ENODEV` or `ENOENT` once the drive is gone. A drive that does not answer is described from
/// what the system remembers.
fn without_content(
    snapshot: &Snapshot,
    place: &BlockDevice,
    helper: &Helper,
) -> Result<Described, Errno> {
    let node = SysfsDir::open(&*place.disk_path)?;
    let name = place.disk.replace('!', "/");
    let attached = snapshot.loop_named(&name);
    let known = attached.and_then(|attached| attached.device);
    let device = known.or_else(|| node.device()).ok_or(Errno::NODEV)?;
    let path = PathBuf::from(format!("/dev/{name}"));
    let kind = kind(&name, &node);
    let size = node.size();
    let status = probe_status(kind, &path, helper);
    let denied = matches!(status, Err(Errno::ACCESS | Errno::PERM));
    let medium = medium_by_answer(kind, status, &node, size);
    // The kernel says so of what hangs on a port that its firmware calls external: Thunderbolt, USB4.
    let bus = match place.bus() {
        Bus::Nvme if place.pci_says_removable() => Bus::Thunderbolt,
        bus => bus,
    };
    let port = Port::of(place);
    let generation =
        attached.and_then(|attached| attached.diskseq).or_else(|| node.number("diskseq"));
    let strings = (kind != DriveKind::Loop).then(|| node.child("device").ok()).flatten();
    let word = |name: &str| strings.as_ref().and_then(|node| node.text(name));
    let fixed_card = kind == DriveKind::Card && word("type").is_some_and(|t| t == "MMC");
    let mut drive = Drive {
        id: DriveId { device, generation: generation.unwrap_or(0) },
        path,
        kind,
        bus,
        // A virtio disk's parent is no SCSI device: its `vendor` is a PCI number.
        vendor: word("vendor").filter(|vendor| !vendor.starts_with("0x")),
        model: word("model").or_else(|| (kind == DriveKind::Card).then(|| word("name")).flatten()),
        // A USB stick's serial number is its USB device's, not the SCSI device's.
        serial: word("serial").or_else(|| {
            let usb = (bus == Bus::Usb).then(|| place.usb_device()).flatten()?;
            SysfsDir::open(usb).ok()?.text("serial")
        }),
        size: size.filter(|_| medium == Medium::Present),
        removable: (kind != DriveKind::Loop && node.flag("removable"))
            || (kind == DriveKind::Card && !fixed_card),
        hotplug: matches!(bus, Bus::Usb | Bus::Thunderbolt)
            || (bus == Bus::Ata && place.is_external_sata()),
        read_only: node.flag("ro") || kind == DriveKind::Optical,
        medium,
        system_uses: Vec::new(),
        backing_file: attached.map(|attached| attached.image.clone()),
        siblings: port.as_ref().map_or_else(Vec::new, |port| siblings(snapshot, place, port)),
        port: port.map(|port| port.to_string()),
        selection: None,
        volumes: Vec::new(),
        name,
    };
    volumes(snapshot, &mut drive, &node, &place.disk);
    adopt_mounts(snapshot, &mut drive);
    add_logs(snapshot, &mut drive, helper);
    served::add_servers_of_own_mounts(snapshot, &mut drive);
    loop {
        let before = drive.volumes.len();
        add_overlays(snapshot, &mut drive);
        add_served(snapshot, &mut drive);
        if drive.volumes.len() == before {
            break;
        }
    }
    drive.system_uses = system_mounts::uses(&drive);
    if !drive.carries_system() {
        drive.system_uses.extend(snapshot.system_root.uses(&drive, helper));
    }
    count_unwritten(&mut drive);
    Ok(Described { drive, denied })
}

/// Part of a drive that is gone, on which something still stands.
pub enum Remnant {
    /// The device of a mount.
    Device { device: u64, name: String },
    /// A mapping, an array or a loop device, with the names of what it lay on.
    Level { name: String, on: Vec<String> },
}

impl Remnant {
    /// Returns the device number, if it is a device.
    pub fn number(&self) -> Option<u64> {
        match self {
            Remnant::Device { device, .. } => Some(*device),
            Remnant::Level { .. } => None,
        }
    }

    /// Returns the name of the device that is gone.
    pub fn device_name(&self) -> String {
        match self {
            Remnant::Device { name, .. } => name.clone(),
            Remnant::Level { name, on } => on.first().unwrap_or(name).clone(),
        }
    }
}

/// Adds what stands on these parts of a drive that is gone.
pub fn add_remnants(snapshot: &Snapshot, drive: &mut Drive, lowest: Vec<Remnant>) {
    let gone: Vec<u64> = lowest.iter().filter_map(Remnant::number).collect();
    for remnant in lowest {
        let (name, device) = match remnant {
            Remnant::Level { name, on } => {
                let Ok(node) = SysfsDir::open(format!("/sys/block/{name}")) else { continue };
                add_volume(snapshot, drive, &node, &name, mapping_kind(&node), &on);
                continue;
            }
            Remnant::Device { name, device } => (name, device),
        };
        let path = PathBuf::from(format!("/dev/{name}"));
        let mut volume = Volume::new(&*name, path, VolumeKind::Partition);
        (volume.device, volume.mounts) = (device, snapshot.mounts_of(device));
        volume.parents.push(drive.name.clone());
        drive.volumes.push(volume);
        for attached in snapshot.loops_on(device) {
            let Ok(node) = SysfsDir::open(format!("/sys/block/{}", attached.name)) else {
                continue;
            };
            let on = std::slice::from_ref(&name);
            add_volume(snapshot, drive, &node, &attached.name, VolumeKind::Loop, on);
        }
    }
    // Its number may be another device's by now.
    let is_there = |volume: &&mut Volume| !gone.contains(&volume.device);
    content::set_from_udev(drive.volumes.iter_mut().filter(is_there));
    add_overlays(snapshot, drive);
}

fn kind(name: &str, node: &SysfsDir) -> DriveKind {
    match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "sr" | "scd" => DriveKind::Optical,
        "loop" => DriveKind::Loop,
        "mmcblk" => DriveKind::Card,
        "nbd" => DriveKind::Network,
        "fd" => DriveKind::Floppy,
        // SPC-4 table 142: 05h is a CD/DVD device, whatever its node is called.
        _ if node.number("device/type") == Some(5) => DriveKind::Optical,
        prefix if prefix.starts_with("sd") || prefix.starts_with("vd") => DriveKind::Disk,
        _ if node.child("device").is_ok() => DriveKind::Disk,
        _ => DriveKind::Other,
    }
}

/// Timeout for the answer of a drive that is described. A drive that does not answer is described from what the
/// system remembers. Opening it for a release takes as long as the user allows.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns the status of the drive's tray, if it has one.
fn probe_status(
    kind: DriveKind,
    path: &Path,
    helper: &Helper,
) -> Result<Option<DriveStatus>, Errno> {
    // The kernel knows the size of an image, and nothing changes it but the kernel.
    if kind == DriveKind::Loop {
        return Ok(None);
    }
    let path = c_path(path)?;
    let optical = kind == DriveKind::Optical;
    let request = Request::ProbeMedium { path: &path, optical };
    let answer = helper.within(PROBE_TIMEOUT, |deadline| helper.call(&request, deadline));
    let [status, ..] = answer.map_err(|_| Errno::TIMEDOUT)??;
    Ok(optical.then(|| DriveStatus::from_number(u8::try_from(status).unwrap_or(0))))
}

/// Returns whether a medium is in the drive, if the drive answers in time.
pub fn medium(
    kind: DriveKind,
    path: &Path,
    node: &SysfsDir,
    size: Option<u64>,
    helper: &Helper,
) -> Medium {
    medium_by_answer(kind, probe_status(kind, path, helper), node, size)
}

fn medium_by_answer(
    kind: DriveKind,
    status: Result<Option<DriveStatus>, Errno>,
    node: &SysfsDir,
    size: Option<u64>,
) -> Medium {
    match (kind, status) {
        // Its size may be older than its connection.
        (DriveKind::Network, _) if node.text("pid").is_none() => Medium::Absent,
        (_, Err(Errno::NOMEDIUM)) => Medium::Absent,
        (_, Err(Errno::TIMEDOUT)) => Medium::Unknown,
        (DriveKind::Optical, Ok(status)) => match status {
            Some(DriveStatus::TrayOpen) => Medium::TrayOpen,
            Some(DriveStatus::NoDisc) => Medium::Absent,
            Some(DriveStatus::DiscOk) => Medium::Present,
            _ => Medium::Unknown,
        },
        // An optical drive has a size without a disc too.
        (DriveKind::Optical, Err(_)) => Medium::Unknown,
        (DriveKind::Loop, _) if size.unwrap_or(0) == 0 => Medium::Absent,
        (DriveKind::Loop, _) => Medium::Present,
        // The size was read before the drive was opened, and opening may have shown that it changed.
        (_, Ok(_)) => {
            if node.size().unwrap_or(0) == 0 {
                Medium::Absent
            } else {
                Medium::Present
            }
        }
        (_, Err(_)) if size.unwrap_or(0) == 0 => Medium::Absent,
        (_, Err(_)) => Medium::Present,
    }
}

/// The partitions, or the disk itself where it has none, and what is stacked on them.
fn volumes(snapshot: &Snapshot, drive: &mut Drive, node: &SysfsDir, disk: &str) {
    let is_partition = |name: &str| partition_number(disk, name).is_some();
    let partitions = node.names_that(is_partition).unwrap_or_default();
    let used = !snapshot.mounts_of(drive.id.device).is_empty()
        || snapshot.loops_on(drive.id.device).next().is_some();
    let empty = matches!(drive.medium, Medium::Absent | Medium::TrayOpen);
    let mut found = Vec::new();
    // What was mounted when the medium left is still mounted.
    let on = [disk.to_string()];
    if used || (partitions.is_empty() && !empty) {
        add_volume(snapshot, drive, node, disk, VolumeKind::Disk, &on);
    }
    for name in partitions {
        let Ok(node) = node.child(name.as_str()) else { continue };
        let number = partition_number(disk, &name);
        let at = found.partition_point(|(before, _, _)| *before <= number);
        found.insert(at, (number, node, name));
    }
    for (_, node, name) in found {
        add_volume(snapshot, drive, &node, &name, VolumeKind::Partition, &on);
    }
}

/// `sdb12` → 12, `mmcblk0p1` → 1. `mmcblk0boot0` is a disk of its own.
pub fn partition_number(disk: &str, name: &str) -> Option<u32> {
    let rest = name.strip_prefix(disk)?;
    rest.strip_prefix('p').unwrap_or(rest).parse().ok()
}

/// Adds a volume, and whatever lies on it after it.
fn add_volume(
    snapshot: &Snapshot,
    drive: &mut Drive,
    node: &SysfsDir,
    name: &str,
    kind: VolumeKind,
    on: &[String],
) {
    let name = name.replace('!', "/");
    if let Some(known) = drive.volumes.iter_mut().find(|v| v.name == name) {
        // An array or a logical volume that lies on several partitions is met once on each.
        let more: Vec<String> = on.iter().filter(|n| !known.parents.contains(n)).cloned().collect();
        known.parents.extend(more);
        return;
    }
    // What is known of the disk is not read again for the volume that it is.
    let of_disk = (kind == VolumeKind::Disk).then_some(&*drive);
    let device = of_disk.map_or_else(|| node.device(), |disk| Some(disk.id.device));
    let Some(device) = device else { return };
    let size = of_disk.and_then(|disk| disk.size).or_else(|| node.size());
    let read_only = drive.read_only || (of_disk.is_none() && node.flag("ro"));
    let path = PathBuf::from(format!("/dev/{name}"));
    let mounts = snapshot.mounts_of(device);
    let members = snapshot.members_with(device);
    let stacked = node.names_in("holders");
    let swaps = snapshot.swaps.iter().filter(|(on, _)| *on == device).map(|(_, path)| path.clone());
    // A partition has that of its disk.
    let generation = match (of_disk, kind) {
        (Some(disk), _) => Some(disk.id.generation),
        (_, VolumeKind::Partition) => node.number("../diskseq"),
        _ => node.number("diskseq"),
    };
    drive.volumes.push(Volume {
        name: name.clone(),
        path,
        device,
        generation: generation.unwrap_or(0),
        kind,
        parents: on.to_vec(),
        other_members: members
            .iter()
            .filter(|m| m.device != device)
            .map(|m| m.name.clone())
            .collect(),
        servers: Vec::new(),
        swaps: swaps.collect(),
        label: None,
        uuid: None,
        file_system: mounts.first().map(|m| m.file_system.clone()),
        size,
        read_only,
        unwritten: None,
        mounts,
    });
    for holder in stacked {
        let Ok(node) = SysfsDir::open(format!("/sys/block/{holder}")) else { continue };
        let kind = mapping_kind(&node);
        // All that it lies on, other drives' parts among it.
        let below = node.present_slaves().iter().map(|n| n.replace('!', "/")).collect::<Vec<_>>();
        let on = if below.contains(&name) { below } else { vec![name.clone()] };
        add_volume(snapshot, drive, &node, &holder, kind, &on);
    }
    if kind != VolumeKind::Disk && kind != VolumeKind::Partition {
        partitions_of(snapshot, drive, node, &name);
    }
    add_loops(snapshot, drive, device, &name);
}

/// Adds the loop devices over files on this device, and everything on them.
fn add_loops(snapshot: &Snapshot, drive: &mut Drive, device: u64, name: &str) {
    // The running system's own file system is never released, whatever images lie on it.
    let loops: Vec<&LoopDevice> = match carries_system(drive) {
        true => Vec::new(),
        false => snapshot.loops_on(device).collect(),
    };
    for attached in loops {
        let Ok(node) = SysfsDir::open(format!("/sys/block/{}", attached.name)) else { continue };
        add_volume(snapshot, drive, &node, &attached.name, VolumeKind::Loop, &[name.to_string()]);
    }
}

fn carries_system(drive: &Drive) -> bool {
    drive.volumes.iter().flat_map(|v| &v.mounts).any(|m| system_mounts::is_system(&m.path))
}

/// Adds one volume that a program serves from the drive, with everything on it.
fn add_served(snapshot: &Snapshot, drive: &mut Drive) {
    let next = (!carries_system(drive)).then(|| served::next(snapshot, drive)).flatten();
    let Some(ServedVolume { served, parents }) = next else { return };
    let first = drive.volumes.len();
    match served {
        Served::FileSystem(device, _) => {
            let Some(volume) = served::fuse_volume(snapshot, *device, parents) else { return };
            let name = volume.name.clone();
            drive.volumes.push(volume);
            add_loops(snapshot, drive, *device, &name);
        }
        Served::Device(name) => {
            let Ok(node) = SysfsDir::open(format!("/sys/block/{name}")) else { return };
            add_volume(snapshot, drive, &node, name, VolumeKind::Nbd, &parents);
        }
    }
    let Some(volume) = drive.volumes.get_mut(first) else { return };
    let serves = |other: &&Server| other.is_level(served) && other.serves.contains(served);
    volume.servers = snapshot.servers.iter().filter(serves).map(|other| other.pid).collect();
}

/// The partitions of an array or of an image, which are volumes of their own.
fn partitions_of(snapshot: &Snapshot, drive: &mut Drive, node: &SysfsDir, name: &str) {
    // A directory that was read is read to its end: this one is new.
    let names = node.names_in(".");
    for part in names.iter().filter(|part| partition_number(name, part).is_some()) {
        let Ok(node) = node.child(part.as_str()) else { continue };
        let on = [name.to_string()];
        add_volume(snapshot, drive, &node, part, VolumeKind::Partition, &on);
    }
}

/// A file system over several devices may be mounted under the name of one on another drive: its mounts
/// are the first volume's here then.
fn adopt_mounts(snapshot: &Snapshot, drive: &mut Drive) {
    for at in 0..drive.volumes.len() {
        let members = snapshot.members_with(drive.volumes[at].device);
        let here = |v: &Volume| members.iter().any(|m| m.device == v.device);
        if members.is_empty() || drive.volumes.iter().any(|v| here(v) && !v.mounts.is_empty()) {
            continue;
        }
        drive.volumes[at].mounts =
            members.iter().flat_map(|m| snapshot.mounts_of(m.device)).collect();
    }
}

/// Puts each file system above the volume of this drive that has its log.
fn add_logs(snapshot: &Snapshot, drive: &mut Drive, helper: &Helper) {
    if drive.volumes.iter().all(|volume| !volume.mounts.is_empty()) {
        return;
    }
    for at in 0..drive.volumes.len() {
        let mount = drive.volumes[at].mounts.first();
        let Some(line) = mount.and_then(|mount| snapshot.mounts.get(mount.id)) else { continue };
        for path in external_logs::of_mount(line) {
            let device = device_of(&path, helper);
            let log = drive.volumes.iter().find(|volume| Some(volume.device) == device);
            let parent = log.map(|log| log.name.clone());
            drive.volumes[at].parents.extend(parent);
        }
    }
}

/// Adds the overlays with a layer on a mount of this drive, overlays on those, and the images in them.
///
/// An overlay pins the file systems of its layers, whether or not they are still mounted.
fn add_overlays(snapshot: &Snapshot, drive: &mut Drive) {
    if !drive.is_mounted() {
        return;
    }
    let table = &snapshot.mounts;
    let mut overlays: Vec<(&MountInfo, Vec<u64>)> = table
        .iter()
        .filter_map(|line| Some((line, overlay_options::layer_mounts(table, line)?)))
        .collect();
    if overlays.is_empty() {
        return;
    }
    let mut mounts_of_device: HashMap<u64, Vec<&MountInfo>> = HashMap::new();
    for (line, _) in &overlays {
        mounts_of_device.entry(line.device).or_default().push(line);
    }
    let mut known: HashSet<u64> = drive.volumes.iter().map(|v| v.device).collect();
    let volumes = drive.volumes.iter().enumerate();
    let mut volume_of: HashMap<u64, usize> =
        volumes.flat_map(|(at, v)| v.mounts.iter().map(move |mount| (mount.id, at))).collect();
    let first = drive.volumes.len();
    // An overlay may be listed before the overlay that it has a layer on.
    loop {
        let before = drive.volumes.len();
        overlays.retain(|(line, layers)| {
            let mut on: Vec<usize> =
                layers.iter().filter_map(|id| volume_of.get(id).copied()).collect();
            if on.is_empty() || !known.insert(line.device) {
                return on.is_empty() && !known.contains(&line.device);
            }
            on.sort_unstable();
            on.dedup();
            let parents = on.iter().map(|at| drive.volumes[*at].name.clone()).collect();
            let lines = mounts_of_device.get(&line.device).map_or(&[][..], Vec::as_slice);
            let mounts: Vec<Mount> = lines.iter().map(|line| table.to_mount(line)).collect();
            volume_of.extend(mounts.iter().map(|mount| (mount.id, drive.volumes.len())));
            drive.volumes.push(volume_of_mount(line, VolumeKind::Overlay, parents, mounts));
            false
        });
        if drive.volumes.len() == before {
            break;
        }
    }
    for at in first..drive.volumes.len() {
        let (device, name) = (drive.volumes[at].device, drive.volumes[at].name.clone());
        add_loops(snapshot, drive, device, &name);
    }
}

/// The kernel counts for a whole disk, not for each partition: what it tells is a volume's own only
/// where no other one of the disk is mounted. A mapping has counters of its own.
fn count_unwritten(drive: &mut Drive) {
    let of_disk = |v: &Volume| matches!(v.kind, VolumeKind::Disk | VolumeKind::Partition);
    let mounted = |v: &&Volume| of_disk(v) && !v.mounts.is_empty();
    let alone = drive.volumes.iter().filter(mounted).count() == 1;
    let (disk, read_only) = (drive.id.device, drive.read_only);
    // What an overlay has in the cache is counted for the file systems below it.
    let own = |v: &&mut Volume| v.kind.has_node() && !v.mounts.is_empty();
    for volume in drive.volumes.iter_mut().filter(|v| !read_only && own(v)) {
        volume.unwritten = match of_disk(volume) {
            true if alone => writeback::unwritten(disk),
            true => None,
            false => writeback::unwritten(volume.device),
        };
    }
}

/// Returns the kind of a stacked device. `dm/uuid` begins with its creator (`CRYPT-LUKS2-…`, `LVM-…`).
fn mapping_kind(node: &SysfsDir) -> VolumeKind {
    match node.text("dm/uuid") {
        Some(uuid) if uuid.starts_with("CRYPT-") => VolumeKind::Crypt,
        Some(uuid) if uuid.starts_with("LVM-") => VolumeKind::Lvm,
        Some(_) => VolumeKind::Mapping,
        None if node.child("dm").is_ok() => VolumeKind::Mapping,
        None if node.child("md").is_ok() => VolumeKind::Raid,
        None if node.child("loop").is_ok() => VolumeKind::Loop,
        None => VolumeKind::Other,
    }
}

/// The other drives of the same port, which a power-off takes along: LUNs of a USB device, namespaces
/// and functions of what is in a slot.
fn siblings(snapshot: &Snapshot, place: &BlockDevice, port: &Port) -> Vec<String> {
    // Each logical unit of a SCSI host goes alone.
    if matches!(port, Port::Scsi(_)) {
        return Vec::new();
    }
    let others = snapshot.disks_at(port).filter(|other| other.disk != place.disk);
    others.map(|other| other.disk.replace('!', "/")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_from_other_disks() {
        assert_eq!(partition_number("sdb", "sdb12"), Some(12));
        assert_eq!(partition_number("mmcblk0", "mmcblk0p2"), Some(2));
        assert_eq!(partition_number("mmcblk0", "mmcblk0boot0"), None);
        assert_eq!(partition_number("sdb", "sdb"), None);
    }
}
