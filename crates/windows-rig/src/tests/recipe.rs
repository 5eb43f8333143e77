//! The recipe: flush, lock, dismount, eject, unlock, each on the handle and in the order it demands.

use crate::Test;
use crate::scenarios::*;

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "recipe/order",
            "a stick is flushed, locked, dismounted, ejected",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .says("released")
        .journal("open E: to write -> SUCCESS")
        .journal("unmoor: flush E: -> SUCCESS")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS")
        .journal("FSCTL_DISMOUNT_VOLUME E: -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS")
        .never("while mounted"),
        Test::new(
            "recipe/unlock",
            "the lock is released at the end, also after a failure",
            &["eject", "--dismount-only", "E:"],
            0,
        )
        .on(STICK)
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS")
        .journal("FSCTL_UNLOCK_VOLUME E: -> SUCCESS"),
        Test::new(
            "recipe/disc-not-flushed",
            "a disc is opened to read, and not flushed",
            &["eject", "G:"],
            0,
        )
        .on(CD)
        .journal("open G: to read -> SUCCESS")
        .journal("FSCTL_LOCK_VOLUME G: -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA G: -> SUCCESS")
        .never("open G: to write")
        .never("flush G:"),
        Test::new(
            "recipe/flush-not-permitted",
            "a user who may not open to write gets a warning, and the release goes on",
            &["eject", "E:"],
            0,
        )
        .on("system restricted=1")
        .on(STICK)
        .says("released")
        .journal("open E: to write -> ACCESS_DENIED")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "recipe/lock-on-read-handle",
            "lock and dismount use a handle that was opened to read",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .at_most(1, "open E: to write")
        .journal("unmoor: flush E:")
        .journal("open E: to read -> SUCCESS")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS"),
        Test::new(
            "recipe/lock-refused-while-open",
            "with a file open it is busy, nothing is dismounted, the holder is named",
            &["eject", "E:"],
            3,
        )
        .on(STICK)
        .reader(r"E:\held.txt")
        .says("rig.exe")
        .says(r"E:\held.txt")
        .journal("FSCTL_LOCK_VOLUME E: -> ACCESS_DENIED")
        .never("FSCTL_DISMOUNT_VOLUME")
        .never("EJECT_MEDIA"),
        Test::new(
            "recipe/lock-granted-after-close",
            "with --wait the lock is tried until the file is closed",
            &["eject", "--wait", "20s", "E:"],
            0,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK foreign-handles=1 foreign-ms=2500")
        .journal("FSCTL_LOCK_VOLUME E: -> ACCESS_DENIED")
        .journal("FSCTL_LOCK_VOLUME E: -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "recipe/force",
            "--force dismounts without the lock; old handles answer VOLUME_DISMOUNTED",
            &["eject", "--force", "E:"],
            0,
        )
        .on(STICK)
        .writer(r"E:\held.txt")
        .journal("FSCTL_DISMOUNT_VOLUME E: without a lock -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS")
        .journal("holder: flush E: -> VOLUME_DISMOUNTED"),
        Test::new(
            "recipe/force-after-any-refusal",
            "--force dismounts after any refusal of the lock",
            &["eject", "--force", "E:"],
            0,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK lock-status=0xC000000D")
        .journal("FSCTL_DISMOUNT_VOLUME E: without a lock -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "recipe/no-unlock-without-lock",
            "a volume that was not locked is not unlocked",
            &["eject", "--force", "-v", "E:"],
            0,
        )
        .on(STICK)
        .reader(r"E:\held.txt")
        .journal("FSCTL_DISMOUNT_VOLUME E: without a lock -> SUCCESS")
        .never("FSCTL_UNLOCK_VOLUME")
        .never_says("158"),
        Test::new("recipe/load", "a tray is closed by LOAD_MEDIA", &["load", "G:"], 0)
            .on(CD)
            .with("removable=1", "removable=1 media=0")
            .journal("IOCTL_STORAGE_LOAD_MEDIA"),
        Test::new(
            "recipe/dismount-only",
            "--dismount-only leaves the medium in",
            &["eject", "--dismount-only", "E:"],
            0,
        )
        .on(STICK)
        .journal("FSCTL_DISMOUNT_VOLUME E: -> SUCCESS")
        .never("EJECT_MEDIA"),
        Test::new(
            "recipe/offline",
            "--offline takes the volume offline after the dismount",
            &["eject", "--dismount-only", "--offline", "E:"],
            0,
        )
        .on(STICK)
        .on("system other-program=1")
        .journal("FSCTL_DISMOUNT_VOLUME E: -> SUCCESS")
        .journal("IOCTL_VOLUME_OFFLINE E: -> SUCCESS")
        .never("mounted for another program"),
        Test::new(
            "recipe/remount",
            "remount opens the root folder, which mounts the volume",
            &["remount", "E:"],
            0,
        )
        .on(STICK)
        .with("label=STICK dirty=1", "label=STICK mounted=0")
        .journal("E:: mounted for unmoor"),
        Test::new(
            "dismount/remount-within-deadline",
            "remount ends where a drive does not answer",
            &["remount", "E:"],
            1,
        )
        .on(STICK)
        .with("label=STICK dirty=1", "label=STICK mounted=0 root-ms=100000")
        .deadline(75),
        Test::new(
            "recipe/volumes-all",
            "every volume of the drive is dismounted, also one without a letter",
            &["eject", "K:"],
            0,
        )
        .on(TWO_VOLUMES)
        .journal("FSCTL_LOCK_VOLUME HarddiskVolume12 -> SUCCESS")
        .journal("FSCTL_DISMOUNT_VOLUME")
        .journal("FSCTL_DISMOUNT_VOLUME")
        .journal("IOCTL_STORAGE_EJECT_MEDIA")
        .never("while mounted"),
        Test::new(
            "recipe/volumes-none",
            "one busy volume keeps all of them mounted",
            &["eject", "K:"],
            3,
        )
        .on(TWO_VOLUMES)
        .with("label=HIDDEN", "label=HIDDEN foreign-handles=1")
        .journal("FSCTL_LOCK_VOLUME HarddiskVolume12 -> ACCESS_DENIED")
        .never("FSCTL_DISMOUNT_VOLUME")
        .never("EJECT_MEDIA"),
        Test::new(
            "recipe/spanned-refused",
            "a volume over several disks is refused unless all are named",
            &["eject", "N:"],
            3,
        )
        .on(SPANNED)
        .never("FSCTL_LOCK_VOLUME"),
    ]
}
