//! Several at the same time.

use crate::command::{Run, unmoor};
use unmoor_test_support::{Attached, LOOP_DEVICES, LoopImage, Test, ok, shell, test};

fn images(count: usize) -> Vec<LoopImage> {
    (0..count).map(|number| LoopImage::new(format!("unmoor-many{number}"))).collect()
}

fn eject(images: &[&LoopImage]) -> Run {
    let devices = images.iter().map(|image| &*image.device);
    unmoor(&["eject"].into_iter().chain(devices).collect::<Vec<_>>())
}

fn one_busy_drive_delays_no_other() {
    let images = images(8);
    for (number, image) in images.iter().enumerate() {
        std::fs::write(image.mount.join("data"), vec![number as u8; 300_000]).unwrap();
    }
    let holder = shell("cd \"$1\"; echo; exec sleep 600", &images[5].mount);
    let answer = eject(&images.iter().collect::<Vec<_>>());
    assert_eq!(answer.code, 3, "{}", answer.text);
    for (number, image) in images.iter().enumerate() {
        assert_eq!(image.attached(), number == 5, "{number}: {}", answer.text);
    }
    assert!(answer.text.contains("sleep (pid"), "who it is: {}", answer.text);
    drop(holder);
    assert_eq!(eject(&[&images[5]]).code, 0);
    for image in &images {
        assert!(image.fsck().status.success());
    }
}

fn a_drive_mounted_in_another_goes_first_in_either_order() {
    for reversed in [false, true] {
        let images = images(2);
        let [low, high] = &images[..] else { unreachable!() };
        let inside = low.mount.join("inside");
        std::fs::create_dir(&inside).unwrap();
        high.mount_at(&inside);
        let answer = match reversed {
            false => eject(&[low, high]),
            true => eject(&[high, low]),
        };
        assert_eq!(answer.code, 0, "{}", answer.text);
        assert!(!low.attached() && !high.attached(), "{}", answer.text);
    }
}

fn an_image_on_another_goes_first_in_either_order() {
    for reversed in [false, true] {
        let mut images = images(1);
        let low = images.remove(0);
        let file = low.mount.join("image");
        std::fs::File::create(&file).unwrap().set_len(8 << 20).unwrap();
        let upper = Attached::new(&file, &[]);
        let mut names = ["eject", &low.device, &upper.device];
        if reversed {
            names = ["eject", &upper.device, &low.device];
        }
        let answer = unmoor(&names);
        assert_eq!(answer.code, 0, "{}", answer.text);
        assert!(!low.attached(), "{}", answer.text);
        assert_eq!(answer.text.matches("released and detached").count(), 2, "{}", answer.text);
    }
}

fn force_takes_no_other_drive_along_that_is_mounted_inside() {
    let images = images(2);
    let [low, high] = &images[..] else { unreachable!() };
    assert!(ok(std::process::Command::new("umount").arg(&high.mount)));
    let inside = low.mount.join("inside");
    std::fs::create_dir(&inside).unwrap();
    high.mount_at(&inside);
    let holder = shell("exec 7>\"$1/held\"; echo; exec sleep 600", &inside);
    let answer = unmoor(&["eject", "--force", &low.device]);
    assert_eq!((answer.code, low.mounts(), high.mounts()), (3, 1, 1), "{}", answer.text);
    assert!(answer.text.contains(&*inside.to_string_lossy()), "{}", answer.text);
    assert!(!answer.text.contains("forced"), "{}", answer.text);
    drop(holder);
    assert_eq!(eject(&[low, high]).code, 0);
}

fn a_wrong_word_before_a_real_drive_moves_nothing() {
    let image = LoopImage::new("unmoor-verb");
    for verb in [
        "info",
        "stop",
        "show",
        "check",
        "verify",
        "lsof",
        "kill",
        "lock",
        "close",
        "free",
        "down",
        "unmountDisk",
        "release",
        "detach",
        "safely-remove",
        "nosuchdrive",
    ] {
        let answer = unmoor(&[verb, &image.device]);
        assert_eq!(answer.code, 2, "{verb}: {}", answer.text);
        assert!(image.attached() && image.mounts() == 1, "{verb}: {}", answer.text);
    }
    for wrong in [["eject", &image.device, "sdnosuch"], ["eject", "/nosuch/file", &image.device]] {
        let answer = unmoor(&wrong);
        assert_eq!(answer.code, 6, "{wrong:?}: {}", answer.text);
        assert!(image.attached() && image.mounts() == 1, "{wrong:?}: {}", answer.text);
    }
}

pub const TESTS: &[Test] = &[
    test!(one_busy_drive_delays_no_other, LOOP_DEVICES),
    test!(a_drive_mounted_in_another_goes_first_in_either_order, LOOP_DEVICES),
    test!(an_image_on_another_goes_first_in_either_order, LOOP_DEVICES),
    test!(force_takes_no_other_drive_along_that_is_mounted_inside, LOOP_DEVICES),
    test!(a_wrong_word_before_a_real_drive_moves_nothing, LOOP_DEVICES),
];
