//! Resolution of a target: from a name to a drive.

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::model::target::Target;
use crate::platform::pattern::fits;
use crate::platform::win32_parse;
use crate::platform::win32_parse::{Container, FILE_DEVICE_DISK, Name, parse_name};
use crate::platform::windows::inventory::file_system;
use crate::platform::windows::inventory::snapshot::{DriveKey, Inventory, VolumeInfo, substituted};
use crate::platform::windows::inventory::usb_device;
use crate::platform::windows::sys::container_driver;
use crate::platform::windows::sys::current_directory;
use crate::platform::windows::sys::device::{Access, Device, exists};
use crate::platform::windows::sys::devnode::Disk;
use crate::platform::windows::sys::storage;
use crate::platform::windows::sys::volumes;
use crate::platform::windows::sys::volumes::DriveType;
use std::ffi::OsStr;

/// Returns the drive that `target` means.
pub(crate) fn resolve(inventory: &Inventory, target: &Target) -> Result<DriveKey> {
    let shown = target.to_string();
    match target {
        Target::Path(given) => by_name(inventory, given, &shown),
        Target::Label(label) => one_of(inventory, |volume| has_label(volume, label), &shown),
        Target::Uuid(serial) => {
            let hit = |v: &VolumeInfo| {
                let system = file_system::of_volume(v);
                system.and_then(|(s, _)| s.serial).is_some_and(|s| s.eq_ignore_ascii_case(serial))
            };
            one_of(inventory, hit, &shown)
        }
        Target::Port(_) => only(usb_device::drives(inventory, target), &shown),
        _ => Err(unknown(&shown).with_help("on Windows name it by letter, label or volume name")),
    }
}

fn by_name(inventory: &Inventory, given: &OsStr, shown: &str) -> Result<DriveKey> {
    match parse_name(&given.to_string_lossy()) {
        Name::Letter(letter) => by_letter(inventory, letter, shown),
        Name::Volume(name) => matching(inventory, &format!(r"\\?\{name}\"), shown),
        Name::Kernel(kernel) => by_kernel_name(inventory, &kernel, shown),
        Name::Device(name) => by_device_name(inventory, &name, shown),
        Name::Current => match current_directory::at_start() {
            Some(here) => by_path(inventory, here.as_os_str(), shown),
            None => {
                let why = "the current directory is gone";
                Err(Error::new(ErrorKind::NoSuchTarget, shown, why))
            }
        },
        Name::Program => {
            let program = std::env::current_exe()
                .map_err(|e| Error::new(ErrorKind::NoSuchTarget, shown, e.to_string()))?;
            by_path(inventory, program.as_os_str(), shown)
        }
        Name::Other if exists(current_directory::absolute(given).as_os_str()) => {
            by_path(inventory, current_directory::absolute(given).as_os_str(), shown)
        }
        Name::Other => {
            let target = Target::Path(given.to_os_string());
            match usb_device::drives(inventory, &target) {
                found if !found.is_empty() => only(found, shown),
                _ => only(fitting(inventory, &given.to_string_lossy()), shown),
            }
        }
        Name::Partition { disk, partition } => {
            let key = DriveKey::Device { kind: FILE_DEVICE_DISK, number: disk };
            // The volume of a removable medium has no number, and is the first partition.
            let on_it = |v: &&VolumeInfo| v.partition_number.unwrap_or(1) == partition;
            match inventory.on(&key).iter().any(on_it) {
                true => Ok(key),
                false => Err(unknown(shown)),
            }
        }
    }
}

/// Returns the drives that a word fits: by label, model, serial number or device name, as a pattern too.
fn fitting(inventory: &Inventory, word: &str) -> Vec<DriveKey> {
    let labelled = inventory.volumes.iter().filter(|volume| has_label(volume, word)).map(first_of);
    let is_it = |disk: &&Disk| {
        let device = Device::open(&disk.path, Access::Query).ok();
        let descriptor = device.as_ref().and_then(storage::descriptor);
        let name = DriveKey::of_number(disk.number).device_name();
        descriptor.is_some_and(|d| win32_parse::is_drive(word, &d))
            || name.is_some_and(|name| fits(word, &name))
    };
    let named = inventory.disks.iter().filter(is_it).map(|disk| DriveKey::of_number(disk.number));
    let mut found: Vec<DriveKey> = Vec::new();
    for key in labelled.chain(named) {
        if !found.contains(&key) {
            found.push(key);
        }
    }
    found
}

fn has_label(volume: &VolumeInfo, label: &str) -> bool {
    let system = file_system::of_volume(volume);
    system.and_then(|(s, _)| s.label).is_some_and(|own| fits(label, &own))
}

/// Returns the drive if there is exactly one.
fn only(found: Vec<DriveKey>, shown: &str) -> Result<DriveKey> {
    match found.as_slice() {
        [key] => Ok(key.clone()),
        [] => Err(unknown(shown)),
        several => {
            let names: Vec<String> = several.iter().filter_map(DriveKey::device_name).collect();
            let why = format!("several drives have this name: {}", names.join(", "));
            Err(Error::new(ErrorKind::InvalidTarget, shown, why).with_help("name one of them"))
        }
    }
}

fn by_letter(inventory: &Inventory, letter: char, shown: &str) -> Result<DriveKey> {
    let letter_name = format!("{letter}:");
    if let Some(folder) = substituted(&letter_name) {
        return by_path(inventory, OsStr::new(&folder), shown);
    }
    if volumes::drive_type(format!(r"{letter_name}\")) == DriveType::Remote {
        return Err(network(shown));
    }
    let mounted = container_driver::mounted();
    if let Some((program, found)) = mounted.iter().find(|(_, found)| found.letter == letter) {
        return Err(in_container(program, found, shown));
    }
    matching(inventory, &letter_name, shown)
}

fn by_kernel_name(inventory: &Inventory, kernel: &str, shown: &str) -> Result<DriveKey> {
    if let Ok(key) = matching(inventory, kernel, shown) {
        return Ok(key);
    }
    // `\Device\Harddisk2\DR2` is what `PhysicalDrive2` stands for.
    let same = |name: &String| {
        volumes::kernel_name(name).is_some_and(|behind| behind.eq_ignore_ascii_case(kernel))
    };
    volumes::dos_devices()
        .iter()
        .filter(|name| DriveKey::of_device_name(name).is_some())
        .find(|name| same(name))
        .map_or_else(|| Err(unknown(shown)), |name| by_device_name(inventory, name, shown))
}

fn by_device_name(inventory: &Inventory, name: &str, shown: &str) -> Result<DriveKey> {
    let key = DriveKey::of_device_name(name).ok_or_else(|| unknown(shown))?;
    if inventory.keys().contains(&key) {
        return Ok(key);
    }
    // Where drivers tell no numbers, the kernel name behind it may still be a volume's.
    match volumes::kernel_name(name) {
        Some(kernel) => matching(inventory, &kernel, shown),
        None => Err(unknown(shown)),
    }
}

/// Returns the drive of the volume that a path lies on.
pub(crate) fn by_path(inventory: &Inventory, path: &OsStr, shown: &str) -> Result<DriveKey> {
    // A letter of `subst` stands for a folder.
    let text = path.to_string_lossy();
    if let Some((letter, rest)) = text.split_at_checked(2)
        && letter.ends_with(':')
        && let Some(folder) = substituted(letter)
    {
        return by_path(inventory, OsStr::new(&format!("{folder}{rest}")), shown);
    }
    let root = volumes::mount_point_of(path)
        .map_err(|code| win32_parse::error(code, shown, "GetVolumePathName"))?;
    if volumes::drive_type(&root) == DriveType::Remote {
        return Err(network(shown));
    }
    let volume = volumes::name_of(&root);
    let name = volume.unwrap_or_else(|_| root.to_string_lossy().into_owned());
    matching(inventory, &name, shown)
        .or_else(|_| matching(inventory, &root.to_string_lossy(), shown))
}

fn matching(inventory: &Inventory, name: &str, shown: &str) -> Result<DriveKey> {
    let volume = inventory.volumes.iter().find(|volume| volume.has_name(name));
    volume.map(first_of).ok_or_else(|| unknown(shown))
}

/// Returns the only drive with such a volume.
fn one_of(
    inventory: &Inventory,
    hit: impl Fn(&VolumeInfo) -> bool,
    shown: &str,
) -> Result<DriveKey> {
    let hits: Vec<&VolumeInfo> = inventory.volumes.iter().filter(|volume| hit(volume)).collect();
    let first = hits.first().ok_or_else(|| unknown(shown))?;
    let key = first_of(first);
    if hits.iter().all(|volume| volume.keys.contains(&key)) {
        return Ok(key);
    }
    let names: Vec<String> = hits.iter().map(|volume| volume.name()).collect();
    let why = format!("several drives have this name: {}", names.join(", "));
    Err(Error::new(ErrorKind::InvalidTarget, shown, why).with_help("name one of them"))
}

/// Returns the drive of a volume. One that lies on several drives is refused later.
pub(crate) fn first_of(volume: &VolumeInfo) -> DriveKey {
    volume.keys.first().cloned().unwrap_or_else(|| DriveKey::Alone(volume.name()))
}

fn unknown(shown: &str) -> Error {
    Error::new(ErrorKind::NoSuchTarget, shortened(shown), "there is no such drive or volume")
        .with_hint(Hint::ListAllDrives)
}

fn in_container(program: &str, found: &Container, shown: &str) -> Error {
    let (words, command) = win32_parse::container(program, found.letter);
    let why = format!("lies in the {program} container {}", found.path());
    let help = command.map_or(words.clone(), |command| format!("{words}: {command}"));
    Error::new(ErrorKind::NotSupported, shortened(shown), why).with_help(help)
}

fn network(shown: &str) -> Error {
    Error::new(ErrorKind::NotSupported, shortened(shown), "is on the network, not on a drive here")
}

/// Returns at most 80 characters of a name.
fn shortened(shown: &str) -> String {
    match shown.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown.to_string(),
    }
}
