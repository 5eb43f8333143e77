//! Where a drive is plugged in: what a power-off takes off its bus there, and the name by which `attach`
//! finds the place again when the drive is gone.
//!
//! Each kind of port has a file in sysfs that takes a device away: `remove` of a USB device
//! (sysfs-bus-usb, "physically remove"), `delete` of a SCSI device (Documentation/scsi/scsi.rst), `power`
//! of a hot-plug slot (Documentation/PCI/pci.rst), `remove` of a PCI function (sysfs-bus-pci).

use crate::model::drive::Bus;
use crate::platform::linux::sys::pseudo_file::text_at;
use crate::platform::linux::sys::scsi_tape;
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use rustix::fs::CWD;
use std::fmt;
use std::path::{Path, PathBuf};

/// A place that a drive can be plugged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// `usb:1-4.1`: what the kernel calls a USB device is where it is plugged in (bus, port of the root
    /// hub, port of the next hub, …).
    Usb(String),
    /// `scsi:2:0:1:0`: host, channel, target, logical unit. A SATA port is a host of its own.
    Scsi([u64; 4]),
    /// `pci:0000:01:00`: a slot that can be switched off; all functions of what is in it go together.
    Slot(String),
    /// `pci:0000:01:00.0`: a PCI function.
    Pci(String),
}

/// Where the kernel lists the hot-plug slots.
pub const SLOTS: &str = "/sys/bus/pci/slots";

impl Port {
    /// Returns the port of the drive at this place.
    ///
    /// `None` for drives that cannot be removed from their bus: loop devices, the slots of an SD host, virtio disks.
    pub fn of(place: &BlockDevice) -> Option<Port> {
        if place.bus() == Bus::Virtual {
            return None;
        }
        if let Some(usb) = place.usb_device() {
            return Some(Port::Usb(usb.file_name()?.to_str()?.to_string()));
        }
        match place.bus() {
            // A SCSI device's directory has its four numbers for a name.
            Bus::Scsi | Bus::Ata => place
                .disk_path
                .ancestors()
                .find_map(|dir| numbers(dir.file_name()?.to_str()?))
                .map(Port::Scsi),
            Bus::Nvme | Bus::Thunderbolt => {
                let function = place
                    .disk_path
                    .ancestors()
                    .find_map(|dir| dir.file_name()?.to_str().filter(|name| is_function(name)))?;
                let device = function.rsplit_once('.')?.0;
                Some(match slot(device) {
                    Some(_) => Port::Slot(device.to_string()),
                    None => Port::Pci(function.to_string()),
                })
            }
            _ => None,
        }
    }

    /// Reads what [`Port`] displays.
    pub fn parse(text: &str) -> Option<Port> {
        let (bus, name) = text.split_once(':')?;
        match bus {
            "usb" => {
                let (root, ports) = name.split_once('-')?;
                let is_number = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
                let good = is_number(root) && ports.split('.').all(is_number);
                good.then(|| Port::Usb(name.to_string()))
            }
            "scsi" => numbers(name).map(Port::Scsi),
            "pci" if is_function(name) => Some(Port::Pci(name.to_string())),
            "pci" if is_function(&format!("{name}.0")) => Some(Port::Slot(name.to_string())),
            _ => None,
        }
    }

    /// The file that takes the device off its bus, and what is written there.
    pub fn removal(&self) -> Option<(PathBuf, &'static str)> {
        Some(match self {
            Port::Usb(name) => (Path::new("/sys/bus/usb/devices").join(name).join("remove"), "1"),
            Port::Scsi(_) => (self.device().join("delete"), "1"),
            Port::Slot(device) => (slot(device)?.join("power"), "0"),
            Port::Pci(_) => (self.device().join("remove"), "1"),
        })
    }

    /// The device's directory in sysfs, whether it is there or not. A slot's is its first function's.
    pub fn device(&self) -> PathBuf {
        match self {
            Port::Usb(name) => Path::new("/sys/bus/usb/devices").join(name),
            Port::Scsi([host, channel, target, unit]) => {
                PathBuf::from(format!("/sys/bus/scsi/devices/{host}:{channel}:{target}:{unit}"))
            }
            Port::Slot(device) => PathBuf::from(format!("/sys/bus/pci/devices/{device}.0")),
            Port::Pci(function) => Path::new("/sys/bus/pci/devices").join(function),
        }
    }

    /// Returns true if a device is plugged in there.
    pub fn has_device(&self) -> bool {
        self.device().exists()
    }

    /// The drives that are plugged in there: block devices, and tapes.
    pub fn disks(&self) -> Vec<BlockDevice> {
        all_disks().into_iter().filter(|(_, port)| port == self).map(|(place, _)| place).collect()
    }
}

/// Lists the drives that are plugged in somewhere.
pub fn all_disks() -> Vec<(BlockDevice, Port)> {
    let names = SysfsDir::open("/sys/block").and_then(|node| node.names()).unwrap_or_default();
    let disks = names.iter().filter_map(|name| BlockDevice::of_name(name).ok());
    let with_port = |place: BlockDevice| Port::of(&place).map(|port| (place, port));
    disks.chain(scsi_tape::all()).filter_map(with_port).collect()
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Usb(name) => write!(f, "usb:{name}"),
            Port::Scsi([host, channel, target, unit]) => {
                write!(f, "scsi:{host}:{channel}:{target}:{unit}")
            }
            Port::Slot(name) | Port::Pci(name) => write!(f, "pci:{name}"),
        }
    }
}

/// Returns the hot-plug slot of this PCI device, if its power can be switched.
pub fn slot(device: &str) -> Option<PathBuf> {
    let names = SysfsDir::open(SLOTS).and_then(|node| node.names()).ok()?;
    names
        .iter()
        .map(|name| Path::new(SLOTS).join(name))
        .find(|dir| text_at(CWD, dir.join("address")).is_some_and(|address| address == device))
        .filter(|dir| dir.join("power").exists())
}

/// `2:0:1:0`
fn numbers(name: &str) -> Option<[u64; 4]> {
    let parts: Vec<u64> = name.split(':').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// `0000:01:00.0`: domain, bus, device, function.
fn is_function(name: &str) -> bool {
    let hex = |part: Option<&str>, length: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|p| length.contains(&p.len()) && p.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let Some((device, function)) = name.rsplit_once('.') else { return false };
    let mut parts = device.split(':');
    // Domains of more than four digits are those of the VMD driver.
    hex(parts.next(), 4..=8)
        && hex(parts.next(), 2..=2)
        && hex(parts.next(), 2..=2)
        && parts.next().is_none()
        && hex(Some(function), 1..=1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_shown_name_can_be_parsed() {
        for name in ["usb:1-4.1", "usb:12-3", "scsi:2:0:1:0", "pci:0000:01:00", "pci:10000:e1:00.0"]
        {
            assert_eq!(Port::parse(name).unwrap().to_string(), name);
        }
        assert_eq!(Port::parse("pci:0000:01:00"), Some(Port::Slot("0000:01:00".into())));
    }

    #[test]
    fn a_name_that_could_lead_elsewhere_is_no_port() {
        for name in [
            "usb:",
            "usb:1",
            "usb:usb1",
            "usb:1-",
            "usb:../x",
            "usb:1-4.",
            "scsi:1:2:3",
            "pci:..",
            "E:",
        ] {
            assert_eq!(Port::parse(name), None, "{name}");
        }
    }

    #[test]
    fn the_port_of_a_disk_is_read_from_its_place() {
        let port = |path: &str| {
            let disk_path = PathBuf::from(path);
            Port::of(&BlockDevice { disk_path, disk: "sdb".into(), partition: None })
        };
        let sata = "/sys/devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sdb";
        assert_eq!(port(sata), Some(Port::Scsi([2, 0, 0, 0])));
        let nvme = "/sys/devices/pci0000:00/ffff:ff:1f.2/nvme/nvme0/nvme0n1";
        assert_eq!(port(nvme), Some(Port::Pci("ffff:ff:1f.2".into())));
        assert_eq!(port("/sys/devices/virtual/block/loop0"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(usb|scsi|pci)?:?[0-9a-f:.-]{0,20}") {
            if let Some(port) = Port::parse(&text) {
                prop_assert!(!port.device().to_string_lossy().contains(".."));
            }
        }
    }
}
