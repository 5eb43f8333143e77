//! Drives and their media: plain data, a snapshot of one moment.
//!
//! A [`Drive`] comes from [`Platform::list`] or [`Platform::resolve`]. A release checks it again at
//! every step.
//!
//! [`Platform::list`]: crate::platform::Platform::list
//! [`Platform::resolve`]: crate::platform::Platform::resolve

#[cfg(feature = "serde")]
use crate::model::serialize;
use crate::model::volume::Volume;
use std::fmt;
use std::path::PathBuf;

/// Identity of a drive. Its name may belong to another device a second later; its identity never does.
///
/// Linux: the kernel's `diskseq` (`BLKGETDISKSEQ`, Linux 5.15), which is unique between boots. Windows: a
/// hash of the device instance path. Simulated: a serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DriveId {
    /// Device number: `major << 32 | minor` (Linux), storage device number (Windows).
    pub device: u64,
    /// Number that tells devices with the same device number apart.
    ///
    /// 0 if the system has none.
    pub generation: u64,
}

/// A device that holds a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Drive {
    /// Identity of the device.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub id: DriveId,
    /// Short name: `sdb`, `sr0`, `E:`, `sim:stick`.
    pub name: String,
    /// Path in the system: `/dev/sdb`, `\\.\PhysicalDrive2`.
    #[cfg_attr(feature = "serde", serde(flatten, serialize_with = "serialize::path"))]
    pub path: PathBuf,
    /// Kind of the drive.
    pub kind: DriveKind,
    /// Bus that the drive is attached to.
    pub bus: Bus,
    /// Vendor, as the drive reports it. Text from a stranger: escape it for a terminal.
    pub vendor: Option<String>,
    /// Model, as the drive reports it. Text from a stranger.
    pub model: Option<String>,
    /// Serial number, as the drive reports it. Text from a stranger.
    pub serial: Option<String>,
    /// Size of the medium in bytes; `None` or 0 without a medium.
    pub size: Option<u64>,
    /// True if the medium can leave the drive.
    ///
    /// Discs, cards, and USB sticks that report themselves as removable can.
    pub removable: bool,
    /// True if the drive can leave the running machine: USB, hot-plug SATA.
    pub hotplug: bool,
    /// True if nothing can be written to the drive.
    pub read_only: bool,
    /// Medium in the drive.
    pub medium: Medium,
    /// Uses of the drive by the running system. With any use but swap, it is never released.
    #[cfg_attr(feature = "serde", serde(rename = "system", serialize_with = "serialize::display"))]
    pub system_uses: Vec<SystemUse>,
    /// Image file of a loop device.
    #[cfg_attr(feature = "serde", serde(flatten, serialize_with = "serialize::backing_file"))]
    pub backing_file: Option<PathBuf>,
    /// Names of the other drives of the same device, which a power-off takes along.
    ///
    /// These are a card reader's slots, or the "virtual CD" beside a disk.
    pub siblings: Vec<String>,
    /// Port that the drive is plugged into (`usb:1-4.1`), a [`Target::Port`](crate::Target::Port).
    ///
    /// [`attach`](crate::attach) takes it after a power-off. `None` if the drive cannot be reattached.
    pub port: Option<String>,
    /// Volumes on the drive, and those stacked on them.
    ///
    /// A volume comes after those it lies on: take the list down from its end.
    pub volumes: Vec<Volume>,
    /// Name of the volume that alone is meant ([`Drive::only_volume`]), and those that are left out.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub selection: Option<Selection>,
}

/// One volume of a drive, which alone is dismounted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// Name of the volume.
    pub volume: String,
    /// Names of the other volumes of the drive, which stay as they are.
    pub left_out: Vec<String>,
}

impl DriveId {
    /// Returns the identity of the device with this number.
    pub fn new(device: u64, generation: u64) -> Self {
        DriveId { device, generation }
    }
}

impl Drive {
    /// Returns a drive of which nothing more is known.
    pub fn new(
        id: DriveId,
        name: impl Into<String>,
        path: impl Into<PathBuf>,
        kind: DriveKind,
        bus: Bus,
    ) -> Self {
        Drive {
            id,
            name: name.into(),
            path: path.into(),
            kind,
            bus,
            vendor: None,
            model: None,
            serial: None,
            size: None,
            removable: false,
            hotplug: false,
            read_only: false,
            medium: Medium::Unknown,
            system_uses: Vec::new(),
            backing_file: None,
            siblings: Vec::new(),
            port: None,
            volumes: Vec::new(),
            selection: None,
        }
    }

    /// Returns the drive with this volume alone, and what lies on it.
    ///
    /// The other members of its file system stay too (btrfs over several partitions). Swap counts only on these.
    #[must_use]
    pub fn only_volume(mut self, name: &str) -> Drive {
        let mut selected = vec![name.to_string()];
        loop {
            let known = selected.len();
            for volume in &self.volumes {
                let with_it = |names: &[String]| names.iter().any(|name| selected.contains(name));
                if !selected.contains(&volume.name)
                    && (with_it(&volume.parents) || with_it(&volume.other_members))
                {
                    selected.push(volume.name.clone());
                }
            }
            if selected.len() == known {
                break;
            }
        }
        let (volumes, others): (Vec<Volume>, Vec<Volume>) =
            self.volumes.into_iter().partition(|volume| selected.contains(&volume.name));
        self.volumes = volumes;
        self.system_uses.retain(|one| match one {
            SystemUse::Swap(volume) => selected.contains(volume),
            _ => true,
        });
        let left_out = others.into_iter().map(|volume| volume.name).collect();
        self.selection = Some(Selection { volume: name.into(), left_out });
        self
    }

    /// Returns true if the volume of this name is on the drive, selected or not.
    pub fn has_volume(&self, name: &str) -> bool {
        let left_out = |one: &Selection| one.left_out.iter().any(|other| other == name);
        self.volume(name).is_some() || self.selection.as_ref().is_some_and(left_out)
    }

    /// Returns true if a volume of the drive is mounted.
    pub fn is_mounted(&self) -> bool {
        self.volumes.iter().any(|v| !v.mounts.is_empty())
    }

    /// Returns true if the running system needs the drive for more than swap.
    pub fn carries_system(&self) -> bool {
        self.system_uses.iter().any(|one| !matches!(one, SystemUse::Swap(_)))
    }

    /// Returns true if the running system swaps to the drive.
    pub fn carries_swap(&self) -> bool {
        self.system_uses.iter().any(|one| matches!(one, SystemUse::Swap(_)))
    }

    /// Returns [`Drive::system_uses`] for a message: `/, swap on sdb2`.
    pub fn system_description(&self) -> String {
        self.system_uses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Returns the volume of this name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|v| v.name == name)
    }

    /// Returns the bytes in the cache that are not on the drive yet.
    ///
    /// `None` if the system does not report them.
    pub fn unwritten(&self) -> Option<u64> {
        let mut sum = None;
        for bytes in self.volumes.iter().filter_map(|v| v.unwritten) {
            sum = Some(sum.unwrap_or(0) + bytes);
        }
        sum
    }
}

/// A use of a drive by the running system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SystemUse {
    /// A mount point without which the system does not run: `/`, `/boot`, `/usr`, `/efi` (Linux).
    Mount(PathBuf),
    /// Swap on the volume of this name (Linux). It can be switched off
    /// ([`Options::swapoff`](crate::Options::swapoff)).
    Swap(String),
    /// The volume of the Windows directory (`GetSystemWindowsDirectoryW`).
    Windows,
    /// A page file (Windows).
    PageFile,
    /// The partition that the system boots from (Windows).
    SystemPartition,
}

impl fmt::Display for SystemUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SystemUse::Mount(path) => path.display().fmt(f),
            SystemUse::Swap(volume) => write!(f, "swap on {volume}"),
            SystemUse::Windows => f.write_str("Windows"),
            SystemUse::PageFile => f.write_str("page file"),
            SystemUse::SystemPartition => f.write_str("system partition"),
        }
    }
}

/// A port with a device plugged in that the system does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Port {
    /// Name: `usb:1-4.1`.
    #[cfg_attr(feature = "serde", serde(rename = "port"))]
    pub name: String,
    /// Bus of the port.
    pub bus: Bus,
}

impl Port {
    /// Returns the port of this name.
    pub fn new(name: impl Into<String>, bus: Bus) -> Self {
        Port { name: name.into(), bus }
    }
}

/// Kind of a drive, which decides how its medium is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DriveKind {
    /// CD, DVD or Blu-ray drive, with a tray or a slot.
    Optical,
    /// USB stick, hard disk, SSD or ZIP drive.
    Disk,
    /// SD card or eMMC on its own host controller (`mmcblk0`), without a command to eject.
    Card,
    /// A loop device over an image file.
    Loop,
    /// A floppy drive.
    Floppy,
    /// A tape drive.
    Tape,
    /// A network block device (nbd).
    Network,
    /// Anything else.
    Other,
}

impl DriveKind {
    /// Returns the name of the kind in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            DriveKind::Optical => "optical",
            DriveKind::Disk => "disk",
            DriveKind::Card => "card",
            DriveKind::Loop => "loop",
            DriveKind::Floppy => "floppy",
            DriveKind::Tape => "tape",
            DriveKind::Network => "network",
            DriveKind::Other => "other",
        }
    }
}

/// Bus that a drive is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bus {
    /// USB (usb-storage or UAS).
    Usb,
    /// SCSI, SAS, Fibre Channel, iSCSI.
    Scsi,
    /// ATA and SATA.
    Ata,
    /// An SD/MMC host.
    Mmc,
    /// NVMe.
    Nvme,
    /// A virtual machine's virtio disk.
    Virtio,
    /// Thunderbolt.
    Thunderbolt,
    /// No hardware: loop devices, simulated drives, attached images.
    Virtual,
    /// Anything else.
    Other,
}

impl Bus {
    /// Returns the name of the bus in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Bus::Usb => "usb",
            Bus::Scsi => "scsi",
            Bus::Ata => "ata",
            Bus::Mmc => "mmc",
            Bus::Nvme => "nvme",
            Bus::Virtio => "virtio",
            Bus::Thunderbolt => "thunderbolt",
            Bus::Virtual => "virtual",
            Bus::Other => "other",
        }
    }
}

/// Medium in a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Medium {
    /// A medium.
    Present,
    /// No medium. The drive is closed or has no tray.
    Absent,
    /// The tray is open.
    TrayOpen,
    /// Unknown: the drive does not report it, or was not asked.
    Unknown,
}

impl Medium {
    /// Returns the name of the state in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Medium::Present => "present",
            Medium::Absent => "absent",
            Medium::TrayOpen => "tray-open",
            Medium::Unknown => "unknown",
        }
    }
}

/// State of a drive and its medium, as the drive itself reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Presence {
    /// The medium is there and can be read.
    Present,
    /// The medium is there and the drive has stopped (SCSI: not ready, initializing command required).
    Stopped,
    /// No medium.
    Absent,
    /// The tray is open.
    TrayOpen,
    /// The drive itself is gone.
    Gone,
    /// The drive does not report it.
    Unknown,
}

impl Presence {
    /// Returns the name of the state in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Presence::Present => "present",
            Presence::Stopped => "stopped",
            Presence::Absent => "absent",
            Presence::TrayOpen => "tray-open",
            Presence::Gone => "gone",
            Presence::Unknown => "unknown",
        }
    }
}

impl Presence {
    /// Returns the state in words.
    pub fn description(self) -> &'static str {
        match self {
            Presence::Present => "the medium is in it",
            Presence::Stopped => "the medium is in it, and the drive has stopped",
            Presence::Absent => "there is no medium in it",
            Presence::TrayOpen => "the tray is open",
            Presence::Gone => "the drive is gone",
            Presence::Unknown => "the drive does not say",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::*;

    /// A USB stick with nothing on it.
    pub(crate) fn drive() -> Drive {
        Drive {
            size: Some(1 << 20),
            removable: true,
            hotplug: true,
            medium: Medium::Present,
            ..Drive::new(DriveId::new(0, 0), "sdb", "/dev/sdb", DriveKind::Disk, Bus::Usb)
        }
    }

    /// A volume of this name on that one or on the drive, of which nothing more is known.
    pub(crate) fn volume(name: &str, on: &str) -> Volume {
        Volume { parents: vec![on.into()], ..Volume::new(name, name, VolumeKind::Partition) }
    }

    #[test]
    fn one_volume_comes_with_what_lies_on_it_and_without_the_others() {
        let mut stick = drive();
        stick.volumes = vec![
            volume("sdb1", "sdb"),
            volume("sdb2", "sdb"),
            volume("dm-0", "sdb2"),
            volume("dm-1", "dm-0"),
            volume("sdb3", "sdb"),
        ];
        stick.volumes[4].other_members = vec!["sdb1".into()];
        stick.volumes[0].other_members = vec!["sdb3".into()];
        stick.system_uses = vec![SystemUse::Swap("sdb1".into())];
        let names = |name: &str| {
            let one = stick.clone().only_volume(name);
            assert!(stick.volumes.iter().all(|volume| one.has_volume(&volume.name)));
            let names: Vec<&str> = one.volumes.iter().map(|volume| &*volume.name).collect();
            (names.join(" "), one.carries_swap())
        };
        assert_eq!(names("sdb2"), ("sdb2 dm-0 dm-1".into(), false));
        assert_eq!(names("dm-1"), ("dm-1".into(), false));
        assert_eq!(names("sdb1"), ("sdb1 sdb3".into(), true));
    }

    #[test]
    fn unwritten_bytes_are_unknown_unless_some_volume_tells() {
        assert_eq!(drive().unwritten(), None);
    }
}
