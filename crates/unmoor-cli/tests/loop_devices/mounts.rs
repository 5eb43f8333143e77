//! Several mounts of a drive, in one or more mount namespaces.

use crate::command::{answer, unmoor};
use std::process::Command;
use unmoor_test_support::{LOOP_DEVICES, LoopImage, Test, alone, ok, shell, test};

fn several_mount_points_and_a_bind_mount_go_together() {
    let image = LoopImage::new("unmoor-several");
    let (second, bound) = (image.beside("second"), image.beside("bound"));
    image.mount_at(&second);
    std::fs::create_dir(image.mount.join("dir")).unwrap();
    assert!(ok(Command::new("mount").arg("--bind").arg(image.mount.join("dir")).arg(&bound)));
    assert_eq!(image.mounts(), 3);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
}

fn a_use_of_one_mount_point_keeps_them_all() {
    let image = LoopImage::new("unmoor-one-of");
    let second = image.beside("second");
    image.mount_at(&second);
    let _holder = shell("cd \"$1\"; echo; exec sleep 600", &second);
    assert_eq!(unmoor(&["eject", &image.device]).code, 3);
    assert_eq!(image.mounts(), 2);
}

fn a_mount_in_its_own_mount_goes_first() {
    let image = LoopImage::new("unmoor-nested");
    let inner = image.mount.join("inner");
    std::fs::create_dir(&inner).unwrap();
    image.mount_at(&inner);
    assert_eq!(image.mounts(), 2);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (0, 0), "{}", answer.text);
}

fn a_use_below_its_own_nested_mount_is_found_before_anything_is_touched() {
    let image = LoopImage::new("unmoor-nested-busy");
    let inner = image.mount.join("inner");
    std::fs::create_dir(&inner).unwrap();
    image.mount_at(&inner);
    // On the outer mount, which cannot be asked while another one lies on it.
    let _holder = shell("exec 9>\"$1\"; echo; exec sleep 600", &image.mount.join("open"));
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (3, 2), "{}", answer.text);
}

fn another_drive_mounted_inside_is_in_the_way() {
    let (image, other) = (LoopImage::new("unmoor-outer"), LoopImage::new("unmoor-inner"));
    let inside = image.mount.join("other");
    std::fs::create_dir(&inside).unwrap();
    other.mount_at(&inside);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts(), other.mounts()), (3, 1, 2), "{}", answer.text);
    assert_eq!(unmoor(&["eject", &other.device]).code, 0);
    assert_eq!(unmoor(&["eject", &image.device]).code, 0);
}

fn a_mount_in_another_namespace_is_found_before_anything_is_touched() {
    let alone = alone();
    let image = LoopImage::new_alone("unmoor-namespace", &alone);
    let inside = "exec unshare -m --propagation private sh -c 'echo; exec sleep 600'";
    let _holder = shell(inside, &image.mount);
    let answer = unmoor(&["eject", &image.device]);
    assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
    assert!(answer.text.contains("namespace"), "{}", answer.text);
}

fn a_file_open_in_a_copy_of_the_mount_is_found_before_anything_is_touched() {
    let alone = alone();
    let image = LoopImage::new_alone("unmoor-copy", &alone);
    // Mount events are carried to the copies only from a mount that shares them.
    let shared = image.beside("shared");
    let shared_is = |how: &str| ok(Command::new("mount").arg(how).arg(&shared).arg(&shared));
    assert!(shared_is("--bind") && ok(Command::new("mount").arg("--make-shared").arg(&shared)));
    let inside = shared.join("stick");
    std::fs::create_dir(&inside).unwrap();
    assert!(ok(Command::new("mount").arg("--move").arg(&image.mount).arg(&inside)));
    let script = "exec unshare -m --propagation slave sh -c 'exec 9>\"$1\"/open; echo; exec sleep 600' sh \"$1\"";
    let holder = shell(script, &inside);
    let refused = unmoor(&["eject", &image.device]);
    let left = image.mounts();
    drop(holder);
    let released = unmoor(&["eject", &image.device]);
    ok(Command::new("umount").arg("-l").arg(&shared));
    assert_eq!((refused.code, left), (3, 1), "{}", refused.text);
    assert!(refused.text.contains("sleep"), "who it is: {}", refused.text);
    assert_eq!(released.code, 0, "{}", released.text);
}

fn force_cuts_off_who_writes_where_it_is_mounted_in_another_namespace_only() {
    let alone = alone();
    let image = LoopImage::new_alone("unmoor-elsewhere", &alone);
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

fn force_is_offered_only_where_it_is_accepted() {
    let alone = alone();
    let image = LoopImage::new_alone("unmoor-force-offer", &alone);
    let offers = |image: &LoopImage| {
        let answer = unmoor(&["eject", &image.device]);
        assert_eq!((answer.code, image.mounts()), (3, 1), "{}", answer.text);
        let offered = answer.text.contains("--force");
        if !offered {
            let forced = unmoor(&["eject", "--force", &image.device]);
            assert_eq!((forced.code, image.mounts()), (3, 1), "{}", forced.text);
        }
        offered
    };
    let holder = shell("exec 9>\"$1\"/held; echo; exec sleep 600", &image.mount);
    assert!(offers(&image), "a file is open");
    let inside = image.mount.join("inside");
    std::fs::create_dir(&inside).unwrap();
    assert!(ok(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inside)));
    assert!(!offers(&image), "a file system within it, and a file");
    drop(holder);
    assert!(!offers(&image), "a file system within it");
    assert!(ok(Command::new("umount").arg(&inside)));
    let device = image.device.clone();
    assert!(ok(Command::new("umount").arg(&image.mount)));
    let claim = format!("import os; os.open({device:?}, os.O_RDONLY | os.O_EXCL); ready()");
    let holder = unmoor_test_support::Holder::python(&claim, &image.mount);
    let answer = unmoor(&["eject", &device]);
    assert!(answer.code == 3 && !answer.text.contains("--force"), "{}", answer.text);
    assert_eq!(unmoor(&["eject", "--force", &device]).code, 3);
    drop(holder);
    assert_eq!(unmoor(&["eject", &device]).code, 0);
}

fn the_line_in_libmounts_table_goes_with_the_mount() {
    // Other tests and programs have mounts in the real table.
    let table = "mount --make-rprivate / && mount -t tmpfs none /run/mount &&
        mount -o uhelper=test,user=games \"$1\" \"$2\" &&
        echo 'SRC=/dev/other TARGET=/other ROOT=/ OPTS=user=games' >>/run/mount/utab &&
        grep -q uhelper=test /run/mount/utab && \"$3\" eject -v $4 \"$1\"; code=$?
        cat /run/mount/utab; ls /run/mount; exit $code";
    for options in ["", "--force"] {
        let image = LoopImage::new("unmoor-utab");
        let place = image.beside("with space");
        assert!(ok(Command::new("umount").arg(&image.mount)));
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", table, "sh", &image.device]).arg(&place);
        command.args([env!("CARGO_BIN_EXE_unmoor"), options]);
        let run = answer(&mut command);
        assert_eq!(run.code, 0, "{}", run.text);
        assert!(!run.text.contains("uhelper=test"), "{}", run.text);
        assert!(run.text.contains("TARGET=/other"), "{}", run.text);
    }
}

pub const TESTS: &[Test] = &[
    test!(several_mount_points_and_a_bind_mount_go_together, LOOP_DEVICES),
    test!(a_use_of_one_mount_point_keeps_them_all, LOOP_DEVICES),
    test!(a_mount_in_its_own_mount_goes_first, LOOP_DEVICES),
    test!(the_line_in_libmounts_table_goes_with_the_mount, LOOP_DEVICES),
    test!(a_use_below_its_own_nested_mount_is_found_before_anything_is_touched, LOOP_DEVICES),
    test!(another_drive_mounted_inside_is_in_the_way, LOOP_DEVICES),
    test!(a_mount_in_another_namespace_is_found_before_anything_is_touched, LOOP_DEVICES),
    test!(a_file_open_in_a_copy_of_the_mount_is_found_before_anything_is_touched, LOOP_DEVICES),
    test!(force_is_offered_only_where_it_is_accepted, LOOP_DEVICES),
    test!(force_cuts_off_who_writes_where_it_is_mounted_in_another_namespace_only, LOOP_DEVICES),
];
