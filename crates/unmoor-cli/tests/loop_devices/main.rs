//! The command on real block devices of this machine: loop devices over image files.
//!
//! These tests need root and a kernel with loop devices and ext4; each reports when it skips. The
//! virtual machine tests the same promises on emulated drives.
#![cfg(target_os = "linux")]

mod batch;
mod image;
mod kill;
mod names;
mod process_load;
mod raw;
mod unprivileged;
mod waiting;

use image::{Image, alone, answer, attach, is_attached, ran, shell, unmoor};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_way_to_name_it_releases_it() {
    let Some(mut image) = Image::new("unmoor-names") else { return };
    std::fs::write(image.mount.join("letter.txt"), "Dear Ada").unwrap();
    let names = [
        image.device.clone(),
        image.device.trim_start_matches("/dev/").to_string(),
        image.mount.display().to_string(),
        image.mount.join("letter.txt").display().to_string(),
        image.file().display().to_string(),
        "LABEL=unmoor-names".to_string(),
    ];
    for name in names {
        // The free loop device may be another one the second time.
        let name = if name.contains("loop") { name_of(&name, &image.device) } else { name };
        let answer = unmoor(&["eject", &name]);
        assert_eq!(answer.code, 0, "{name}: {}", answer.text);
        assert_eq!(image.mounts(), 0, "{name}");
        assert!(!image.attached(), "{name}");
        image.insert();
    }
}

fn name_of(like: &str, device: &str) -> String {
    if like.starts_with("/dev/") {
        device.into()
    } else {
        device.trim_start_matches("/dev/").into()
    }
}

#[test]
fn a_uuid_may_be_typed_in_capitals() {
    let Some(image) = Image::new("unmoor-uuid") else { return };
    let blkid =
        Command::new("blkid").args(["-p", "-o", "value", "-s", "UUID", &image.device]).output();
    let uuid = String::from_utf8(blkid.unwrap().stdout).unwrap().trim().to_uppercase();
    let answer = unmoor(&["eject", &format!("UUID={uuid}")]);
    assert_eq!(answer.code, 0, "{}", answer.text);
    assert!(!image.attached());
}

#[test]
fn what_was_just_written_is_in_the_image() {
    let Some(mut image) = Image::new("unmoor-data") else { return };
    let data: Vec<u8> =
        (0..20u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(image.mount.join("data"), &data).unwrap();
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
    let fsck = image.fsck();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
    image.insert();
    assert!(std::fs::read(image.mount.join("data")).unwrap() == data);
}

#[test]
fn an_open_file_is_refused_and_everything_stays() {
    let Some(image) = Image::new("unmoor-busy") else { return };
    let mut file = std::fs::File::create(image.mount.join("open")).unwrap();
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!(answer.code, 3, "{}", answer.text);
    assert!(answer.text.contains("in use"), "{}", answer.text);
    assert_eq!(image.mounts(), 1);
    file.write_all(b"still usable").unwrap();
    file.sync_all().unwrap();
    drop(file);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}

#[test]
fn wait_goes_on_when_the_holder_leaves() {
    let Some(image) = Image::new("unmoor-wait") else { return };
    let _holder = shell("cd \"$1\"; echo; exec sleep 2", &image.mount);
    let answer = unmoor(&["eject", "--wait", "60s", &image.device]);
    assert_eq!(answer.code, 0, "{}", answer.text);
    assert!(!image.attached());
}

#[test]
fn several_mount_points_and_a_bind_mount_go_together() {
    let Some(image) = Image::new("unmoor-several") else { return };
    let (second, bound) = (image.beside("second"), image.beside("bound"));
    image.mount_at(&second);
    std::fs::create_dir(image.mount.join("dir")).unwrap();
    assert!(ran(Command::new("mount").arg("--bind").arg(image.mount.join("dir")).arg(&bound)));
    assert_eq!(image.mounts(), 3);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
}

#[test]
fn a_use_of_one_mount_point_keeps_them_all() {
    let Some(image) = Image::new("unmoor-one-of") else { return };
    let second = image.beside("second");
    image.mount_at(&second);
    let _holder = shell("cd \"$1\"; echo; exec sleep 600", &second);
    assert_eq!(unmoor(&["eject", &image.device]).code, 3);
    assert_eq!(image.mounts(), 2);
}

#[test]
fn a_mount_in_its_own_mount_goes_first() {
    let Some(image) = Image::new("unmoor-nested") else { return };
    let inner = image.mount.join("inner");
    std::fs::create_dir(&inner).unwrap();
    image.mount_at(&inner);
    assert_eq!(image.mounts(), 2);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
}

#[test]
fn a_use_below_its_own_nested_mount_is_found_before_anything_is_touched() {
    let Some(image) = Image::new("unmoor-nested-busy") else { return };
    let inner = image.mount.join("inner");
    std::fs::create_dir(&inner).unwrap();
    image.mount_at(&inner);
    // The outer mount cannot be probed while another one lies on it.
    let _holder = shell("exec 9>\"$1\"; echo; exec sleep 600", &image.mount.join("open"));
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (3, 2), "{}", answer.text);
}

#[test]
fn another_drive_mounted_inside_is_a_blocker() {
    let (Some(image), Some(other)) = (Image::new("unmoor-outer"), Image::new("unmoor-inner"))
    else {
        return;
    };
    let inside = image.mount.join("other");
    std::fs::create_dir(&inside).unwrap();
    other.mount_at(&inside);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts(), other.mounts()), (3, 1, 2), "{}", answer.text);
    assert_eq!(unmoor(&["eject", &other.device]).code, 0);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}

#[test]
fn a_mount_in_another_namespace_is_found_before_anything_is_touched() {
    let alone = alone();
    let Some(image) = Image::new_alone("unmoor-namespace", &alone) else { return };
    let inside = "exec unshare -m --propagation private sh -c 'echo; exec sleep 600'";
    let _holder = shell(inside, &image.mount);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
    assert!(answer.text.contains("namespace"), "{}", answer.text);
}

#[test]
fn a_file_open_in_a_copy_of_the_mount_is_found_before_anything_is_touched() {
    let alone = alone();
    let Some(image) = Image::new_alone("unmoor-copy", &alone) else { return };
    // Only a shared mount propagates mount events to its copies.
    let shared = image.beside("shared");
    let shared_is = |how: &str| ran(Command::new("mount").arg(how).arg(&shared).arg(&shared));
    assert!(shared_is("--bind") && ran(Command::new("mount").arg("--make-shared").arg(&shared)));
    let inside = shared.join("stick");
    std::fs::create_dir(&inside).unwrap();
    assert!(ran(Command::new("mount").arg("--move").arg(&image.mount).arg(&inside)));
    let script = "exec unshare -m --propagation slave sh -c 'exec 9>\"$1\"/open; echo; exec sleep 600' sh \"$1\"";
    let holder = shell(script, &inside);
    let refused = unmoor(&["eject", &image.device]);
    let left = image.mounts();
    drop(holder);
    let released = unmoor(&["eject", &image.device]);
    ran(Command::new("umount").arg("-l").arg(&shared));
    assert_eq!((refused.code, left), (3, 1), "{}", refused.text);
    assert!(refused.text.contains("sleep"), "who it is: {}", refused.text);
    assert_eq!(released.code, 0, "{}", released.text);
}

#[test]
fn force_cuts_off_an_open_file_and_keeps_what_was_written() {
    let Some(image) = Image::new("unmoor-force") else { return };
    let path = image.mount.join("open");
    let mut file = std::fs::File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    file.write_all(b"written before").unwrap();
    let answer = unmoor(&["eject", "--force", &image.device]);
    assert_eq!(image.mounts(), 0, "{}", answer.text);
    let cut_off =
        |error: std::io::Error| assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    cut_off(file.write_all(b"written after").unwrap_err());
    file.rewind().unwrap();
    cut_off(file.read(&mut [0; 8]).unwrap_err());
    drop(file);
    let fsck = image.fsck();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}

#[test]
fn force_cuts_off_writers_in_another_mount_namespace() {
    let alone = alone();
    let Some(image) = Image::new_alone("unmoor-elsewhere", &alone) else { return };
    let script = "exec unshare -m --propagation private sh -c \
        'exec 7>\"$1/held\"; echo; while echo x >&7; do sleep 0.01; done; exec sleep 600' sh \"$1\"";
    let holder = shell(script, &image.mount);
    let size = || {
        let path = format!("/proc/{}/root{}/held", holder.0.id(), image.mount.display());
        std::fs::metadata(path).map(|m| m.len()).ok()
    };
    let answer = unmoor(&["eject", "--force", "--dismount-only", "-v", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
    assert!(answer.text.contains("FS_IOC_SHUTDOWN ok"), "{}", answer.text);
    let before = std::fs::read(image.file()).unwrap();
    let size_then = size();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(size(), size_then, "it writes on");
    assert!(std::fs::read(image.file()).unwrap() == before, "it reaches the image");
}

#[test]
fn a_dry_run_and_a_status_touch_nothing() {
    let Some(image) = Image::new("unmoor-dry") else { return };
    for arguments in [&["eject", "--dry-run"][..], &["status"], &["flush"]] {
        let answer = unmoor(&[arguments, &[&*image.device]].concat());
        assert_eq!(answer.code, 0, "{}", answer.text);
        assert!(image.mounts() == 1 && image.attached(), "{arguments:?}");
    }
}

#[test]
fn dismount_only_leaves_the_image_attached() {
    let Some(image) = Image::new("unmoor-dismount") else { return };
    let answer = unmoor(&["eject", "--dismount-only", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
    assert!(image.attached());
}

#[test]
fn every_partition_of_the_drive_goes_and_one_in_use_keeps_all() {
    let Some(whole) = Image::new("unmoor-whole") else { return };
    let file = whole.beside("partitioned").join("image");
    std::fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
    let table = "label: dos\n,24M,L\n,24M,L\n";
    let mut sfdisk = Command::new("sfdisk");
    sfdisk.arg("-q").arg(&file).stdin(std::process::Stdio::piped());
    let mut child = sfdisk.spawn().unwrap();
    child.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let device = attach(&file, &["-P"]).unwrap();
    let detach = Detach(device.clone(), file);
    let parts = [format!("{device}p1"), format!("{device}p2")];
    if !Path::new(&parts[1]).exists() {
        eprintln!("skipped: this kernel reads no partition tables of loop devices");
        return;
    }
    let mounts = ["one", "two"].map(|name| whole.beside(name));
    for (part, mount) in parts.iter().zip(&mounts) {
        assert!(ran(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(part)));
        assert!(ran(Command::new("mount").arg(part).arg(mount)));
    }
    let mounted = || mounts.iter().filter(|m| ran(Command::new("mountpoint").arg(m))).count();
    let holder = shell("cd \"$1\"; echo; exec sleep 600", &mounts[1]);
    assert_eq!((unmoor(&["eject", &parts[0]]).code, mounted()), (3, 2));
    drop(holder);
    let answer = unmoor(&["eject", &parts[0]]);
    assert_eq!((answer.code, mounted()), (0, 0), "{}", answer.text);
    drop(detach);
}

#[test]
fn an_image_on_the_drive_goes_first_and_one_in_use_keeps_both() {
    let Some(image) = Image::new("unmoor-stacked") else { return };
    let file = image.mount.join("inner.img");
    std::fs::File::create(&file).unwrap().set_len(16 << 20).unwrap();
    assert!(ran(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&file)));
    let device = attach(&file, &[]).unwrap();
    let detach = Detach(device.clone(), file.clone());
    let inner = image.beside("inner");
    assert!(ran(Command::new("mount").arg(&device).arg(&inner)));
    let mounted = || ran(Command::new("mountpoint").arg(&inner));
    let holder = shell("cd \"$1\"; echo; exec sleep 600", &inner);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, mounted(), image.mounts()), (3, true, 1), "{}", answer.text);
    drop(holder);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, mounted(), image.mounts()), (0, false, 0), "{}", answer.text);
    assert!(!is_attached(&device, &file) && !image.attached());
    drop(detach);
}

#[test]
fn a_loop_device_over_the_drive_itself_goes_first_and_one_in_use_keeps_both() {
    let Some(image) = Image::new("unmoor-over") else { return };
    assert!(ran(Command::new("umount").arg(&image.mount)));
    let device = attach(Path::new(&image.device), &[]).unwrap();
    let over = PathBuf::from(&image.device);
    let detach = Detach(device.clone(), over.clone());
    assert!(ran(Command::new("mount").arg(&device).arg(&image.mount)));
    std::fs::write(image.mount.join("letter"), vec![b'x'; 100_000]).unwrap();
    let holder = shell("cd \"$1\"; echo; exec sleep 600", &image.mount);
    let mounted = || ran(Command::new("mountpoint").arg(&image.mount));
    for options in [&["eject"][..], &["eject", "--dismount-only"], &["who"]] {
        let words: Vec<&str> = options.iter().copied().chain([&*image.device]).collect();
        let answer = unmoor(&words);
        assert_eq!((answer.code, mounted()), (3, true), "{options:?}: {}", answer.text);
    }
    drop(holder);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, mounted()), (0, false), "{}", answer.text);
    assert!(!is_attached(&device, &over) && !image.attached(), "{}", answer.text);
    let written =
        Command::new("debugfs").args(["-R", "cat /letter"]).arg(image.file()).output().unwrap();
    assert_eq!(written.stdout, vec![b'x'; 100_000]);
    drop(detach);
}

/// Detaches the loop device if a test has left it attached.
struct Detach(String, PathBuf);

impl Drop for Detach {
    fn drop(&mut self) {
        if !is_attached(&self.0, &self.1) {
            return;
        }
        for part in ["p1", "p2"] {
            ran(Command::new("umount").arg(format!("{}{part}", self.0)));
        }
        ran(Command::new("losetup").args(["-d", &self.0]));
    }
}

#[test]
fn the_running_system_is_refused() {
    for name in ["/", "/usr"] {
        let answer = unmoor(&["eject", "--force", name]);
        assert_eq!(answer.code, 1, "{}", answer.text);
        assert!(answer.text.contains("running system"), "{}", answer.text);
    }
}

#[test]
fn a_user_without_permission_gets_a_fix() {
    let Some(image) = Image::new("unmoor-user") else { return };
    let program = image.beside("bin").join("unmoor");
    std::fs::copy(env!("CARGO_BIN_EXE_unmoor"), &program).unwrap();
    for dir in [image.beside("bin"), image.beside("")] {
        assert!(ran(Command::new("chmod").arg("755").arg(dir)));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    let answer = answer(command.arg(program).args(["eject", &image.device]));
    assert_eq!(answer.code, 5, "{}", answer.text);
    assert!(answer.text.contains("sudo"), "{}", answer.text);
    assert_eq!(image.mounts(), 1);
}

#[test]
fn what_cannot_load_says_so_and_not_that_it_was_dismounted() {
    let Some(image) = Image::new("unmoor-load") else { return };
    let answer = unmoor(&["load", &image.device]);
    assert_eq!((answer.code, image.mounts()), (7, 1), "{}", answer.text);
    assert!(!answer.text.contains("dismounted"), "{}", answer.text);
}

#[test]
fn a_loop_device_without_an_image_has_no_medium() {
    let Some(image) = Image::new("unmoor-empty") else { return };
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
    if !image.attached() {
        assert_eq!(unmoor(&["eject", &image.device]).code, 4);
    }
}

/// Without udev the command reads the medium itself. `list` did so already; the other commands returned
/// null.
#[test]
fn every_document_has_the_label_and_the_uuid() {
    let Some(image) = Image::new("unmoor-label") else { return };
    for words in [&["eject", "--dry-run"][..], &["who"], &["status"], &["flush"], &["eject"]] {
        let answer = unmoor(&[words, &["--json", &image.device]].concat());
        let document: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        let volume = &document["targets"][0]["drive"]["volumes"][0];
        assert_eq!(volume["label"], "unmoor-label", "{words:?}: {volume}");
        assert_eq!(volume["uuid"].as_str().map(str::len), Some(36), "{words:?}: {volume}");
        assert_eq!(volume["file_system"], "ext4", "{words:?}: {volume}");
    }
}
