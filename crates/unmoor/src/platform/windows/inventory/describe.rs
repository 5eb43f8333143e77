//! Description of one drive: its type, medium, and volumes with their file systems.

use crate::model::drive::Bus;
use crate::model::drive::Drive;
use crate::model::drive::DriveId;
use crate::model::drive::DriveKind;
use crate::model::drive::Medium;
use crate::model::drive::SystemUse;
use crate::model::volume::Mount;
use crate::model::volume::Volume;
use crate::model::volume::VolumeKind;
use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, FILE_DEVICE_DISK};
use crate::platform::windows::inventory::file_system;
use crate::platform::windows::inventory::images;
use crate::platform::windows::inventory::snapshot::{DriveKey, Inventory, VolumeInfo};
use crate::platform::windows::inventory::system_volumes;
use crate::platform::windows::inventory::system_volumes::SystemVolumes;
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::devnode::Disk;
use crate::platform::windows::sys::volumes::DriveType;
use crate::platform::windows::sys::{devnode, storage};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

const ERROR_NOT_READY: Code = 21;
const ERROR_TIMEOUT: Code = 1460;

/// Returns the description of the drive.
pub(crate) fn describe(inventory: &Inventory, key: &DriveKey) -> Drive {
    describe_locked(inventory, key, &[])
}

/// Returns the description of the drive without querying the file systems of these volumes: a query would
/// mount a dismounted volume again.
pub(crate) fn describe_locked(inventory: &Inventory, key: &DriveKey, held: &[&str]) -> Drive {
    let found = inventory.on(key);
    let disk = inventory.disk(key);
    let (path, device) = open(key, disk, &found);
    let descriptor = device.as_ref().and_then(storage::descriptor);
    let hotplug = device.as_ref().and_then(storage::hotplug);
    let bus = descriptor.as_ref().map_or(Bus::Other, |d| d.bus);
    let image = match bus {
        Bus::Virtual => images::attached(inventory).into_iter().find(|image| image.key == *key),
        _ => None,
    };
    let kind = match (&image, bus) {
        (Some(_), _) => DriveKind::Loop,
        (None, Bus::Mmc) => DriveKind::Card,
        (None, _) => kind(key, &found),
    };
    let drive_type = found.iter().map(|v| v.drive_type).find(|t| *t != DriveType::Unknown);
    let removable = kind == DriveKind::Optical
        || drive_type == Some(DriveType::Removable)
        || descriptor.as_ref().is_some_and(|d| d.removable_media)
        || hotplug.is_some_and(|h| h.media_removable);
    let node = disk.map(|disk| disk.node);
    let name = name(key, &found);
    let spans = |v: &VolumeInfo| names_of_others(inventory, v, key);
    let volumes: Vec<Volume> = found
        .iter()
        .map(|v| Volume { other_members: spans(v), ..volume(v, &name, held) })
        .collect();
    let readable = volumes.iter().any(|v| v.file_system.is_some());
    let verified = device.clone().map(|device| verify(device).unwrap_or(Err(ERROR_TIMEOUT)));
    let medium = match verified {
        _ if readable => Medium::Present,
        // A disc that spins up is not ready; a drive without a medium says so.
        Some(Err(ERROR_NOT_READY)) if kind == DriveKind::Optical => Medium::Unknown,
        Some(result) => win32_parse::medium(result, removable),
        None => Medium::Unknown,
    };
    let protected = device.clone().and_then(|device| {
        file_system::answer(move || Ok(storage::write_protected(&device))).flatten()
    });
    Drive {
        id: id(key, disk, &found),
        path,
        kind,
        bus,
        vendor: descriptor.as_ref().and_then(|d| d.vendor.clone()),
        model: descriptor.as_ref().and_then(|d| d.product.clone()),
        serial: descriptor.as_ref().and_then(|d| d.serial.clone()),
        size: size(kind, device.as_ref(), &volumes),
        removable,
        // A SATA port that the BIOS calls hot-pluggable and a controller that a virtual machine calls
        // removable may be inside the case: neither makes a drive one that is unplugged.
        hotplug: descriptor.as_ref().is_some_and(|d| d.hotplug_bus)
            || node.is_some_and(devnode::DevNode::is_usb),
        read_only: match protected {
            Some(protected) if kind != DriveKind::Optical => protected,
            _ => readable && volumes.iter().all(|v| v.read_only),
        },
        medium,
        system_uses: needed_on(&found, &system_volumes::system_volumes()),
        backing_file: image.map(|image| image.path.into()),
        siblings: siblings(inventory, key),
        port: port(disk),
        volumes,
        selection: None,
        name,
    }
}

/// Returns the size of the medium. Many drivers make up the geometry of a disc, so that its file system
/// comes first.
fn size(kind: DriveKind, device: Option<&Device>, volumes: &[Volume]) -> Option<u64> {
    let disk = || {
        let device = device?.clone();
        file_system::answer(move || Ok(storage::size(&device))).flatten()
    };
    let volume = || volumes.iter().filter_map(|v| v.size).max();
    if kind == DriveKind::Optical { volume().or_else(disk) } else { disk().or_else(volume) }
}

/// Opens the drive, or else its volume, for queries.
pub(crate) fn open(
    key: &DriveKey,
    disk: Option<&Disk>,
    found: &[&VolumeInfo],
) -> (PathBuf, Option<Device>) {
    let named = key.device_name().map(|name| format!(r"\\.\{name}"));
    let mut ways: Vec<std::ffi::OsString> = named.iter().map(Into::into).collect();
    ways.extend(disk.map(|disk| disk.path.clone()));
    ways.extend(found.iter().map(|volume| volume.path().into()));
    let shown = ways.first().map(PathBuf::from).unwrap_or_default();
    (shown, ways.iter().find_map(|way| Device::open(way, Access::Query).ok()))
}

/// Returns the name of the drive: that of its only volume, unless the volume is on other drives too.
fn name(key: &DriveKey, found: &[&VolumeInfo]) -> String {
    match found {
        [only] if only.keys.len() == 1 => only.name(),
        _ => key.device_name().unwrap_or_else(|| "drive".into()),
    }
}

/// Returns the names of the other drives that the volume lies on.
fn names_of_others(inventory: &Inventory, volume: &VolumeInfo, key: &DriveKey) -> Vec<String> {
    let others = volume.keys.iter().filter(|other| *other != key);
    others.map(|other| name(other, &inventory.on(other))).collect()
}

fn kind(key: &DriveKey, found: &[&VolumeInfo]) -> DriveKind {
    match key {
        _ if key.is_optical() => DriveKind::Optical,
        _ if found.iter().any(|v| v.is_floppy()) => DriveKind::Floppy,
        DriveKey::Alone(_) if found.iter().any(|v| v.drive_type == DriveType::Optical) => {
            DriveKind::Optical
        }
        DriveKey::Device { kind: FILE_DEVICE_DISK, .. } => DriveKind::Disk,
        DriveKey::Device { .. } => DriveKind::Other,
        DriveKey::Alone(_) => DriveKind::Disk,
    }
}

fn id(key: &DriveKey, disk: Option<&Disk>, found: &[&VolumeInfo]) -> DriveId {
    let hash = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        value(&mut hasher);
        hasher.finish()
    };
    let instance = disk.and_then(|disk| disk.node.instance());
    let generation = match (&instance, found.first()) {
        (Some(instance), _) => hash(&|h| instance.hash(h)),
        (None, Some(volume)) => hash(&|h| (&volume.guid, &volume.kernel).hash(h)),
        (None, None) => 0,
    };
    let device = match key {
        DriveKey::Device { kind, number } => u64::from(*kind) << 32 | u64::from(*number),
        DriveKey::Alone(name) => hash(&|h| name.hash(h)),
    };
    DriveId { device, generation }
}

fn volume(found: &VolumeInfo, drive: &str, held: &[&str]) -> Volume {
    // A query mounts the file system, and waits for a disc that spins up. An empty floppy drive would
    // make noise.
    let ready = !held.contains(&&*found.name())
        && (!found.is_floppy()
            || Device::open(found.path(), Access::Query)
                .is_ok_and(|device| matches!(verify(device), Some(Ok(())))));
    let (system, size) = ready.then(|| file_system::of_volume(found)).flatten().unzip();
    let file_system = system.as_ref().map(|s| s.name.clone()).filter(|name| !name.is_empty());
    let read_only = system.as_ref().is_some_and(|s| s.read_only)
        || found.drive_type == DriveType::Optical
            && file_system.as_ref().is_some_and(|name| name != "UDF");
    let mounts = found.mounts.iter().enumerate().map(|(at, path)| Mount {
        path: path.into(),
        root: r"\".into(),
        file_system: file_system.clone().unwrap_or_default(),
        read_only,
        id: at as u64 + 1,
        parent: 0,
        covered_by: Vec::new(),
    });
    Volume {
        name: found.name(),
        path: found.path().into(),
        device: 0,
        generation: 0,
        kind: if found.partition { VolumeKind::Partition } else { VolumeKind::Disk },
        parents: vec![drive.to_string()],
        other_members: Vec::new(),
        servers: Vec::new(),
        swaps: Vec::new(),
        label: system.as_ref().and_then(|s| s.label.clone()),
        uuid: system.as_ref().and_then(|s| s.serial.clone()),
        size: size.flatten(),
        read_only,
        unwritten: None,
        // An empty drive keeps its letter; only a file system is mounted.
        mounts: if system.is_some() { mounts.collect() } else { Vec::new() },
        file_system,
    }
}

/// Returns whether there is a medium; `None` if the drive does not answer in time.
fn verify(device: Device) -> Option<Result<(), Code>> {
    file_system::answer(move || Ok(storage::check_verify(&device)))
}

fn needed_on(found: &[&VolumeInfo], needed: &[SystemVolumes]) -> Vec<SystemUse> {
    let mut what: Vec<SystemUse> = needed
        .iter()
        .filter(|needed| found.iter().any(|volume| volume.has_name(&needed.volume)))
        .map(|needed| needed.what.clone())
        .collect();
    what.dedup();
    what
}

/// Returns the USB port that the drive is plugged into, as [`Target::Port`](crate::Target::Port) names it.
fn port(disk: Option<&Disk>) -> Option<String> {
    let node = disk.filter(|disk| disk.node.is_usb())?.node.removal_node()?;
    node.location().map(|location| format!("usb:{location}"))
}

/// Returns the names of the other drives that leave with the same device.
fn siblings(inventory: &Inventory, key: &DriveKey) -> Vec<String> {
    let ancestor = |disk: &Disk| disk.node.removal_node();
    let Some(mine) = inventory.disk(key).and_then(ancestor) else { return Vec::new() };
    inventory
        .keys()
        .iter()
        .filter(|other| *other != key)
        .filter(|other| inventory.disk(other).and_then(ancestor) == Some(mine))
        .map(|other| name(other, &inventory.on(other)))
        .collect()
}

/// Returns true if the device tree has a device of this instance path.
pub(crate) fn is_present(instance: &str) -> bool {
    devnode::locate(instance).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(number: u32) -> DriveKey {
        DriveKey::Device { kind: FILE_DEVICE_DISK, number }
    }

    fn found(letter: &str, disks: &[u32]) -> VolumeInfo {
        VolumeInfo {
            guid: None,
            kernel: None,
            mounts: vec![format!(r"{letter}\").into()],
            drive_type: DriveType::Fixed,
            keys: disks.iter().map(|&number| disk(number)).collect(),
            partition: true,
            partition_number: None,
        }
    }

    #[test]
    fn a_volume_over_several_disks_is_on_each_of_them_and_names_the_others() {
        let volumes = vec![found("E:", &[71, 72]), found("F:", &[72]), found("G:", &[73])];
        let inventory = Inventory { volumes, disks: Vec::new() };
        assert_eq!(inventory.keys(), [disk(71), disk(72), disk(73)]);
        let pictures = [71, 72, 73].map(|number| describe(&inventory, &disk(number)));
        let spans = pictures.each_ref().map(|drive| {
            drive.volumes.iter().map(|volume| volume.other_members.clone()).collect::<Vec<_>>()
        });
        let of = |name: &str| vec![name.to_string()];
        assert_eq!(spans[0], [of("PhysicalDrive72")]);
        assert_eq!(spans[1], [of("PhysicalDrive71"), Vec::new()]);
        assert_eq!(spans[2], [Vec::<String>::new()]);
        let names = pictures.each_ref().map(|drive| drive.name.as_str());
        assert_eq!(names, ["PhysicalDrive71", "PhysicalDrive72", "G:"]);
        let options = crate::Options::default();
        let refused = |drive| {
            crate::policy::preconditions::check_exclusive(drive, &options).err().map(|e| e.kind())
        };
        assert_eq!(refused(&pictures[0]), Some(crate::ErrorKind::NotExclusive));
        assert_eq!(refused(&pictures[1]), Some(crate::ErrorKind::NotExclusive));
        assert_eq!(refused(&pictures[2]), None);
    }
}
