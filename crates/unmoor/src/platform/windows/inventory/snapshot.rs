//! Volumes and drives at one moment. Volumes come first, since every user may list them; then the drives
//! that their drivers name.

use crate::platform::win32_parse;
use crate::platform::win32_parse::{
    DeviceNumber, FILE_DEVICE_CD_ROM, FILE_DEVICE_DISK, FILE_DEVICE_DVD,
};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::devnode::Disk;
use crate::platform::windows::sys::volumes::DriveType;
use crate::platform::windows::sys::{devnode, storage, volumes};
use std::ffi::OsString;

/// Identity of a drive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum DriveKey {
    /// Device with a number: `FILE_DEVICE_DISK` 2 is `PhysicalDrive2`.
    Device { kind: u32, number: u32 },
    /// Volume whose driver does not name its device: its kernel name or its path.
    Alone(String),
}

impl DriveKey {
    /// Returns the name in the Win32 device namespace, without `\\.\`.
    pub(crate) fn device_name(&self) -> Option<String> {
        match *self {
            DriveKey::Device { kind: FILE_DEVICE_DISK, number } => {
                Some(format!("PhysicalDrive{number}"))
            }
            DriveKey::Device { kind: FILE_DEVICE_CD_ROM, number } => Some(format!("CdRom{number}")),
            _ => None,
        }
    }

    /// Returns the key of such a name.
    pub(crate) fn of_device_name(name: &str) -> Option<DriveKey> {
        let split = name.find(|c: char| c.is_ascii_digit())?;
        let number = name[split..].parse().ok()?;
        let kind = match name[..split].to_ascii_lowercase().as_str() {
            "physicaldrive" | "harddisk" => FILE_DEVICE_DISK,
            "cdrom" => FILE_DEVICE_CD_ROM,
            _ => return None,
        };
        Some(DriveKey::Device { kind, number })
    }

    /// Returns the key of a device number.
    pub(crate) fn of_number(number: DeviceNumber) -> DriveKey {
        let kind = match number.kind {
            FILE_DEVICE_DVD => FILE_DEVICE_CD_ROM,
            kind => kind,
        };
        DriveKey::Device { kind, number: number.number }
    }

    pub(crate) fn is_optical(&self) -> bool {
        matches!(self, DriveKey::Device { kind: FILE_DEVICE_CD_ROM, .. })
    }
}

/// Volume, without what only its file system knows.
#[derive(Debug, Clone)]
pub(crate) struct VolumeInfo {
    /// `\\?\Volume{…}\`.
    pub guid: Option<String>,
    /// `\Device\HarddiskVolume5`.
    pub kernel: Option<String>,
    /// `E:\`, `C:\Mount\Card\`: letters first.
    pub mounts: Vec<OsString>,
    pub drive_type: DriveType,
    /// Drives of the volume: one, or all disks of a spanned, striped or mirrored volume.
    pub keys: Vec<DriveKey>,
    /// The volume is a partition, not a whole drive.
    pub partition: bool,
    /// Number of the partition on its disk.
    pub partition_number: Option<u32>,
}

impl VolumeInfo {
    /// Returns the drive letter: `E:`.
    pub(crate) fn letter(&self) -> Option<String> {
        self.mounts.iter().find_map(|mount| letter_of(&mount.to_string_lossy()))
    }

    /// Returns the short name: `E:`, or the last part of the kernel name.
    pub(crate) fn name(&self) -> String {
        self.letter()
            .or_else(|| self.kernel.as_deref().map(|k| win32_parse::kernel_base(k).to_string()))
            .or_else(|| self.guid.clone())
            .unwrap_or_else(|| "volume".into())
    }

    /// Returns the path to open: `\\.\E:`, or `\\?\Volume{…}` (with a final `\` that would be its root
    /// folder). In Wine 8.0 only the letter leads to the device.
    pub(crate) fn path(&self) -> String {
        match (&self.guid, self.letter()) {
            (_, Some(letter)) => format!(r"\\.\{letter}"),
            (Some(guid), None) => guid.trim_end_matches('\\').to_string(),
            (None, None) => self.name(),
        }
    }

    /// Returns the root folder. Opening it mounts the volume.
    pub(crate) fn root(&self) -> String {
        match (&self.guid, self.letter()) {
            (Some(guid), _) => guid.clone(),
            (None, Some(letter)) => format!(r"{letter}\"),
            (None, None) => self.name(),
        }
    }

    /// Returns true for the volume of a floppy drive.
    pub(crate) fn is_floppy(&self) -> bool {
        self.kernel.as_deref().is_some_and(win32_parse::is_floppy)
    }

    /// Returns true if this is its letter, mount point, volume name or kernel name, in any case and with or
    /// without a final `\`.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        let bare = |text: &str| text.trim_end_matches('\\').to_lowercase();
        let name = bare(name);
        let guid = self.guid.iter().any(|guid| bare(guid) == name);
        let kernel = self.kernel.iter().any(|kernel| bare(kernel) == name);
        guid || kernel || self.mounts.iter().any(|m| bare(&m.to_string_lossy()) == name)
    }
}

/// Returns `E:` for `E:\`, and `None` for a folder.
fn letter_of(mount: &str) -> Option<String> {
    let short = mount.trim_end_matches('\\');
    (short.len() == 2 && short.ends_with(':')).then(|| short.to_ascii_uppercase())
}

/// Returns every volume, and every drive letter without one.
pub(crate) fn volumes() -> Vec<VolumeInfo> {
    let mut found: Vec<VolumeInfo> = volumes::all().into_iter().map(by_guid).collect();
    for letter in volumes::letters() {
        let letter = format!("{letter}:");
        if !found.iter().any(|volume| volume.has_name(&letter)) {
            found.extend(by_letter(&letter));
        }
    }
    found
}

fn by_guid(guid: String) -> VolumeInfo {
    let mut mounts = volumes::mount_points(&guid);
    mounts.sort_by_key(|mount| mount.len());
    let device = guid.trim_end_matches('\\');
    let kernel = volumes::kernel_name(device.trim_start_matches(r"\\?\"));
    let drive_type = volumes::drive_type(mounts.first().unwrap_or(&OsString::from(&guid)));
    complete(Some(guid), kernel, mounts, drive_type)
}

/// Returns the volume of a letter, unless the letter is of the network or of `subst`.
fn by_letter(letter: &str) -> Option<VolumeInfo> {
    let root = format!(r"{letter}\");
    let drive_type = volumes::drive_type(&root);
    let kernel = volumes::kernel_name(letter);
    if drive_type == DriveType::Remote || substituted(letter).is_some() {
        return None;
    }
    Some(complete(None, kernel, vec![root.into()], drive_type))
}

/// Returns the folder that `subst` gave a letter. The kernel name of such a letter is a path.
pub(crate) fn substituted(letter: &str) -> Option<String> {
    let kernel = volumes::kernel_name(letter)?;
    let path = kernel.strip_prefix(r"\??\")?;
    path.as_bytes().get(1).is_some_and(|&b| b == b':').then(|| path.to_string())
}

fn complete(
    guid: Option<String>,
    kernel: Option<String>,
    mounts: Vec<OsString>,
    drive_type: DriveType,
) -> VolumeInfo {
    let alone = guid.clone().or_else(|| kernel.clone()).unwrap_or_default();
    let mut volume = VolumeInfo {
        guid,
        kernel,
        mounts,
        drive_type,
        keys: vec![DriveKey::Alone(alone)],
        partition: false,
        partition_number: None,
    };
    if volume.is_floppy() {
        return volume;
    }
    // Wine's mount manager, behind the volume's name, knows what sort of drive it is; the device behind
    // the letter takes everything for a disk. On Windows both are the same device.
    let name = volume.guid.as_deref().map(|guid| guid.trim_end_matches('\\').to_string());
    let ways = name.into_iter().chain([volume.path().to_string()]);
    let devices: Vec<Device> =
        ways.filter_map(|way| Device::open(way, Access::Query).ok()).collect();
    // A volume over several disks has no device number, but extents; a CD has only a number.
    if let Some(number) = devices.iter().find_map(storage::device_number) {
        volume.keys = vec![DriveKey::of_number(number)];
        volume.partition = number.partition.is_some();
        volume.partition_number = number.partition;
    } else if let Some(disks) = devices.iter().find_map(storage::disks) {
        let key = |number| DriveKey::Device { kind: FILE_DEVICE_DISK, number };
        volume.keys = disks.into_iter().map(key).collect();
        volume.partition = true;
    }
    volume
}

/// Volumes and device nodes, those of drives without volumes included.
pub(crate) struct Inventory {
    pub volumes: Vec<VolumeInfo>,
    pub disks: Vec<Disk>,
}

impl Inventory {
    pub(crate) fn take() -> Inventory {
        Inventory { volumes: volumes(), disks: devnode::disks() }
    }

    /// Returns every drive, those with volumes first.
    pub(crate) fn keys(&self) -> Vec<DriveKey> {
        let of_volumes = self.volumes.iter().flat_map(|volume| volume.keys.clone());
        let of_disks = self.disks.iter().map(|disk| DriveKey::of_number(disk.number));
        let mut keys: Vec<DriveKey> = Vec::new();
        for key in of_volumes.chain(of_disks) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// Returns the volumes of a drive, those that lie on other drives as well included.
    pub(crate) fn on<'i>(&'i self, key: &DriveKey) -> Vec<&'i VolumeInfo> {
        self.volumes.iter().filter(|volume| volume.keys.contains(key)).collect()
    }

    /// Returns the device node of a drive.
    pub(crate) fn disk(&self, key: &DriveKey) -> Option<&Disk> {
        self.disks.iter().find(|disk| DriveKey::of_number(disk.number) == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_and_keys_are_each_others_mirror() {
        for name in ["PhysicalDrive0", "PhysicalDrive12", "CdRom1"] {
            let key = DriveKey::of_device_name(name).unwrap();
            assert_eq!(key.device_name().as_deref(), Some(name));
        }
        assert_eq!(DriveKey::of_device_name("PhysicalDrive99999999999"), None);
        assert_eq!(DriveKey::of_device_name("Volume1"), None);
    }

    #[test]
    fn a_volume_answers_to_its_names_in_any_case() {
        let volume = VolumeInfo {
            guid: Some(r"\\?\Volume{AB}\".into()),
            kernel: Some(r"\Device\CdRom0".into()),
            mounts: vec![r"D:\".into(), r"C:\Mount\Card\".into()],
            drive_type: DriveType::Optical,
            keys: vec![DriveKey::Alone(String::new())],
            partition: false,
            partition_number: None,
        };
        for name in ["d:", r"D:\", r"c:\mount\card", r"\\?\volume{ab}", r"\device\cdrom0\"] {
            assert!(volume.has_name(name), "{name}");
        }
        assert!(!volume.has_name("E:") && !volume.has_name(""));
        assert_eq!((volume.name().as_str(), volume.path().as_str()), ("D:", r"\\.\D:"));
    }
}
