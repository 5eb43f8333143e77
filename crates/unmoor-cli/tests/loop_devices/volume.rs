//! `-u --volume`: one partition is dismounted, and the others of its drive stay mounted.

use crate::command::{Run, unmoor};
use std::path::PathBuf;
use std::process::Command;
use unmoor_test_support::{Attached, LOOP_DEVICES, LoopImage, Test, ok, shell, test};

/// Sectors at which the partitions begin, and their length.
const PARTITIONS: [(&str, &str); 2] = [("2048", "61440"), ("65536", "61440")];

/// A drive with two mounted partitions.
struct Drive {
    // Detached before its file goes: fields are dropped in this order.
    attached: Attached,
    /// Another drive, whose folder has the file and the mount points.
    other: LoopImage,
    parts: Vec<String>,
    mounts: Vec<PathBuf>,
}

impl Drive {
    fn new(label: &str) -> Drive {
        let other = LoopImage::new(label);
        let file = other.beside("partitioned").join("image");
        std::fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
        let attached = Attached::new(&file, &[]);
        let mut drive = Drive { attached, other, parts: Vec::new(), mounts: Vec::new() };
        for (number, (start, length)) in (1..).zip(PARTITIONS) {
            let device = &drive.attached.device;
            let number = number.to_string();
            assert!(ok(Command::new("addpart").args([device, &*number, start, length])));
            let part = format!("{device}p{number}");
            let label = format!("{label}{number}");
            assert!(ok(Command::new("mkfs.ext4").args(["-q", "-F", "-L", &label, &part])));
            let mount = drive.other.beside(&label);
            assert!(ok(Command::new("mount").arg(&part).arg(&mount)));
            drive.parts.push(part);
            drive.mounts.push(mount);
        }
        drive
    }

    fn is_mounted(&self, number: usize) -> bool {
        ok(Command::new("mountpoint").arg(&self.mounts[number]))
    }

    fn mounted(&self) -> [bool; 2] {
        [self.is_mounted(0), self.is_mounted(1)]
    }

    fn mount(&self, number: usize) {
        assert!(ok(Command::new("mount").arg(&self.parts[number]).arg(&self.mounts[number])));
    }
}

fn only(target: &str) -> Run {
    unmoor(&["eject", "-u", "--volume", target])
}

fn one_partition_is_dismounted_by_any_of_its_names_and_the_other_stays() {
    let drive = Drive::new("unmoor-vol");
    let path = drive.mounts[0].join("letter");
    for name in [
        &*drive.parts[0],
        drive.parts[0].trim_start_matches("/dev/"),
        drive.mounts[0].to_str().unwrap(),
        path.to_str().unwrap(),
        "LABEL=unmoor-vol1",
        "unmoor-vol1",
    ] {
        std::fs::write(&path, "Dear Ada").unwrap();
        // The other one may be in use meanwhile.
        let _holder = shell("cd \"$1\"; echo; exec sleep 600", &drive.mounts[1]);
        let run = only(name);
        assert_eq!((run.code, drive.mounted()), (0, [false, true]), "{name}: {}", run.text);
        assert!(
            run.text.contains("the other volumes of the drive were left alone"),
            "{}",
            run.text
        );
        drive.mount(0);
        assert_eq!(std::fs::read(&path).unwrap(), b"Dear Ada", "{name}");
    }
    assert!(drive.attached.is_attached());
}

fn a_partition_in_use_stays_and_only_its_users_are_named() {
    let drive = Drive::new("unmoor-use");
    let _other = shell("cd \"$1\"; echo; exec tail -f /dev/null", &drive.mounts[1]);
    let holder = shell("cd \"$1\"; echo; exec sleep 600", &drive.mounts[0]);
    let run = only(&drive.parts[0]);
    assert_eq!((run.code, drive.mounted()), (3, [true, true]), "{}", run.text);
    assert!(run.text.contains("sleep (pid") && !run.text.contains("tail (pid"), "{}", run.text);
    drop(holder);
    let run = only(&drive.parts[0]);
    assert_eq!((run.code, drive.mounted()), (0, [false, true]), "{}", run.text);
}

fn two_partitions_of_one_drive_go_together_or_not_at_all() {
    let drive = Drive::new("unmoor-two");
    let both = ["eject", "-u", "--volume", &*drive.parts[0], &*drive.parts[1]];
    let holder = shell("cd \"$1\"; echo; exec sleep 600", &drive.mounts[1]);
    let run = unmoor(&both);
    assert_eq!((run.code, drive.mounted()), (3, [true, true]), "{}", run.text);
    drop(holder);
    let run = unmoor(&both);
    assert_eq!((run.code, drive.mounted()), (0, [false, false]), "{}", run.text);
    assert!(drive.attached.is_attached());
}

fn a_name_of_the_whole_drive_is_refused_and_so_is_an_eject() {
    let drive = Drive::new("unmoor-all");
    let run = only(&drive.attached.device);
    assert_eq!((run.code, drive.mounted()), (2, [true, true]), "{}", run.text);
    assert!(run.text.contains(drive.parts[1].trim_start_matches("/dev/")), "{}", run.text);
    let run = unmoor(&["eject", "--volume", &drive.parts[0]]);
    assert_eq!((run.code, drive.mounted()), (2, [true, true]), "{}", run.text);
    // A file system on a whole drive is its only volume.
    let run = only(&drive.other.device);
    assert_eq!((run.code, drive.other.mounts()), (0, 0), "{}", run.text);
    assert!(drive.other.attached());
}

fn a_partition_that_carries_another_mount_is_refused() {
    let drive = Drive::new("unmoor-in");
    let inside = drive.mounts[0].join("inside");
    std::fs::create_dir(&inside).unwrap();
    assert!(ok(Command::new("umount").arg(&drive.mounts[1])));
    assert!(ok(Command::new("mount").arg(&drive.parts[1]).arg(&inside)));
    let run = only(&drive.parts[0]);
    assert_eq!((run.code, drive.is_mounted(0)), (3, true), "{}", run.text);
    assert!(ok(Command::new("mountpoint").arg(&inside)));
    // The upper one goes alone.
    let run = only(inside.to_str().unwrap());
    assert_eq!((run.code, drive.is_mounted(0)), (0, true), "{}", run.text);
    assert!(!ok(Command::new("mountpoint").arg(&inside)));
}

fn a_forced_dismount_cuts_off_the_users_of_that_partition_alone() {
    let drive = Drive::new("unmoor-cut");
    let script = "exec 3>\"$1/file\"; echo; while sleep 0.05; do echo x >&3 || exit 7; done";
    let mut cut = shell(script, &drive.mounts[0]);
    let mut other = shell(script, &drive.mounts[1]);
    let run = unmoor(&["eject", "-u", "--volume", "--force", &drive.parts[0]]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert_eq!(drive.mounted(), [false, true], "{}", run.text);
    assert_eq!(cut.0.wait().unwrap().code(), Some(7), "{}", run.text);
    assert!(other.0.try_wait().unwrap().is_none());
}

pub const TESTS: &[Test] = &[
    test!(one_partition_is_dismounted_by_any_of_its_names_and_the_other_stays, LOOP_DEVICES),
    test!(a_partition_in_use_stays_and_only_its_users_are_named, LOOP_DEVICES),
    test!(two_partitions_of_one_drive_go_together_or_not_at_all, LOOP_DEVICES),
    test!(a_name_of_the_whole_drive_is_refused_and_so_is_an_eject, LOOP_DEVICES),
    test!(a_partition_that_carries_another_mount_is_refused, LOOP_DEVICES),
    test!(a_forced_dismount_cuts_off_the_users_of_that_partition_alone, LOOP_DEVICES),
];
