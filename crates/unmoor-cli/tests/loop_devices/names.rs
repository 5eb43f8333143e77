//! Names that were made to fool a terminal or to break a document: of files, programs, labels, mount
//! points. A terminal gets nothing that it would obey, and the document has the true bytes.

use crate::command::unmoor_with;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use unmoor_test_support::{Holder, LOOP_DEVICES, LoopImage, Test, ok, test};

/// A newline, escape sequences, a tab, a backslash, a byte that is not UTF-8, and an order to write from
/// right to left.
const ODD: &[u8] = b"a\nb\x1b[31m\\\t \xff\xe2\x80\xae'\"%s$(id)";

/// The same, as long as a name may be.
fn long() -> OsString {
    let mut name = ODD.to_vec();
    name.resize(255, b'x');
    OsString::from_vec(name)
}

/// A program of that name, which has its standard output in the file of that name.
fn holder(image: &LoopImage) -> (Holder, PathBuf) {
    let program = image.beside("bin").join(OsStr::from_bytes(ODD));
    std::fs::copy("/bin/sleep", &program).unwrap();
    let path = image.mount.join(long());
    let mut command = Command::new(program);
    command.arg0(OsStr::from_bytes(ODD)).arg("600");
    command.stdin(Stdio::null()).stdout(File::create(&path).unwrap());
    (Holder(command.spawn().unwrap()), path)
}

/// One line of visible text after the other.
fn expect_harmless(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
    let harmful = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(harmful), "{what}: {text:?}");
}

fn bytes_of(hexadecimal: &Value) -> Vec<u8> {
    let digits = hexadecimal.as_str().expect("the true bytes are there");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn document(words: &[&OsStr], code: i32) -> Value {
    let run = unmoor_with(words.iter().copied().chain([OsStr::new("--json")]));
    let text = String::from_utf8(run.stdout).expect("a document is UTF-8");
    if let Err(faults) = unmoor_contract::check(&text, Some(code)) {
        panic!("{words:?}: {}\n{text}", faults.join("\n"));
    }
    serde_json::from_str(&text).unwrap()
}

fn odd_names_reach_no_terminal_and_are_whole_in_the_document() {
    let image = LoopImage::new(OsStr::from_bytes(b"l\n\x1b[2J\xff\xe2\x80\xae"));
    let odd = image.beside("places").join(OsStr::from_bytes(ODD));
    std::fs::create_dir(&odd).unwrap();
    image.mount_at(&odd);
    let (mut holder, path) = holder(&image);
    let device = OsStr::new(&image.device);
    let nowhere = Path::new("/nowhere").join(OsStr::from_bytes(ODD));

    for words in [
        &[OsStr::new("who"), device][..],
        &[OsStr::new("who"), odd.as_os_str()],
        &[OsStr::new("eject"), device],
        &[OsStr::new("-v"), odd.as_os_str()],
        &[OsStr::new("status"), device],
        &[OsStr::new("list"), OsStr::new("--all")],
        &[OsStr::new("eject"), nowhere.as_os_str()],
        &[OsStr::from_bytes(ODD)],
    ] {
        let run = unmoor_with(words);
        expect_harmless(&format!("{words:?}, standard output"), &run.stdout);
        expect_harmless(&format!("{words:?}, standard error"), &run.stderr);
    }

    let found = document(&[OsStr::new("who"), odd.as_os_str()], 3);
    let target = &found["targets"][0];
    assert_eq!(bytes_of(&target["target_bytes"]), odd.as_os_str().as_bytes());
    let process = |b: &&Value| b["process"]["pid"] == holder.0.id();
    let blocker = target["blockers"].as_array().unwrap().iter().find(process).expect("it is named");
    let used = &blocker["uses"][0];
    assert_eq!((&used["kind"], &used["fd"]), (&"open-for-writing".into(), &1.into()));
    assert_eq!(used["path"], *path.to_string_lossy());
    assert_eq!(bytes_of(&used["path_bytes"]), path.as_os_str().as_bytes());
    assert_eq!(blocker["process"]["name"], *String::from_utf8_lossy(&ODD[..15]));
    assert_eq!(blocker["process"]["command_line"][0], *String::from_utf8_lossy(ODD));
    let mounts = target["drive"]["volumes"][0]["mounts"].as_array().unwrap();
    let at_odd = mounts.iter().any(|m| {
        !m["path_bytes"].is_null() && bytes_of(&m["path_bytes"]) == odd.as_os_str().as_bytes()
    });
    assert!(at_odd, "{mounts:#?}");

    assert!(ok(Command::new("sh").args(["-c", blocker["command"].as_str().unwrap()])));
    holder.0.wait().unwrap();
    let run = unmoor_with([OsStr::new("eject"), odd.as_os_str()]);
    expect_harmless("released", &[run.stdout, run.stderr].concat());
    assert_eq!((run.status.code(), image.attached()), (Some(0), false));
}

fn the_command_for_a_mount_of_an_odd_name_works_as_it_is_printed() {
    let image = LoopImage::new("unmoor-odd");
    let inside = image.mount.join(OsStr::from_bytes(ODD));
    std::fs::create_dir(&inside).unwrap();
    assert!(ok(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&inside)));
    let run = unmoor_with(["eject", &image.device]);
    assert_eq!(run.status.code(), Some(3));
    expect_harmless("refused", &run.stderr);
    let text = String::from_utf8(run.stderr).unwrap();
    let (_, command) = text.split_once("fix: unmount it first: ").expect("it is offered");
    let command = command.lines().next().unwrap();
    assert!(ok(Command::new("sh").args(["-c", command])), "{command}");
    assert_eq!(unmoor_with(["eject", &image.device]).status.code(), Some(0));
}

fn a_place_whose_name_is_no_text_is_released_and_shown_harmlessly() {
    let name = b"\xff\x1b[2J\nforged line";
    let image = LoopImage::mounted_on(OsStr::from_bytes(name), "unmoor-place");
    let mount = image.mount.as_os_str();

    let status = String::from_utf8(unmoor_with([OsStr::new("status"), mount]).stdout).unwrap();
    assert!(!status.contains('\x1b'), "{status:?}");
    assert!(status.contains("\\xff\\x1b[2J\\nforged line"), "{status:?}");

    let document = document(&[OsStr::new("eject"), mount], 0).to_string();
    assert!(document.contains("ff1b5b324a0a666f72676564206c696e65\""), "{document}");
    assert_eq!((image.mounts(), image.attached()), (0, false));
}

pub const TESTS: &[Test] = &[
    test!(odd_names_reach_no_terminal_and_are_whole_in_the_document, LOOP_DEVICES),
    test!(the_command_for_a_mount_of_an_odd_name_works_as_it_is_printed, LOOP_DEVICES),
    test!(a_place_whose_name_is_no_text_is_released_and_shown_harmlessly, LOOP_DEVICES),
];
