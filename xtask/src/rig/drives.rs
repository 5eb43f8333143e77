//! The emulated drives, as data. QEMU's arguments say what a drive is; the place on the bus says which of
//! the guest's block devices it became, since a guest without udev has no other stable names.

use super::media::Medium;

/// One emulated drive. `id` is its name in the tests, in QEMU's events, and of its image file.
#[derive(Debug)]
pub struct Drive {
    pub id: &'static str,
    /// What the drive's controller needs first: `-device` arguments, shared ones are given once.
    pub controllers: &'static [&'static str],
    /// The `-device` argument, without `drive=` and `id=`.
    pub device: &'static str,
    /// What is in it when a test starts.
    pub medium: Option<Medium>,
    /// Parts that the device's path in the guest's `/sys` has, and no other drive's.
    pub place: &'static [&'static str],
    /// It can be pulled out and plugged in again while the guest runs.
    pub hotplug: bool,
    /// Its medium cannot be changed.
    pub fixed: bool,
    /// QEMU records every write and flush (see `write_log`); its medium cannot be changed either.
    pub logged: bool,
}

const XHCI: &str = "qemu-xhci,id=xhci,addr=0x12";

/// A CD-ROM on virtio-scsi: driver `sr` over a SCSI host.
pub const CD: Drive = Drive {
    id: "cd",
    controllers: &["virtio-scsi-pci,id=scsi0,addr=0x10"],
    device: "scsi-cd,bus=scsi0.0",
    medium: Some(Medium::Cd),
    place: &["0000:00:10.0"],
    hotplug: false,
    fixed: false,
    logged: false,
};

/// A DVD drive on SATA: driver `sr` over libata's packet commands.
pub const DVD: Drive = Drive {
    id: "dvd",
    controllers: &[],
    device: "ide-cd,bus=ide.0",
    medium: Some(Medium::Dvd),
    place: &["0000:00:1f.2"],
    hotplug: false,
    fixed: false,
    logged: false,
};

/// An optical drive with nothing in it.
pub const EMPTY: Drive = Drive {
    id: "empty",
    controllers: &["virtio-scsi-pci,id=scsi1,addr=0x11"],
    device: "scsi-cd,bus=scsi1.0",
    medium: None,
    place: &["0000:00:11.0"],
    hotplug: false,
    fixed: false,
    logged: false,
};

/// A USB stick with two partitions: driver `sd` over usb-storage.
pub const STICK: Drive = Drive {
    id: "stick",
    controllers: &[XHCI],
    device: "usb-storage,bus=xhci.0,port=1,removable=on,serial=RIGSTICK1",
    medium: Some(Medium::Stick),
    place: &["0000:00:12.0", "-1:1.0"],
    hotplug: true,
    fixed: false,
    logged: false,
};

/// A second stick on the same hub, for calls with several targets and for power-off beside a neighbour.
pub const STICK2: Drive = Drive {
    id: "stick2",
    controllers: &[XHCI],
    device: "usb-storage,bus=xhci.0,port=2,removable=on,serial=RIGSTICK2",
    medium: Some(Medium::Plain),
    place: &["0000:00:12.0", "-2:1.0"],
    hotplug: true,
    fixed: false,
    logged: false,
};

/// An SD card in a host controller: driver `mmc_block`, which has no eject.
pub const CARD: Drive = Drive {
    id: "card",
    controllers: &["sdhci-pci,id=sdhci,addr=0x13"],
    device: "sd-card",
    medium: Some(Medium::Card),
    place: &["0000:00:13.0"],
    hotplug: false,
    fixed: false,
    logged: false,
};

/// A fixed disk that plays the guest's own.
pub const OWN: Drive = Drive {
    id: "own",
    controllers: &[],
    device: "virtio-blk-pci,addr=0x14",
    medium: Some(Medium::Own),
    place: &["0000:00:14.0"],
    hotplug: false,
    fixed: true,
    logged: false,
};

/// The stick again, with a record of what it was told to write and when to make it last.
pub const LOGGED_STICK: Drive = Drive { id: "logged", logged: true, hotplug: false, ..STICK };

/// What most tests need, in one machine, so that one boot serves them all.
pub const STANDARD: &[&Drive] = &[&CD, &DVD, &EMPTY, &STICK, &STICK2, &CARD, &OWN];
