//! Release of one drive: what is written, what is in use, what is forced.

use crate::command::unmoor;
use std::io::{Read, Seek, Write};
use unmoor_test_support::{LOOP_DEVICES, LoopImage, Test, test};

fn data_just_written_is_in_the_image() {
    let mut image = LoopImage::new("unmoor-data");
    let data: Vec<u8> =
        (0..20u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(image.mount.join("data"), &data).unwrap();
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
    let fsck = image.fsck();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
    image.insert();
    assert!(std::fs::read(image.mount.join("data")).unwrap() == data);
}

fn an_open_file_is_refused_and_everything_stays() {
    let image = LoopImage::new("unmoor-busy");
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

fn force_cuts_off_an_open_file_and_keeps_what_was_written() {
    let image = LoopImage::new("unmoor-force");
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

fn a_volume_in_use_stays_mounted_and_is_released_afterwards() {
    let image = LoopImage::new("unmoor-in-use");
    let held = std::fs::File::create(image.mount.join("letter.txt")).expect("it can be written");
    let answer = unmoor(&["--json", &image.mount.to_string_lossy()]);
    assert_eq!(unmoor_contract::check(&answer.text, Some(3)), Ok(()), "{}", answer.text);
    assert_eq!(image.mounts(), 1);
    drop(held);
    let answer = unmoor(&[&image.device]);
    assert_eq!(answer.code, 0, "{}", answer.text);
    assert!(answer.text.contains("released and detached"), "{}", answer.text);
    assert!(!image.attached());
}

pub const TESTS: &[Test] = &[
    test!(data_just_written_is_in_the_image, LOOP_DEVICES),
    test!(an_open_file_is_refused_and_everything_stays, LOOP_DEVICES),
    test!(force_cuts_off_an_open_file_and_keeps_what_was_written, LOOP_DEVICES),
    test!(a_volume_in_use_stays_mounted_and_is_released_afterwards, LOOP_DEVICES),
];
