//! Tests of the drives that are meant, and of those that are never touched.

use crate::Test;
use crate::scenarios::*;

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "all-removable/hot-plug-sata",
            "--all-removable spares an internal disk at a hot-plug port",
            &["eject", "--all-removable"],
            0,
        )
        .on(STICK)
        .on(HOT_PLUG_SATA)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS")
        .never("D:")
        .never("PhysicalDrive3"),
        Test::new(
            "all-removable/virtual-machine",
            "--all-removable spares the disk of a removable controller",
            &["eject", "--all-removable"],
            0,
        )
        .on(STICK)
        .on(VIRTUAL_MACHINE)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS")
        .never("D:")
        .never(r"PCI\VEN_15AD"),
        Test::new(
            "all-removable/image",
            "--all-removable spares an image",
            &["eject", "--all-removable"],
            0,
        )
        .on(STICK)
        .on(DISC_IMAGE)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS")
        .never("EJECT_MEDIA CdRom1")
        .never("EJECT_MEDIA J:"),
        Test::new(
            "all-removable/kinds",
            "--all-removable takes stick, USB disk and disc",
            &["eject", "--all-removable"],
            0,
        )
        .on(STICK)
        .on(USB_DISK)
        .on(CD)
        .journal("FSCTL_LOCK_VOLUME")
        .journal("FSCTL_LOCK_VOLUME")
        .journal("FSCTL_LOCK_VOLUME"),
        Test::new(
            "remove/never-a-controller",
            "--power-off never asks a controller to leave",
            &["eject", "--power-off", "D:"],
            7,
        )
        .or_code(1)
        .on(THUNDERBOLT)
        .never(r"CM_Request_Device_Eject PCI\VEN_8086&DEV_15DA\7 -> 0"),
        Test::new(
            "image/iso-detached",
            "a mounted disc image is detached, not ejected",
            &["eject", "J:"],
            0,
        )
        .on(DISC_IMAGE)
        .journal("CdRom1 detached"),
        Test::new(
            "image/on-the-drive",
            "an image whose file lies on the drive is detached first",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .on(DISC_IMAGE)
        .with(r"image=C:\disc.iso", r"image=E:\disc.iso")
        .journal("CdRom1 detached")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "image/named",
            "an attached image on the drive is named as what blocks",
            &["who", "E:"],
            3,
        )
        .on(STICK)
        .on(DISC_IMAGE)
        .with(r"image=C:\disc.iso", r"image=E:\disc.iso")
        .says("disc.iso"),
        Test::new(
            "image/container-named",
            "a mounted VeraCrypt container on the drive is named, with what dismounts it",
            &["who", "E:"],
            3,
        )
        .on(r"system container=V:E:\secret.hc")
        .on(STICK)
        .says(r"E:\secret.hc")
        .says("veracrypt /q /d V"),
        Test::new(
            "image/container-dismounted",
            "a VeraCrypt container on the drive is dismounted by its program, without force",
            &["eject", "E:"],
            0,
        )
        .on(r"system container=V:E:\secret.hc")
        .on(STICK)
        .journal("VeraCrypt /dismount V /quit /silent")
        .journal("container dismounted: V:")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "image/container-in-use",
            "a VeraCrypt container with open files keeps the drive in, and is named",
            &["eject", "E:"],
            3,
        )
        .on(r"system container=V:E:\secret.hc container-busy=1")
        .on(STICK)
        .says(r"E:\secret.hc")
        .says("veracrypt /q /d V")
        .journal("VeraCrypt /dismount V /quit /silent")
        .never("/force")
        .never("EJECT_MEDIA"),
        Test::new("image/vhdx-detached", "an attached VHDX is detached", &["eject", "F:"], 0)
            .on(USB_DISK)
            .with("bus=usb hotplug=1", r"bus=file image=C:\disk.vhdx")
            .with("capabilities=0x94", "capabilities=0")
            .journal("PhysicalDrive2 detached"),
        Test::new(
            "kind/fixed-disk-asked",
            "a fixed disk that is named is asked",
            &["eject", "H:"],
            0,
        )
        .on(FIXED_DISK)
        .journal("FSCTL_LOCK_VOLUME H: -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA H:"),
        Test::new(
            "kind/floppy-asked",
            "a floppy that ejects by command is asked",
            &["eject", "A:"],
            0,
        )
        .on(r"disk number=11 bus=usb removable=1 product=LS-120")
        .on("volume letter=A floppy=11 fs=fat12 label=FLOPPY dirty=1")
        .journal("IOCTL_STORAGE_EJECT_MEDIA"),
        Test::new(
            "kind/sd-card",
            "an SD card whose driver knows no ejection is flushed and dismounted: 0",
            &["eject", "S:"],
            0,
        )
        .on(SD_CARD)
        .journal("FSCTL_DISMOUNT_VOLUME S: -> SUCCESS"),
        Test::new(
            "kind/usb-disk-named",
            "a USB disk is released by name of its device",
            &["eject", "--dry-run", "PhysicalDrive2"],
            0,
        )
        .on(USB_DISK),
        Test::new(
            "attach/list",
            "attach lists what was removed and is still plugged in",
            &["attach"],
            0,
        )
        .on(REMOVED_DISK)
        .says("VID_1058"),
        Test::new(
            "attach/code-47",
            "attach cycles the port of a device with code 47",
            &["attach", r"USB\VID_1058&PID_25A2\5758"],
            0,
        )
        .on(REMOVED_DISK)
        .journal(r"port cycled: USB\VID_1058"),
        Test::new(
            "attach/code-21",
            "attach enables a device with code 21",
            &["attach", r"USB\VID_1058&PID_25A2\5758"],
            0,
        )
        .on(REMOVED_DISK)
        .with("problem=47", "problem=21")
        .journal(r"enabled: USB\VID_1058"),
    ]
}
