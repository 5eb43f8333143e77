//! Names, texts and the JSON document.

use crate::Test;
use crate::scenarios::*;

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "name/volume",
            "a volume is found by its volume name",
            &["eject", r"\\?\Volume{5f1d0000-0000-4000-8000-000000000001}\"],
            0,
        )
        .on(STICK)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "name/kernel",
            "a volume is found by its kernel name",
            &["eject", r"\Device\HarddiskVolume11"],
            0,
        )
        .on(STICK)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "name/physical-drive",
            "a drive is found by PhysicalDriveN",
            &["eject", "PhysicalDrive1"],
            0,
        )
        .on(STICK)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new("name/cdrom", "a CD drive is found by CdRomN", &["eject", "CdRom0"], 0)
            .on(CD)
            .journal("IOCTL_STORAGE_EJECT_MEDIA"),
        Test::new(
            "name/mount-folder",
            "a volume is found by the folder it is mounted in",
            &["eject", r"C:\mnt\stick"],
            0,
        )
        .on(STICK)
        .with("letter=E", r"mounts=C:\mnt\stick\")
        .journal("IOCTL_STORAGE_EJECT_MEDIA HarddiskVolume11 -> SUCCESS"),
        Test::new("name/label", "a volume is found by its label", &["eject", "LABEL=STICK"], 0)
            .on(STICK)
            .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "name/subst",
            "a subst letter names the drive of its folder",
            &["eject", r"S:\sub"],
            0,
        )
        .on(r"system substituted=S:E:\folder")
        .on(STICK)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "name/device-id",
            "a drive is found by its device id",
            &["eject", r"USBSTOR\DISK&VEN_SANDISK\1234&0"],
            0,
        )
        .on(STICK)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new("name/model", "a drive is found by its model", &["eject", "Cruzer Blade"], 0)
            .on(STICK)
            .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new("name/pattern", "a drive is found by a pattern", &["eject", "Cruz*"], 0)
            .on(STICK)
            .on(USB_DISK)
            .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new("name/pattern-label", "a pattern fits labels too", &["eject", "st?ck"], 0)
            .on(STICK)
            .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "name/pattern-several",
            "a pattern that fits the label of one drive and the model of another is refused",
            &["eject", "*c*"],
            2,
        )
        .on(STICK)
        .on(USB_DISK)
        .says("PhysicalDrive1")
        .says("PhysicalDrive2")
        .never("FSCTL_LOCK_VOLUME"),
        Test::new(
            "name/several",
            "a model that two drives have is refused",
            &["eject", "Elements"],
            2,
        )
        .on(STICK)
        .with("product=\"Cruzer Blade\"", "product=Elements")
        .on(USB_DISK)
        .never("FSCTL_LOCK_VOLUME"),
        Test::new(
            "name/slow-drive",
            "a drive that does not answer does not keep the others from being listed",
            &["list"],
            0,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK root-ms=60000")
        .on(USB_DISK)
        .says("BACKUP")
        .says("SanDisk")
        .deadline(35),
        Test::new(
            "name/container",
            "the letter of a VeraCrypt volume names its container and what dismounts it",
            &["eject", "V:"],
            7,
        )
        .on(r"system container=V:E:\secret.hc")
        .on(STICK)
        .says(r"E:\secret.hc")
        .says("veracrypt /q /d V"),
        Test::new(
            "name/volume-without-drive",
            "a volume whose driver names no drive is released alone, with a warning",
            &["eject", "--dismount-only", "E:"],
            0,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK extents-unknown=1")
        .says("does not tell which drive")
        .journal("FSCTL_DISMOUNT_VOLUME E: -> SUCCESS"),
        Test::new(
            "name/kernel-partition",
            "a volume is found by disk and partition",
            &["eject", r"\Device\Harddisk1\Partition1"],
            0,
        )
        .on(STICK)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "json/ascii",
            "the JSON document is ASCII where it goes to a pipe",
            &["list", "--json"],
            0,
        )
        .on(STICK)
        .with("label=STICK", "label=Über")
        .json("/drives/0/volumes/0/label", "Über")
        .ascii(),
        Test::new(
            "text/code-page",
            "text has the code page of the console where it goes to a pipe",
            &["list", "-o", "label"],
            0,
        )
        .on(STICK)
        .with("label=STICK", "label=Über")
        // Ü is a single byte there, which is no UTF-8.
        .says("\u{fffd}ber"),
    ]
}
