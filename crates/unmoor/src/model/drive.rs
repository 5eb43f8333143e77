//! Drives, media, volumes and mounts: plain data, a picture of one moment.
//!
//! Nothing here talks to the system. A [`Drive`] comes from [`Platform::list`] or
//! [`Platform::resolve`] and tells what was there then; the procedure checks again at every step.
//!
//! [`Platform::list`]: crate::platform::Platform::list
//! [`Platform::resolve`]: crate::platform::Platform::resolve

use crate::model::volume::Volume;
use std::fmt;
use std::path::PathBuf;

/// What a drive is bound to: a name can be given to another device a second later, this cannot.
///
/// Linux: the kernel's `diskseq` (`BLKGETDISKSEQ`, Linux 5.15), a number never given twice between
/// boots. Windows: the device's instance path, hashed by the platform. Simulated: a serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DriveId {
    /// The device number (`major << 32 | minor` on Linux, the storage device number on Windows).
    pub device: u64,
    /// What tells this device from the next one with the same number; 0 where the system has none.
    pub generation: u64,
}

/// The device that holds or takes a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drive {
    /// What the drive is bound to.
    pub id: DriveId,
    /// Short name: `sdb`, `sr0`, `E:`, `sim:stick`.
    pub name: String,
    /// Where the system keeps it: `/dev/sdb`, `\\.\PhysicalDrive2`.
    pub path: PathBuf,
    /// What sort of drive it is.
    pub kind: DriveKind,
    /// How it is attached.
    pub bus: Bus,
    /// Vendor, as the drive says. Text from a stranger: escape it before it is shown.
    pub vendor: Option<String>,
    /// Model, as the drive says. Text from a stranger.
    pub model: Option<String>,
    /// Serial number, as the drive says. Text from a stranger.
    pub serial: Option<String>,
    /// Size of the medium in bytes; `None` or 0 where there is none.
    pub size: Option<u64>,
    /// The medium can leave the drive (a disc, a card, a USB stick that calls itself removable).
    pub removable: bool,
    /// The drive can leave the machine while it runs (USB, card readers, hot-plug SATA).
    pub hotplug: bool,
    /// Nothing can be written to it.
    pub read_only: bool,
    /// Is there a medium in it.
    pub medium: Medium,
    /// What the running system uses the drive for. A drive with any use but swap is never released.
    pub system_uses: Vec<SystemUse>,
    /// Loop devices: the image file.
    pub backing_file: Option<PathBuf>,
    /// Names of the other drives of the same device (a card reader's slots, the "virtual CD" beside a
    /// disk): what a power-off would take along.
    pub siblings: Vec<String>,
    /// Where it is plugged in, as [`Target::Port`](crate::Target::Port) names it (`usb:1-4.1`): what
    /// [`attach`](crate::attach) takes after a power-off. `None` where nothing brings it back.
    pub port: Option<String>,
    /// Everything on it that has or can have a file system, and what is stacked on that. What lies on
    /// something else comes after it: undo the list from its end.
    pub volumes: Vec<Volume>,
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
        }
    }

    /// Is any volume of it mounted.
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

    /// The volume of this name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|v| v.name == name)
    }

    /// Bytes in the cache that the drive does not have yet, where the system tells.
    pub fn unwritten(&self) -> Option<u64> {
        let mut sum = None;
        for bytes in self.volumes.iter().filter_map(|v| v.unwritten) {
            sum = Some(sum.unwrap_or(0) + bytes);
        }
        sum
    }
}

/// What the running system uses a drive for.
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

/// A place that a drive can be plugged into, with something in it that the system does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Port {
    /// Its name: `usb:1-4.1`.
    pub name: String,
    /// On which bus.
    pub bus: Bus,
}

impl Port {
    /// Returns the port of this name.
    pub fn new(name: impl Into<String>, bus: Bus) -> Self {
        Port { name: name.into(), bus }
    }
}

/// What sort of drive it is, which decides how its medium is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DriveKind {
    /// CD, DVD, Blu-ray: a tray or a slot.
    Optical,
    /// A disk, whatever is inside: USB stick, hard disk, SSD, ZIP.
    Disk,
    /// An SD card or eMMC on a host controller of its own (`mmcblk0`): no eject by command.
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

/// How a drive is attached.
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
    /// No hardware: loop devices, simulated drives, mounted images.
    Virtual,
    /// Anything else.
    Other,
}

/// Is there a medium in the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Medium {
    /// Yes.
    Present,
    /// No; the drive is closed, or has no tray.
    Absent,
    /// The tray is open.
    TrayOpen,
    /// The drive does not say, or was not asked.
    Unknown,
}

/// What the verification of a release saw.
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
    /// The drive does not say.
    Unknown,
}

impl Presence {
    /// What was seen, in words.
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
    fn unwritten_bytes_are_unknown_unless_some_volume_tells() {
        assert_eq!(drive().unwritten(), None);
    }
}
