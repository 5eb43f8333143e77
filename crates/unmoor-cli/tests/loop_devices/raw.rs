//! Programs that use the drive past its mounts: the device itself, a tree that was detached, a file on
//! its way through a socket.

use crate::command::unmoor;
use serde_json::Value;
use std::process::Command;
use unmoor_test_support::{LOOP_DEVICES, LoopImage, OVERLAY, PYTHON, Test, ok, shell, test};

fn a_writer_of_the_device_blocks_it_and_is_named() {
    let image = LoopImage::new("unmoor-raw");
    let holder = shell("exec 7<>\"$1\"; echo; exec sleep 600", image.device.as_ref());
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
    for part in ["written to directly by a program", "sleep", &holder.0.id().to_string()] {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
    // Who dismounts only may be about to write an image there.
    assert_eq!(unmoor(&["eject", "--dismount-only", &image.device]).code, 0);
    let answer = unmoor(&["eject", &image.device]);
    assert!(answer.code == 3 && image.attached(), "{}", answer.text);
    drop(holder);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}

fn a_reader_of_the_device_is_shown_and_blocks_nothing() {
    let image = LoopImage::new("unmoor-reader");
    let holder = shell("exec 7<\"$1\"; echo; exec sleep 600", image.device.as_ref());
    let answer = unmoor(&["who", "--json", &image.device]);
    unmoor_contract::check(&answer.text, Some(answer.code)).expect("it keeps the contract");
    let document: Value = serde_json::from_str(&answer.text).unwrap();
    let target = &document["targets"][0];
    assert_eq!(target["blockers"], Value::Array(Vec::new()), "{target:#}");
    let mut readers = target["scan"]["bystanders"].as_array().unwrap().iter();
    assert!(readers.any(|reader| reader["process"]["pid"] == holder.0.id()), "{target:#}");
    // The loop device stays for as long as somebody has it open: that is its way.
    let answer = unmoor(&["eject", "--dismount-only", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
}

fn a_file_of_a_detached_tree_is_found_before_anything_is_touched() {
    let image = LoopImage::new("unmoor-detached");
    let holder = shell("exec 9>\"$1\"/held; echo; exec sleep 600", &image.mount);
    assert!(ok(Command::new("umount").arg("-l").arg(&image.mount)));
    image.mount_at(&image.mount);
    for options in [&["eject"][..], &["eject", "--dismount-only"]] {
        let words: Vec<&str> = options.iter().copied().chain([&*image.device]).collect();
        let answer = unmoor(&words);
        assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
        assert!(answer.text.contains(&holder.0.id().to_string()), "{}", answer.text);
        assert!(!answer.text.contains("dismounted by then"), "{}", answer.text);
    }
    drop(holder);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}

/// The kernel keeps the file, and no process has a descriptor of it.
fn a_file_in_a_socket_is_busy_for_a_reason_that_is_said_not_to_be_known() {
    let image = LoopImage::new("unmoor-in-flight");
    let script = r#"
import array, os, socket, sys, time
one, other = socket.socketpair()
file = os.open(sys.argv[1] + "/held", os.O_RDWR | os.O_CREAT)
one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))])
os.close(file)
print(flush=True)
time.sleep(600)
"#;
    let holder = shell(&format!("exec python3 -c '{script}' \"$1\""), &image.mount);
    let answer = unmoor(&["eject", "--json", &image.device]);
    assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
    let document: Value = serde_json::from_str(&answer.text).unwrap();
    let blockers = document["targets"][0]["blockers"].as_array().unwrap();
    assert_eq!(blockers.len(), 1, "{blockers:#?}");
    assert_eq!(blockers[0]["kind"], "unknown");
    let notes = document["targets"][0]["scan"]["notes"].to_string();
    assert!(notes.contains("SCM_RIGHTS"), "{notes}");
    // Who only asks is not told "nothing" either.
    let who = unmoor(&["who", &image.device]);
    assert_eq!((who.code, image.mounts()), (3, 1), "{}", who.text);
    assert!(who.text.contains("no user was found"), "{}", who.text);
    drop(holder);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}

/// The list of bound sockets is one of each network namespace.
fn a_socket_of_another_network_namespace_is_named() {
    let image = LoopImage::new("unmoor-network");
    let script = r#"
import ctypes, os, socket, sys, time
assert ctypes.CDLL(None).unshare(0x40000000) == 0
os.chdir(sys.argv[1])
bound = socket.socket(socket.AF_UNIX)
bound.bind("socket")
os.chdir("/")
print(flush=True)
time.sleep(600)
"#;
    let holder = shell(&format!("exec python3 -c '{script}' \"$1\""), &image.mount);
    for command in ["who", "eject"] {
        let answer = unmoor(&[command, &image.device]);
        assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
        assert!(answer.text.contains(&holder.0.id().to_string()), "{}", answer.text);
    }
    drop(holder);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}

/// The layers were given by relative paths from a folder that nothing shows any more.
fn a_layer_of_an_overlay_that_no_path_leads_to_is_reported_by_who() {
    let image = LoopImage::new("unmoor-layer");
    let merged = image.beside("merged");
    let folder = image.mount.join("folder");
    for name in ["l1", "l2"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let mut mount = Command::new("mount");
    mount.args(["-t", "overlay", "unmoor", "-o", "lowerdir=l1:l2"]).arg(&merged);
    assert!(ok(mount.current_dir(&folder)));
    for command in ["who", "eject"] {
        let answer = unmoor(&[command, &image.device]);
        assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
    }
    assert!(ok(Command::new("umount").arg(&merged)));
    assert_eq!(unmoor(&["who", &image.device]).code, 0);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}

pub const TESTS: &[Test] = &[
    test!(a_writer_of_the_device_blocks_it_and_is_named, LOOP_DEVICES),
    test!(a_reader_of_the_device_is_shown_and_blocks_nothing, LOOP_DEVICES),
    test!(a_file_of_a_detached_tree_is_found_before_anything_is_touched, LOOP_DEVICES),
    test!(
        a_file_in_a_socket_is_busy_for_a_reason_that_is_said_not_to_be_known,
        LOOP_DEVICES,
        PYTHON
    ),
    test!(a_socket_of_another_network_namespace_is_named, LOOP_DEVICES, PYTHON),
    test!(a_layer_of_an_overlay_that_no_path_leads_to_is_reported_by_who, LOOP_DEVICES, OVERLAY),
];
