//! Opening, locking, dismounting: who may, how long it takes, what it proves.

use crate::Test;
use crate::scenarios::*;

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "lock/ntfs-not-this-users",
            "NTFS refuses a user who is no administrator: said so",
            &["eject", "E:"],
            5,
        )
        .or_code(3)
        .on("system restricted=1")
        .on(STICK)
        .with("fs=fat32", "fs=ntfs")
        .says("administrator")
        .journal("FSCTL_LOCK_VOLUME E: -> ACCESS_DENIED"),
        Test::new(
            "lock/fat-not-this-users",
            "FAT refuses a user who may not manage the volume: not permitted",
            &["eject", "E:"],
            5,
        )
        .on("system restricted=1")
        .on(STICK)
        .with("label=STICK", "label=STICK refuses-manage=1")
        .says("administrator"),
        Test::new(
            "lock/held-by-other-program",
            "a volume that another program has locked is busy, and told as locked",
            &["eject", "E:"],
            3,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK locked=1")
        .says("locked")
        .never_says("as administrator"),
        Test::new(
            "lock/burner",
            "a drive in exclusive use names the program that burns",
            &["eject", "G:"],
            3,
        )
        .on(CD)
        .with("removable=1", "removable=1 exclusive=Nero")
        .says("Nero")
        .never_says("as administrator"),
        Test::new(
            "lock/open-within-deadline",
            "an open that flushes for long does not outlast --timeout",
            &["eject", "--timeout", "3s", "E:"],
            1,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK open-ms=60000")
        .deadline(25),
        Test::new(
            "lock/patience",
            "programs that close the volume within ten seconds do not make it busy",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK foreign-handles=1 foreign-ms=4000")
        .journal("FSCTL_LOCK_VOLUME E: -> ACCESS_DENIED")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS"),
        Test::new(
            "lock/slow-lock",
            "unmoor waits for a lock that takes eight seconds to flush",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK lock-ms=8000")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS"),
        Test::new(
            "lock/one-handle",
            "every attempt to lock uses the same handle",
            &["eject", "--wait", "3s", "E:"],
            3,
        )
        .on(STICK)
        .reader(r"E:\held.txt")
        .journal("FSCTL_LOCK_VOLUME E: -> ACCESS_DENIED")
        .at_most(2, "open E: to"),
        Test::new(
            "lock/own-current-directory",
            "unmoor leaves its current directory on the drive",
            &["eject", "."],
            0,
        )
        .on(r"system current-directory=E:\")
        .on(STICK)
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS"),
        Test::new(
            "lock/raw-writer",
            "a program that writes to the disk itself blocks the release",
            &["eject", "PhysicalDrive1"],
            3,
        )
        .on(STICK)
        .with("volume letter=E disk=1 fs=fat32 label=STICK dirty=1", "")
        .with("removable=1", "removable=1 writers=1")
        .never("EJECT_MEDIA"),
        Test::new(
            "lock/raw-writer-named",
            "the program that writes to the disk itself is named",
            &["who", "PhysicalDrive1"],
            3,
        )
        .on(STICK)
        .with("volume letter=E disk=1 fs=fat32 label=STICK dirty=1", "")
        .writer(r"\\.\PhysicalDrive1")
        .says("rig.exe"),
        Test::new(
            "lock/offline-disk",
            "a disk that is offline, given to a virtual machine, is refused",
            &["eject", "--power-off", "PhysicalDrive2"],
            3,
        )
        .or_code(1)
        .on(USB_DISK)
        .with("volume letter=F disk=2 fs=ntfs label=BACKUP dirty=1 size=1000000000000", "")
        .with("hotplug=1", "hotplug=1 offline=1")
        .never("EJECT_MEDIA")
        .never("CM_Request_Device_Eject"),
        Test::new(
            "dismount/proved",
            "the dismount is proved by FSCTL_IS_VOLUME_MOUNTED",
            &["eject", "--dismount-only", "E:"],
            0,
        )
        .on(STICK)
        .journal("FSCTL_DISMOUNT_VOLUME E: -> SUCCESS")
        .journal("FSCTL_IS_VOLUME_MOUNTED E: -> VOLUME_DISMOUNTED"),
        Test::new(
            "dismount/mounted-again",
            "a warning names a volume that another program mounts again at once",
            &["eject", "--dismount-only", "E:"],
            0,
        )
        .or_code(1)
        .on("system other-program=1")
        .on(STICK)
        .says("again"),
        Test::new(
            "dismount/medium-swapped",
            "a medium that is swapped meanwhile is left alone",
            &["eject", "E:"],
            1,
        )
        .on(STICK)
        .with("label=STICK dirty=1", "label=STICK")
        .with("removable=1", "removable=1 swap-at=\"unmoor: flush\"")
        .never("EJECT_MEDIA"),
        Test::new(
            "dismount/page-file",
            "a volume with a page file is never dismounted",
            &["eject", "--force", "E:"],
            1,
        )
        .or_code(3)
        .or_code(5)
        .on(STICK)
        .with("label=STICK", "label=STICK paging=1")
        .never("EJECT_MEDIA"),
        Test::new(
            "who/blocked-pipes",
            "pipes with a blocked read do not keep the holder from being named",
            &["who", "-v", "E:"],
            3,
        )
        .on("system stuck-pipes=1")
        .on(STICK)
        .blocked_pipes("20")
        .reader(r"E:\held.txt")
        .says(r"E:\held.txt")
        .never_says("no answer")
        .never_says("not looked at"),
        Test::new(
            "who/blocked-pipes-while-waiting",
            "the same when a release is refused",
            &["eject", "E:"],
            3,
        )
        .on("system stuck-pipes=1")
        .on(STICK)
        .blocked_pipes("20")
        .reader(r"E:\held.txt")
        .says(r"E:\held.txt")
        .never_says("no answer")
        .never_says("not looked at"),
        Test::new(
            "who/holder",
            "the holder is named with process, path and access",
            &["who", "--json", "E:"],
            3,
        )
        .on(STICK)
        .writer(r"E:\held.txt")
        .json("/targets/0/blockers/0/process/name", "rig.exe")
        .json("/targets/0/blockers/0/uses/0/path", r"E:\held.txt")
        .json("/targets/0/blockers/0/uses/0/kind", "open-for-writing"),
        Test::new(
            "who/volume-held",
            "a program that has the volume itself open is named",
            &["who", "E:"],
            3,
        )
        .on(STICK)
        .reader(r"\\.\E:")
        .says("rig.exe"),
        Test::new(
            "who/application",
            "the application is named as the Restart Manager knows it",
            &["who", "--json", "E:"],
            3,
        )
        .on(STICK)
        .writer(r"E:\held.txt")
        .says("Rig Holder"),
        Test::new(
            "who/window-title",
            "the title of the holder's window stands in the remedy",
            &["who", "E:"],
            3,
        )
        .on(r#"system window-title="letter - Rig""#)
        .on(STICK)
        .reader(r"E:\held.txt")
        .says(r#"(window "letter - Rig")"#),
        Test::new(
            "who/protected-process",
            "who does not say 'not in use' while a process could not be inspected",
            &["who", "E:"],
            5,
        )
        .on("system protected-process=1")
        .on(STICK)
        .says("1 process could not be inspected")
        .never("FSCTL_LOCK_VOLUME"),
        Test::new(
            "who/try-lock",
            "who --try-lock shows by a lock that nothing is open, and unlocks",
            &["who", "--try-lock", "E:"],
            0,
        )
        .on("system protected-process=1")
        .on(STICK)
        .says("not in use")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS")
        .journal("handle closed: E: unlocked")
        .never("FSCTL_DISMOUNT_VOLUME")
        .never("EJECT_MEDIA"),
        Test::new(
            "who/try-lock-refused",
            "a lock that is refused shows a user that was not found",
            &["who", "--try-lock", "E:"],
            3,
        )
        .on("system protected-process=1")
        .on(STICK)
        .with("label=STICK", "label=STICK foreign-handles=1")
        .says("not found"),
        Test::new(
            "kill/asked",
            "--kill asks the program to close, by the Restart Manager",
            &["eject", "--kill", "--yes", "E:"],
            0,
        )
        .on(STICK)
        .writer(r"E:\held.txt")
        .journal("RmShutdown -> asked")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS")
        .never("RmShutdown -> remains"),
        Test::new(
            "kill/ended",
            "--kill ends a program that does not close within --grace",
            &["eject", "--kill", "--yes", "--grace", "2s", "E:"],
            0,
        )
        .on(STICK)
        .stubborn(r"E:\held.txt")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS"),
        Test::new(
            "kill/not-without-consent",
            "--kill without --yes and without a terminal ends no program",
            &["eject", "--kill", "E:"],
            3,
        )
        .or_code(2)
        .on(STICK)
        .writer(r"E:\held.txt")
        .journal("holder: flush E: -> SUCCESS")
        .never("RmShutdown"),
        Test::new(
            "kill/service-not-without-option",
            "--kill alone stops no service",
            &["eject", "--kill", "--yes", "E:"],
            3,
        )
        .on(STICK)
        .service(r"E:\held.txt")
        .says("belongs to a service")
        .says("net stop RigService /y")
        .journal("holder: flush E: -> SUCCESS")
        .never("RmShutdown"),
        Test::new(
            "kill/service",
            "--kill --services stops the service, and starts it again after the release",
            &["eject", "--kill", "--services", "--yes", "E:"],
            0,
        )
        .on(STICK)
        .service(r"E:\held.txt")
        .journal("RmShutdown of a service -> asked")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS")
        .journal("RmRestart -> started")
        .never("RmShutdown of a service -> remains"),
        Test::new(
            "kill/service-remains",
            "a service that does not stop is never ended by force",
            &["eject", "--kill", "--services", "--yes", "--grace", "1s", "E:"],
            3,
        )
        .on(STICK)
        .stubborn_service(r"E:\held.txt")
        .journal("holder: flush E: -> SUCCESS")
        .never("EJECT_MEDIA")
        .deadline(60),
    ]
}
