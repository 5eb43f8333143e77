//! Names of a drive, and what is reported about it.

use crate::command::{answer, unmoor};
use std::process::Command;
use unmoor_test_support::{LOOP_DEVICES, LoopImage, Test, ok, test};

fn every_way_to_name_it_releases_it() {
    let mut image = LoopImage::new("unmoor-names");
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
        let answer = unmoor(&["eject", &name]);
        assert_eq!(answer.code, 0, "{name}: {}", answer.text);
        assert_eq!(image.mounts(), 0, "{name}");
        assert!(!image.attached(), "{name}");
        image.insert();
    }
}

fn a_uuid_may_be_typed_in_capitals() {
    let image = LoopImage::new("unmoor-uuid");
    let blkid =
        Command::new("blkid").args(["-p", "-o", "value", "-s", "UUID", &image.device]).output();
    let uuid = String::from_utf8(blkid.unwrap().stdout).unwrap().trim().to_uppercase();
    let answer = unmoor(&["eject", &format!("UUID={uuid}")]);
    assert_eq!(answer.code, 0, "{}", answer.text);
    assert!(!image.attached());
}

/// Where no udev runs the medium itself is asked; `list` did so, the others said null.
fn every_document_has_the_label_and_the_uuid() {
    let image = LoopImage::new("unmoor-label");
    for words in [&["eject", "--dry-run"][..], &["who"], &["status"], &["flush"], &["eject"]] {
        let answer = unmoor(&[words, &["--json", &image.device]].concat());
        let document: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        let volume = &document["targets"][0]["drive"]["volumes"][0];
        assert_eq!(volume["label"], "unmoor-label", "{words:?}: {volume}");
        assert_eq!(volume["uuid"].as_str().map(str::len), Some(36), "{words:?}: {volume}");
        assert_eq!(volume["file_system"], "ext4", "{words:?}: {volume}");
    }
}

/// The kernel counts the reads of each device. Another test may list it at the same time, so one run of many counts.
fn a_device_that_udev_knows_is_not_read() {
    let image = LoopImage::new("unmoor-udev");
    assert!(ok(Command::new("umount").arg(&image.mount)));
    let folder = format!("/sys/block/{}", image.device.trim_start_matches("/dev/"));
    let attribute = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let reads = || attribute("stat").split_whitespace().next().unwrap().parse::<u64>().unwrap();
    let script = "mount -t tmpfs none /run && mkdir -p /run/udev/data && printf \"$1\" >\"/run/udev/data/b$2\" &&
        exec \"$3\" list --all --json";
    // Returns the label, and true if there is a run that reads nothing.
    let list = |entry: &str| {
        let mut labels = Vec::new();
        let unread = (0..20).any(|_| {
            let before = reads();
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", script, "sh", entry, attribute("dev").trim()]);
            command.arg(env!("CARGO_BIN_EXE_unmoor"));
            let document: serde_json::Value =
                serde_json::from_str(&answer(&mut command).text).unwrap();
            let ours =
                document["drives"].as_array().unwrap().iter().find(|d| d["path"] == *image.device);
            labels.push(ours.expect("the device")["volumes"][0]["label"].clone());
            reads() == before
        });
        (labels.remove(0), unread)
    };
    let known = "E:ID_FS_TYPE=ext4\\nE:ID_FS_LABEL_ENC=by-udev\\n";
    assert_eq!(list(known), ("by-udev".into(), true));
    assert_eq!(list("E:ID_PATH=no\\n"), ("unmoor-udev".into(), false));
}

fn the_running_system_is_refused() {
    for name in ["/", "/usr"] {
        let answer = unmoor(&["eject", "--force", name]);
        assert_eq!(answer.code, 1, "{}", answer.text);
        assert!(answer.text.contains("running system"), "{}", answer.text);
    }
}

fn a_drive_that_cannot_load_reports_that_and_no_dismount() {
    let image = LoopImage::new("unmoor-load");
    let answer = unmoor(&["load", &image.device]);
    assert_eq!((answer.code, image.mounts()), (7, 1), "{}", answer.text);
    assert!(!answer.text.contains("dismounted"), "{}", answer.text);
}

fn a_loop_device_without_an_image_has_no_medium() {
    let image = LoopImage::new("unmoor-empty");
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
    assert!(!image.attached());
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!(answer.code, 4, "{}", answer.text);
}

fn a_dry_run_and_a_status_touch_nothing() {
    let image = LoopImage::new("unmoor-dry");
    for arguments in [&["eject", "--dry-run"][..], &["status"], &["flush"]] {
        let answer = unmoor(&[arguments, &[&*image.device]].concat());
        assert_eq!(answer.code, 0, "{}", answer.text);
        assert!(image.mounts() == 1 && image.attached(), "{arguments:?}");
    }
}

fn dismount_only_leaves_the_image_attached() {
    let image = LoopImage::new("unmoor-dismount");
    let answer = unmoor(&["eject", "--dismount-only", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
    assert!(image.attached());
}

pub const TESTS: &[Test] = &[
    test!(every_way_to_name_it_releases_it, LOOP_DEVICES),
    test!(a_uuid_may_be_typed_in_capitals, LOOP_DEVICES),
    test!(every_document_has_the_label_and_the_uuid, LOOP_DEVICES),
    test!(a_device_that_udev_knows_is_not_read, LOOP_DEVICES),
    test!(the_running_system_is_refused),
    test!(a_drive_that_cannot_load_reports_that_and_no_dismount, LOOP_DEVICES),
    test!(a_loop_device_without_an_image_has_no_medium, LOOP_DEVICES),
    test!(a_dry_run_and_a_status_touch_nothing, LOOP_DEVICES),
    test!(dismount_only_leaves_the_image_attached, LOOP_DEVICES),
];
