//! Partitions, and loop devices on the drive.

use crate::command::unmoor;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use unmoor_test_support::{
    Attached, LOOP_DEVICES, LOOP_PARTITIONS, LoopImage, Test, ok, shell, test,
};

fn every_partition_of_the_drive_goes_and_one_in_use_keeps_all() {
    let whole = LoopImage::new("unmoor-whole");
    let file = whole.beside("partitioned").join("image");
    std::fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
    let table = "label: dos\n,24M,L\n,24M,L\n";
    let mut sfdisk = Command::new("sfdisk");
    sfdisk.arg("-q").arg(&file).stdin(std::process::Stdio::piped());
    let mut child = sfdisk.spawn().unwrap();
    child.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let attached = Attached::new(&file, &["-P"]);
    let device = &attached.device;
    let parts = [format!("{device}p1"), format!("{device}p2")];
    let mounts = ["one", "two"].map(|name| whole.beside(name));
    for (part, mount) in parts.iter().zip(&mounts) {
        assert!(ok(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(part)));
        assert!(ok(Command::new("mount").arg(part).arg(mount)));
    }
    let mounted = || mounts.iter().filter(|m| ok(Command::new("mountpoint").arg(m))).count();
    let holder = shell("cd \"$1\"; echo; exec sleep 600", &mounts[1]);
    assert_eq!((unmoor(&["eject", &parts[0]]).code, mounted()), (3, 2));
    drop(holder);
    let answer = unmoor(&["eject", &parts[0]]);
    assert_eq!((answer.code, mounted()), (0, 0), "{}", answer.text);
}

fn an_image_on_the_drive_goes_first_and_one_in_use_keeps_both() {
    let image = LoopImage::new("unmoor-stacked");
    let file = image.mount.join("inner.img");
    std::fs::File::create(&file).unwrap().set_len(16 << 20).unwrap();
    assert!(ok(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&file)));
    let upper = Attached::new(&file, &[]);
    let inner = image.beside("inner");
    assert!(ok(Command::new("mount").arg(&upper.device).arg(&inner)));
    let mounted = || ok(Command::new("mountpoint").arg(&inner));
    let holder = shell("cd \"$1\"; echo; exec sleep 600", &inner);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, mounted(), image.mounts()), (3, true, 1), "{}", answer.text);
    drop(holder);
    // Another program may look at the upper device for a moment.
    let answer = unmoor(&["eject", "--wait", "30s", &image.device]);
    assert_eq!((answer.code, mounted(), image.mounts()), (0, false, 0), "{}", answer.text);
    assert!(!upper.is_attached() && !image.attached());
}

fn a_loop_device_over_the_drive_itself_goes_first_and_one_in_use_keeps_both() {
    let image = LoopImage::new("unmoor-over");
    assert!(ok(Command::new("umount").arg(&image.mount)));
    let upper = Attached::new(Path::new(&image.device), &[]);
    assert!(ok(Command::new("mount").arg(&upper.device).arg(&image.mount)));
    std::fs::write(image.mount.join("letter"), vec![b'x'; 100_000]).unwrap();
    let holder = shell("cd \"$1\"; echo; exec sleep 600", &image.mount);
    let mounted = || ok(Command::new("mountpoint").arg(&image.mount));
    for options in [&["eject"][..], &["eject", "--dismount-only"], &["who"]] {
        let words: Vec<&str> = options.iter().copied().chain([&*image.device]).collect();
        let answer = unmoor(&words);
        assert_eq!((answer.code, mounted()), (3, true), "{options:?}: {}", answer.text);
    }
    drop(holder);
    // Another program may look at the upper device for a moment.
    let answer = unmoor(&["eject", "--wait", "30s", &image.device]);
    assert_eq!((answer.code, mounted()), (0, false), "{}", answer.text);
    assert!(!upper.is_attached() && !image.attached(), "{}", answer.text);
    let written =
        Command::new("debugfs").args(["-R", "cat /letter"]).arg(image.file()).output().unwrap();
    assert_eq!(written.stdout, vec![b'x'; 100_000]);
}

/// The kernel detaches the loop device of `mount -o loop` at the unmount, and gives it another `diskseq`.
fn an_image_that_mount_attached_goes_with_its_unmount() {
    let image = LoopImage::new("unmoor-autoclear");
    let file = image.mount.join("inner.img");
    std::fs::File::create(&file).unwrap().set_len(16 << 20).unwrap();
    assert!(ok(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&file)));
    let inner = image.beside("inner");
    assert!(ok(Command::new("mount").args(["-o", "loop"]).arg(&file).arg(&inner)));
    let answer = unmoor(&["eject", "--wait", "30s", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
    assert!(!image.attached());
}

pub const TESTS: &[Test] = &[
    test!(an_image_that_mount_attached_goes_with_its_unmount, LOOP_DEVICES),
    test!(
        every_partition_of_the_drive_goes_and_one_in_use_keeps_all,
        LOOP_DEVICES,
        LOOP_PARTITIONS
    ),
    test!(an_image_on_the_drive_goes_first_and_one_in_use_keeps_both, LOOP_DEVICES),
    test!(a_loop_device_over_the_drive_itself_goes_first_and_one_in_use_keeps_both, LOOP_DEVICES),
];
