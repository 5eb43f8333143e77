//! `/sys/dev/block` and `/sys/block`: the kernel's device tree (sysfs-block, sysfs-block-device).

use crate::model::drive::Bus;
use crate::platform::linux::sys::device_number;
use crate::platform::linux::sys::pseudo_file::{number_at, read_at, text_at};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat};
use rustix::io::Errno;
use rustix::path::Arg;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Block devices without a parent in the device tree.
pub const VIRTUAL: &str = "/sys/devices/virtual/block";

/// An open directory of sysfs.
///
/// Once its device is gone, reads in it fail, even if another device has the name.
#[derive(Debug)]
pub struct SysfsDir {
    dir: OwnedFd,
}

impl SysfsDir {
    /// Opens this directory.
    pub fn open(path: impl Arg) -> Result<SysfsDir, Errno> {
        SysfsDir::open_at(CWD, path)
    }

    fn open_at(dir: impl AsFd, path: impl Arg) -> Result<SysfsDir, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(dir, path, flags, Mode::empty()).map(|dir| SysfsDir { dir })
    }

    /// Opens a directory below this one.
    pub fn child(&self, name: impl Arg) -> Result<SysfsDir, Errno> {
        SysfsDir::open_at(&self.dir, name)
    }

    /// Returns an attribute as text.
    pub fn text(&self, name: impl Arg) -> Option<String> {
        text_at(&self.dir, name)
    }

    /// Returns an attribute as a number.
    pub fn number(&self, name: impl Arg) -> Option<u64> {
        number_at(&self.dir, name)
    }

    /// Returns true if the attribute is 1.
    pub fn flag(&self, name: impl Arg) -> bool {
        self.number(name) == Some(1)
    }

    /// The device number in `dev`; `None` when there is no such directory any more.
    ///
    /// # Errors
    /// That it cannot be read for another reason: out of descriptors, for one.
    pub fn device_now(&self) -> Result<Option<u64>, Errno> {
        match read_at(&self.dir, "dev") {
            Ok(text) => Ok(device_number::parse(String::from_utf8_lossy(&text).trim())),
            Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The device number in `dev`.
    pub fn device(&self) -> Option<u64> {
        device_number::parse(&self.text("dev")?)
    }

    /// Size in bytes: `size` counts sectors of 512 bytes, whatever the device's own are.
    pub fn size(&self) -> Option<u64> {
        self.number("size").map(|sectors| sectors.saturating_mul(512))
    }

    /// Returns the names in this directory, without `.` and `..`, sorted. Works once: the next call reads on from
    /// the end.
    pub fn names(&self) -> Result<Vec<String>, Errno> {
        self.names_that(|_| true)
    }

    /// Returns those names for which `wanted` returns true, sorted. Works once.
    pub fn names_that(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        // Room for a hundred entries in one call; a machine has few disks and a disk few partitions.
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&self.dir, &mut buffer);
        while let Some(entry) = entries.next() {
            match entry?.file_name().to_str() {
                Ok(name) if !name.starts_with('.') && wanted(name) => names.push(name.to_string()),
                _ => {}
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Returns the names of the present devices that this one lies on (`slaves`).
    ///
    /// An array keeps the link of a member that was pulled until the member is removed from it.
    pub fn present_slaves(&self) -> Vec<String> {
        let is_there = |name: &String| {
            self.child(format!("slaves/{name}")).is_ok_and(|slave| slave.device().is_some())
        };
        self.names_in("slaves").into_iter().filter(is_there).collect()
    }

    /// The names in a directory below; none where it does not exist.
    pub fn names_in(&self, name: impl Arg) -> Vec<String> {
        self.child(name).and_then(|node| node.names()).unwrap_or_default()
    }
}

/// Where a block device stands in the device tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// The disk's own directory, below `/sys/devices`.
    pub disk_path: PathBuf,
    /// The disk's name: `sdb`.
    pub disk: String,
    /// The partition's name, when the number was a partition's.
    pub partition: Option<String>,
}

impl BlockDevice {
    /// Finds a block device by its number.
    pub fn of(device: u64) -> Result<BlockDevice, Errno> {
        let link = format!("/sys/dev/block/{}:{}", device >> 32, device & 0xffff_ffff);
        BlockDevice::of_link(link, "/sys/dev/block")
    }

    /// Finds a block device by its name. sysfs has `!` for a `/` in a name.
    pub fn of_name(name: &str) -> Result<BlockDevice, Errno> {
        BlockDevice::of_link(
            format!("/sys/class/block/{}", name.replace('/', "!")),
            "/sys/class/block",
        )
    }

    /// Returns the place of a loop device. It has no parent in the device tree.
    pub fn of_loop(name: String) -> BlockDevice {
        BlockDevice { disk_path: Path::new(VIRTUAL).join(&name), disk: name, partition: None }
    }

    fn of_link(link: String, base: &str) -> Result<BlockDevice, Errno> {
        let target = readlinkat(CWD, link, Vec::new())?;
        let target = target.into_string().map_err(|_| Errno::ILSEQ)?;
        BlockDevice::parse(Path::new(base), &target).ok_or(Errno::NODEV)
    }

    /// `../../devices/pci…/block/sdb/sdb1`: the last component after `block/` is the partition, if
    /// there are two.
    pub fn parse(base: &Path, target: &str) -> Option<BlockDevice> {
        let mut path = base.to_path_buf();
        for part in target.split('/') {
            match part {
                ".." => {
                    path.pop();
                }
                "." | "" => {}
                part => path.push(part),
            }
        }
        let name = path.file_name()?.to_str()?.to_string();
        let above = path.parent()?.file_name()?.to_str()?;
        let grandparent = path.parent()?.parent()?.file_name()?.to_str()?;
        // An NVMe disk lies right below its controller, without a `block` between.
        let partition_of_nvme = name
            .strip_prefix(above)
            .and_then(|rest| rest.strip_prefix('p'))
            .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if grandparent == "block" || partition_of_nvme {
            let disk = above.to_string();
            Some(BlockDevice {
                disk,
                disk_path: path.parent()?.to_path_buf(),
                partition: Some(name),
            })
        } else {
            Some(BlockDevice { disk: name, disk_path: path, partition: None })
        }
    }

    /// Returns the bus of the drive: the buses on its way are directories above it.
    pub fn bus(&self) -> Bus {
        let parts: Vec<&str> =
            self.disk_path.iter().filter_map(|part| part.to_str()).rev().collect();
        let has = |prefix: &str| {
            parts.iter().any(|part| {
                part.strip_prefix(prefix)
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            })
        };
        if parts.contains(&"nvme") || parts.contains(&"nvme-subsystem") {
            Bus::Nvme
        } else if parts.contains(&"virtual") {
            Bus::Virtual
        } else if has("usb") {
            Bus::Usb
        } else if has("ata") {
            Bus::Ata
        } else if parts.contains(&"mmc_host") {
            Bus::Mmc
        } else if has("host") {
            Bus::Scsi
        } else if has("virtio") {
            Bus::Virtio
        } else {
            Bus::Other
        }
    }

    /// Returns true if the PCI device says that it can be unplugged (`removable`, Linux 5.14).
    ///
    /// Thunderbolt and ExpressCard slots do.
    pub fn pci_says_removable(&self) -> bool {
        self.disk_path.ancestors().take_while(|dir| dir.starts_with("/sys/devices")).any(|dir| {
            text_at(rustix::fs::CWD, dir.join("removable")).is_some_and(|t| t == "removable")
        })
    }

    /// Returns true if it is on an eSATA connector.
    ///
    /// `PxCMD.ESP` counts only where the controller sets `CAP.SXS` (AHCI 1.3.1, 3.1.1 and 3.3.7; the kernel's
    /// `ahci_mark_external_port`). "Hot plug capable" alone
    /// is said of many ports inside the case too.
    pub fn is_external_sata(&self) -> bool {
        let host = self.disk_path.ancestors().find(|dir| {
            let name = dir.file_name().and_then(|name| name.to_str());
            name.and_then(|name| name.strip_prefix("host")).is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
            })
        });
        let Some(host) = host.and_then(|dir| Some(dir.join("scsi_host").join(dir.file_name()?)))
        else {
            return false;
        };
        let bits = |name: &str| {
            let text = text_at(rustix::fs::CWD, host.join(name))?;
            u32::from_str_radix(&text, 16).ok()
        };
        is_esata(bits("ahci_host_caps"), bits("ahci_port_cmd"))
    }

    /// Returns the USB device above it: the nearest directory with a `busnum`. Its interfaces have none.
    ///
    /// Above every USB device is a root hub, which is called `usb` and the number of its bus.
    pub fn usb_device(&self) -> Option<PathBuf> {
        let is_below_hub = self.disk_path.as_os_str().as_bytes().windows(4).any(|at| at == b"/usb");
        is_below_hub
            .then_some(&self.disk_path)?
            .ancestors()
            .skip(1)
            .take_while(|dir| dir.starts_with("/sys/devices"))
            .find(|dir| dir.join("busnum").exists())
            .map(Path::to_path_buf)
    }
}

fn is_esata(capabilities: Option<u32>, port_command: Option<u32>) -> bool {
    capabilities.is_some_and(|caps| caps & 1 << 5 != 0)
        && port_command.is_some_and(|command| command & 1 << 21 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connector_outside_the_case_is_esata() {
        assert!(is_esata(Some(0x20), Some(0x20_c017)));
        assert!(!is_esata(Some(0x20), Some(0x4_c017)), "hot plug capable is not outside");
        assert!(!is_esata(Some(0), Some(0x20_c017)), "the controller knows no eSATA");
        assert!(!is_esata(None, None));
    }

    const STICK: &str = "../../devices/pci0000:00/0000:00:04.0/usb1/1-1/1-1:1.0/host2/target2:0:0/2:0:0:0/block/sdb/sdb1";

    #[test]
    fn a_partition_of_a_usb_stick() {
        let place = BlockDevice::parse(Path::new("/sys/dev/block"), STICK).unwrap();
        assert_eq!((&*place.disk, place.partition.as_deref()), ("sdb", Some("sdb1")));
        assert!(place.disk_path.ends_with("2:0:0:0/block/sdb"));
        assert_eq!(place.bus(), Bus::Usb);
    }

    #[test]
    fn an_nvme_disk_and_its_partition() {
        let disk = "../../devices/pci0000:00/0000:00:07.0/nvme/nvme0/nvme0n1";
        let place = BlockDevice::parse(Path::new("/sys/dev/block"), disk).unwrap();
        assert_eq!((&*place.disk, place.partition.as_deref()), ("nvme0n1", None));
        let part = format!("{disk}/nvme0n1p1");
        let place = BlockDevice::parse(Path::new("/sys/dev/block"), &part).unwrap();
        assert_eq!((&*place.disk, place.partition.as_deref()), ("nvme0n1", Some("nvme0n1p1")));
    }

    #[test]
    fn buses_are_told_by_the_way_to_the_drive() {
        for (path, bus) in [
            ("../../devices/virtual/block/loop0", Bus::Virtual),
            (
                "../../devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sr0",
                Bus::Ata,
            ),
            (
                "../../devices/pci0000:00/0000:00:05.0/virtio1/host0/target0:0:1/0:0:1:0/block/sr1",
                Bus::Scsi,
            ),
            ("../../devices/pci0000:00/0000:00:06.0/virtio2/block/vda", Bus::Virtio),
            (
                "../../devices/pci0000:00/0000:00:07.0/mmc_host/mmc0/mmc0:4567/block/mmcblk0",
                Bus::Mmc,
            ),
            ("../../devices/pci0000:00/0000:00:08.0/nvme/nvme0/nvme0n1", Bus::Nvme),
        ] {
            assert_eq!(
                BlockDevice::parse(Path::new("/sys/dev/block"), path).unwrap().bus(),
                bus,
                "{path}"
            );
        }
    }
}
