//! Emulated drives, as data.
//!
//! QEMU's arguments define the drive. Its position on the bus identifies the guest's block device, since a
//! guest without udev has no other stable names.

use crate::media::Medium;

/// One emulated drive. `id` is its name in the tests, in QEMU's events, and of its image file.
#[derive(Debug)]
pub struct Drive {
    pub id: &'static str,
    /// `-device` arguments of the controllers it needs. Shared ones are passed to QEMU once.
    pub controllers: &'static [&'static str],
    /// `-device` argument, without `drive=` and `id=`.
    pub device: &'static str,
    /// Medium in the drive when a test starts.
    pub medium: Option<Medium>,
    /// Parts of the device's path in the guest's `/sys` that no other drive has.
    pub sysfs_parts: &'static [&'static str],
    /// True if the drive can be unplugged and plugged in while the guest runs.
    pub hotplug: bool,
    /// True if the medium cannot be changed.
    pub fixed: bool,
    /// True if QEMU records every write and flush (see `write_log`). The medium cannot be changed either.
    pub logged: bool,
}

const XHCI: &str = "qemu-xhci,id=xhci,addr=0x12";

/// CD-ROM drive on virtio-scsi: driver `sr` on a SCSI host.
pub const CD: Drive = Drive {
    id: "cd",
    controllers: &["virtio-scsi-pci,id=scsi0,addr=0x10"],
    device: "scsi-cd,bus=scsi0.0",
    medium: Some(Medium::Cd),
    sysfs_parts: &["0000:00:10.0"],
    hotplug: false,
    fixed: false,
    logged: false,
};

/// DVD drive on SATA: driver `sr` on libata's packet commands.
pub const DVD: Drive = Drive {
    id: "dvd",
    controllers: &[],
    device: "ide-cd,bus=ide.0",
    medium: Some(Medium::Dvd),
    sysfs_parts: &["0000:00:1f.2"],
    hotplug: false,
    fixed: false,
    logged: false,
};

/// Optical drive without a medium.
pub const EMPTY: Drive = Drive {
    id: "empty",
    controllers: &["virtio-scsi-pci,id=scsi1,addr=0x11"],
    device: "scsi-cd,bus=scsi1.0",
    medium: None,
    sysfs_parts: &["0000:00:11.0"],
    hotplug: false,
    fixed: false,
    logged: false,
};

/// USB stick with two partitions: driver `sd` on usb-storage.
pub const STICK: Drive = Drive {
    id: "stick",
    controllers: &[XHCI],
    device: "usb-storage,bus=xhci.0,port=1,removable=on,serial=RIGSTICK1",
    medium: Some(Medium::Stick),
    sysfs_parts: &["0000:00:12.0", "-1:1.0"],
    hotplug: true,
    fixed: false,
    logged: false,
};

/// Second stick on the same hub, for calls with several targets and power-off beside a neighbour.
pub const STICK2: Drive = Drive {
    id: "stick2",
    controllers: &[XHCI],
    device: "usb-storage,bus=xhci.0,port=2,removable=on,serial=RIGSTICK2",
    medium: Some(Medium::Plain),
    sysfs_parts: &["0000:00:12.0", "-2:1.0"],
    hotplug: true,
    fixed: false,
    logged: false,
};

/// SD card in a host controller: driver `mmc_block`, which has no eject.
pub const CARD: Drive = Drive {
    id: "card",
    controllers: &["sdhci-pci,id=sdhci,addr=0x13"],
    device: "sd-card",
    medium: Some(Medium::Card),
    sysfs_parts: &["0000:00:13.0"],
    hotplug: false,
    fixed: false,
    logged: false,
};

/// Fixed disk in the role of the guest's own.
pub const OWN: Drive = Drive {
    id: "own",
    controllers: &[],
    device: "virtio-blk-pci,addr=0x14",
    medium: Some(Medium::Own),
    sysfs_parts: &["0000:00:14.0"],
    hotplug: false,
    fixed: true,
    logged: false,
};

/// The stick, with a log of the write and flush commands that it receives.
pub const LOGGED_STICK: Drive = Drive { id: "logged", logged: true, hotplug: false, ..STICK };

/// The stick with a bad sector: QEMU (`blkdebug`) fails every write to the sector.
pub const FLAWED_STICK: Drive =
    Drive { id: "flawed", medium: Some(Medium::Flawed), hotplug: false, ..STICK };

/// Drives that most tests need, in one machine, so that one boot serves them all.
pub const STANDARD: &[&Drive] = &[&CD, &DVD, &EMPTY, &STICK, &STICK2, &CARD, &OWN];

/// Host controller, with eight ports, of the machine with one drive of each kind.
const XHCI8: &str = "qemu-xhci,id=xhci,addr=0x12,p2=8,p3=8";

/// Defaults of the drives below.
const PLAIN: Drive = Drive {
    id: "",
    controllers: &[],
    device: "",
    medium: None,
    sysfs_parts: &[],
    hotplug: false,
    fixed: false,
    logged: false,
};

const READER_BOT: &str = "usb-bot,id=reader,bus=xhci.0,port=1";

/// First slot of a card reader, with a card in it: LUN 0 of one USB device.
pub const SLOT1: Drive = Drive {
    id: "slot1",
    controllers: &[XHCI8, READER_BOT],
    device: "scsi-hd,bus=reader.0,lun=0,removable=on",
    medium: Some(Medium::Plain),
    sysfs_parts: &["-1:1.0", ":0:0:0/block"],
    ..PLAIN
};

/// Second slot, with a card.
pub const SLOT2: Drive = Drive {
    id: "slot2",
    device: "scsi-hd,bus=reader.0,lun=1,removable=on",
    medium: Some(Medium::Card),
    sysfs_parts: &["-1:1.0", ":0:0:1/block"],
    ..SLOT1
};

/// Third slot, empty.
pub const SLOT3: Drive = Drive {
    id: "slot3",
    device: "scsi-hd,bus=reader.0,lun=2,removable=on",
    medium: None,
    sysfs_parts: &["-1:1.0", ":0:0:2/block"],
    ..SLOT1
};

const BESIDE_BOT: &str = "usb-bot,id=beside,bus=xhci.0,port=2";

/// "Virtual CD" of a USB disk: the same device, another LUN.
pub const BESIDE_CD: Drive = Drive {
    id: "besidecd",
    controllers: &[XHCI8, BESIDE_BOT],
    device: "scsi-cd,bus=beside.0,lun=0",
    medium: Some(Medium::Cd),
    sysfs_parts: &["-2:1.0", ":0:0:0/block"],
    ..PLAIN
};

/// Disk on the device of the virtual CD.
pub const BESIDE_DISK: Drive = Drive {
    id: "besidedisk",
    device: "scsi-hd,bus=beside.0,lun=1",
    medium: Some(Medium::Plain),
    sysfs_parts: &["-2:1.0", ":0:0:1/block"],
    fixed: true,
    ..BESIDE_CD
};

/// USB disk with the UAS protocol.
pub const UAS: Drive = Drive {
    id: "uasdisk",
    controllers: &[XHCI8, "usb-uas,id=uas,bus=xhci.0,port=3"],
    device: "scsi-hd,bus=uas.0,scsi-id=0,lun=0",
    medium: Some(Medium::Stick),
    sysfs_parts: &["-3:1.0"],
    fixed: true,
    ..PLAIN
};

/// Hub that switches the power of each port, as few real ones do. Its port status is truthful.
const HUB: &str = "usb-hub,id=hub,bus=xhci.0,port=4,port-power=on";

/// USB disk behind a hub, with a fixed medium.
pub const DISK: Drive = Drive {
    id: "usbdisk",
    controllers: &[XHCI8, HUB],
    device: "usb-storage,bus=xhci.0,port=4.1,removable=off,serial=RIGDISK1",
    medium: Some(Medium::Stick),
    sysfs_parts: &["-4.1:1.0"],
    fixed: true,
    ..PLAIN
};

/// USB CD drive.
pub const USB_CD: Drive = Drive {
    id: "usbcd",
    controllers: &[XHCI8, "usb-bot,id=cdbot,bus=xhci.0,port=5"],
    device: "scsi-cd,bus=cdbot.0,lun=0",
    medium: Some(Medium::Cd),
    sysfs_parts: &["-5:1.0"],
    ..PLAIN
};

/// SATA disk.
pub const SATA: Drive = Drive {
    id: "sata",
    device: "ide-hd,bus=ide.1",
    medium: Some(Medium::Stick),
    sysfs_parts: &["0000:00:1f.2", "/ata"],
    fixed: true,
    ..PLAIN
};

/// SCSI disk with a removable medium, as a ZIP drive has.
pub const ZIP: Drive = Drive {
    id: "zip",
    controllers: &["virtio-scsi-pci,id=scsi2,addr=0x16"],
    device: "scsi-hd,bus=scsi2.0,removable=on",
    medium: Some(Medium::Plain),
    sysfs_parts: &["0000:00:16.0"],
    ..PLAIN
};

/// NVMe disk in a slot that can be switched off.
pub const NVME: Drive = Drive {
    id: "nvme",
    controllers: &["pcie-root-port,id=rp0,addr=0x15,chassis=1,slot=1"],
    device: "nvme,bus=rp0,serial=RIGNVME",
    medium: Some(Medium::Stick),
    sysfs_parts: &["0000:00:15.0", "nvme"],
    fixed: true,
    ..PLAIN
};

/// NVMe disk in no slot.
pub const NVME_FIXED: Drive = Drive {
    id: "nvme2",
    controllers: &[],
    device: "nvme,addr=0x17,serial=RIGNVME2",
    medium: Some(Medium::Stick),
    sysfs_parts: &["0000:00:17.0", "nvme"],
    fixed: true,
    ..PLAIN
};

/// Floppy drive.
pub const FLOPPY: Drive = Drive {
    id: "floppy",
    controllers: &["isa-fdc,id=fdc"],
    device: "floppy,unit=0",
    medium: Some(Medium::Floppy),
    sysfs_parts: &["/block/fd0"],
    ..PLAIN
};

/// One drive of each kind that the standard machine lacks.
pub const KINDS: &[&Drive] = &[
    &SLOT1,
    &SLOT2,
    &SLOT3,
    &BESIDE_CD,
    &BESIDE_DISK,
    &UAS,
    &DISK,
    &USB_CD,
    &SATA,
    &ZIP,
    &NVME,
    &NVME_FIXED,
    &FLOPPY,
];
