//! Programs that use the drive without its mounts.
//!
//! They use the device itself, a detached tree, or a file in transit through a socket.

use crate::image::{Image, ran, shell, unmoor};
use serde_json::Value;
use std::process::Command;

#[test]
fn a_writer_of_the_device_itself_is_a_named_blocker() {
    let Some(image) = Image::new("unmoor-raw") else { return };
    let holder = shell("exec 7<>\"$1\"; echo; exec sleep 600", image.device.as_ref());
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
    for part in ["written to directly by a program", "sleep", &holder.0.id().to_string()] {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
    // A user who only dismounts may be about to write an image there.
    assert_eq!(unmoor(&["eject", "--dismount-only", &image.device]).code, 0);
    let answer = unmoor(&["eject", &image.device]);
    assert!(answer.code == 3 && image.attached(), "{}", answer.text);
    drop(holder);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}

#[test]
fn a_reader_of_the_device_is_listed_and_does_not_block() {
    let Some(image) = Image::new("unmoor-reader") else { return };
    let holder = shell("exec 7<\"$1\"; echo; exec sleep 600", image.device.as_ref());
    let answer = unmoor(&["who", "--json", &image.device]);
    unmoor_contract::check(&answer.text, Some(answer.code)).expect("it keeps the contract");
    let document: Value = serde_json::from_str(&answer.text).unwrap();
    let target = &document["targets"][0];
    assert_eq!(target["blockers"], Value::Array(Vec::new()), "{target:#}");
    let standing = &target["scan"]["bystanders"][0]["process"]["pid"];
    assert_eq!(standing, &Value::from(holder.0.id()), "{target:#}");
    // A loop device stays for as long as a process has it open.
    let answer = unmoor(&["eject", "--dismount-only", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
}

#[test]
fn a_file_open_in_a_detached_tree_is_found_before_anything_is_touched() {
    let Some(image) = Image::new("unmoor-detached") else { return };
    let holder = shell("exec 9>\"$1\"/held; echo; exec sleep 600", &image.mount);
    assert!(ran(Command::new("umount").arg("-l").arg(&image.mount)));
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

/// A file in a socket's queue: the kernel keeps it open, without a descriptor.
#[test]
fn a_file_in_a_socket_is_an_unknown_blocker() {
    let Some(image) = Image::new("unmoor-in-flight") else { return };
    let script = r#"
import array, os, socket, sys, time
one, other = socket.socketpair()
file = os.open(sys.argv[1] + "/held", os.O_RDWR | os.O_CREAT)
one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))])
os.close(file)
print(flush=True)
time.sleep(600)
"#;
    if !ran(Command::new("python3").args(["-c", "import socket"])) {
        eprintln!("skipped: no python3");
        return;
    }
    let holder = shell(&format!("exec python3 -c '{script}' \"$1\""), &image.mount);
    let answer = unmoor(&["eject", "--json", &image.device]);
    assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
    let document: Value = serde_json::from_str(&answer.text).unwrap();
    let blockers = document["targets"][0]["blockers"].as_array().unwrap();
    assert_eq!(blockers.len(), 1, "{blockers:#?}");
    assert_eq!(blockers[0]["kind"], "unknown");
    let notes = document["targets"][0]["scan"]["notes"].to_string();
    assert!(notes.contains("SCM_RIGHTS"), "{notes}");
    // `who` does not report "nothing" either.
    let who = unmoor(&["who", &image.device]);
    assert_eq!((who.code, image.mounts()), (3, 1), "{}", who.text);
    assert!(who.text.contains("no user was found"), "{}", who.text);
    drop(holder);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}
