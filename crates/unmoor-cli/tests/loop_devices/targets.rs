//! Words that people type for a drive.

use crate::command::{Run, unmoor};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use unmoor_test_support::{LOOP_DEVICES, LoopImage, Test, shell, test};

/// Runs the command in this directory, with this as its standard input.
fn unmoor_at(dir: &Path, stdin: Stdio, words: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unmoor"));
    let output = command.args(words).current_dir(dir).stdin(stdin).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Run { code: output.status.code().unwrap_or(-1), text }
}

fn a_label_alone_in_any_case_or_as_a_pattern_is_a_drive() {
    for word in ["UNMOORHOLI", "unmoorholi", "UNMOORH*", "?nmoorhol?"] {
        let image = LoopImage::new("UNMOORHOLI");
        let answer = unmoor(&[word]);
        assert_eq!(answer.code, 0, "{word}: {}", answer.text);
        assert!(!image.attached(), "{word}: {}", answer.text);
    }
    for word in ["LABEL=UNMOORTAG*", "LABEL=UNMOOR?AGGED"] {
        let image = LoopImage::new("UNMOORTAGGED");
        assert_eq!(unmoor(&[word]).code, 0, "{word}");
        assert!(!image.attached(), "{word}");
    }
}

fn a_name_that_fits_two_drives_is_refused_with_both() {
    let (one, two) = (LoopImage::new("unmoor-twin"), LoopImage::new("unmoor-twin"));
    for word in
        ["LABEL=unmoor-twin", "unmoor-twin", "UNMOOR-TWIN", "unmoor-tw*", "LABEL=unmoor-tw*"]
    {
        for words in [&["eject", word][..], &["who", word], &[word]] {
            let answer = unmoor(words);
            assert_eq!(answer.code, 2, "{words:?}: {}", answer.text);
            for device in [&one.device, &two.device] {
                let name = device.trim_start_matches("/dev/");
                assert!(answer.text.contains(name), "{words:?}: {}", answer.text);
            }
        }
    }
    assert!(one.attached() && two.attached() && one.mounts() == 1 && two.mounts() == 1);
}

fn a_file_here_and_a_label_of_another_drive_are_two_drives() {
    let (here, other) = (LoopImage::new("unmoor-here"), LoopImage::new("UNMOORWORD"));
    File::create(here.mount.join("UNMOORWORD")).unwrap();
    let answer = unmoor_at(&here.mount, Stdio::null(), &["UNMOORWORD"]);
    assert_eq!(answer.code, 2, "{}", answer.text);
    assert!(here.attached() && other.attached(), "{}", answer.text);
    let answer = unmoor_at(&here.mount, Stdio::null(), &["./UNMOORWORD"]);
    assert_eq!((answer.code, other.attached()), (0, true), "{}", answer.text);
}

fn names_below_dev_are_drives() {
    let image = LoopImage::new("unmoor-link");
    let link = format!("unmoor-link-{}", std::process::id());
    let path = Path::new("/dev").join(&link);
    std::os::unix::fs::symlink(&image.device, &path).unwrap();
    let answer = unmoor(&[&link]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(answer.code, 0, "{}", answer.text);
    assert!(!image.attached());
}

fn a_descriptor_of_a_file_on_the_drive_is_the_drive() {
    let image = LoopImage::new("unmoor-stdin");
    let device = File::open(&image.device).unwrap();
    for word in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let on_drive = File::create(image.mount.join("file")).unwrap();
        let answer = unmoor_at(Path::new("/"), on_drive.into(), &["status", word]);
        assert_eq!(answer.code, 0, "{word}: {}", answer.text);
        assert!(answer.text.contains("image"), "{word}: {}", answer.text);
        let stdin = device.try_clone().unwrap();
        let answer = unmoor_at(Path::new("/"), stdin.into(), &["status", word]);
        assert_eq!(answer.code, 0, "{word}: {}", answer.text);
    }
    let answer = unmoor_at(Path::new("/"), Stdio::null(), &["eject", "/dev/stdin"]);
    assert_ne!(answer.code, 0, "{}", answer.text);
}

fn a_mount_point_that_is_no_longer_mounted_is_no_drive() {
    let dir = Path::new("/mnt").join(format!("unmoor-gone-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let answer = unmoor(&["eject", dir.to_str().unwrap()]);
    std::fs::remove_dir(&dir).unwrap();
    assert_eq!(answer.code, 6, "{}", answer.text);
    assert!(answer.text.contains("nothing is mounted there"), "{}", answer.text);
    assert!(!answer.text.contains("running system"), "{}", answer.text);
}

fn the_commands_own_working_directory_does_not_block() {
    let image = LoopImage::new("unmoor-cwd");
    std::fs::create_dir(image.mount.join("dir")).unwrap();
    let answer = unmoor_at(&image.mount.join("dir"), Stdio::null(), &["who", "."]);
    assert!(!answer.text.contains("working directory"), "{}", answer.text);
    let answer = unmoor_at(&image.mount.join("dir"), Stdio::null(), &["."]);
    assert_eq!(answer.code, 0, "{}", answer.text);
    assert!(!image.attached());
    // The directory of another process is another matter.
    let image = LoopImage::new("unmoor-cwd2");
    let _shell = shell("cd \"$1\"; echo; exec sleep 600", &image.mount);
    let answer = unmoor_at(&image.mount, Stdio::null(), &["."]);
    assert_eq!(answer.code, 3, "{}", answer.text);
    assert!(image.attached());
}

pub const TESTS: &[Test] = &[
    test!(a_label_alone_in_any_case_or_as_a_pattern_is_a_drive, LOOP_DEVICES),
    test!(a_name_that_fits_two_drives_is_refused_with_both, LOOP_DEVICES),
    test!(a_file_here_and_a_label_of_another_drive_are_two_drives, LOOP_DEVICES),
    test!(names_below_dev_are_drives, LOOP_DEVICES),
    test!(a_descriptor_of_a_file_on_the_drive_is_the_drive, LOOP_DEVICES),
    test!(a_mount_point_that_is_no_longer_mounted_is_no_drive, LOOP_DEVICES),
    test!(the_commands_own_working_directory_does_not_block, LOOP_DEVICES),
];
