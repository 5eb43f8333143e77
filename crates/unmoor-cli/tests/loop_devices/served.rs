//! File systems that a FUSE program serves from a file on the drive.

use crate::command::unmoor;
use std::path::PathBuf;
use std::process::Command;
use unmoor_test_support::{FUSE, LoopImage, Test, ok, shell, test};

/// An NTFS image on the drive that ntfs-3g serves.
struct Served {
    image: LoopImage,
    inner: PathBuf,
}

impl Served {
    fn new(name: &str) -> Served {
        let image = LoopImage::new(name);
        let inner = image.beside("served");
        let served = Served { image, inner };
        let file = served.file();
        assert!(ok(Command::new("truncate").args(["-s", "4M"]).arg(&file)));
        assert!(ok(Command::new("mkfs.ntfs").args(["-q", "-Q", "-F"]).arg(&file)));
        served.mount();
        served
    }

    fn file(&self) -> PathBuf {
        self.image.mount.join("ntfs.img")
    }

    fn mount(&self) {
        assert!(ok(Command::new("ntfs-3g").arg(self.file()).arg(&self.inner)));
    }

    fn is_mounted(&self) -> bool {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.contains(&*self.inner.to_string_lossy())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.is_mounted() {
            ok(Command::new("umount").arg("-l").arg(&self.inner));
        }
    }
}

fn an_idle_one_is_unmounted_first_and_keeps_every_byte() {
    let served = Served::new("unmoor-served");
    let data = vec![7; 300_000];
    std::fs::write(served.inner.join("data"), &data).unwrap();
    let device = &served.image.device;
    let plan = unmoor(&["eject", "--dry-run", device]);
    assert!(plan.text.contains(&*served.inner.to_string_lossy()), "{}", plan.text);
    let who = unmoor(&["who", device]);
    // 5: this user may not inspect every process of this machine.
    assert!(matches!(who.code, 0 | 5) && !who.text.contains("ntfs-3g"), "{}", who.text);
    let answer = unmoor(&["eject", "--dismount-only", device]);
    assert_eq!((answer.code, served.is_mounted()), (0, false), "{}", answer.text);
    served.image.mount_at(&served.image.mount);
    served.mount();
    assert_eq!(std::fs::read(served.inner.join("data")).unwrap(), data);
}

fn its_server_is_not_ended_while_it_is_in_use() {
    let served = Served::new("unmoor-served-busy");
    let holder = shell("exec 9>\"$1\"/held; echo; exec sleep 600", &served.inner);
    let device = &served.image.device;
    let who = unmoor(&["who", device]);
    assert!(who.code == 3 && who.text.contains("sleep"), "{}", who.text);
    assert!(!who.text.contains("ntfs-3g"), "{}", who.text);
    for options in [&["eject"][..], &["eject", "--force"]] {
        let words: Vec<&str> = options.iter().copied().chain([&**device]).collect();
        let answer = unmoor(&words);
        assert_eq!((answer.code, served.is_mounted()), (3, true), "{}", answer.text);
        assert!(!answer.text.contains("or --force"), "{}", answer.text);
        std::fs::write(served.inner.join("more"), "still served").unwrap();
    }
    let answer = unmoor(&["eject", "--kill", "--yes", "--dismount-only", device]);
    assert_eq!((answer.code, served.is_mounted()), (0, false), "{}", answer.text);
    assert!(!answer.text.contains("ntfs-3g"), "{}", answer.text);
    drop(holder);
}

pub const TESTS: &[Test] = &[
    test!(an_idle_one_is_unmounted_first_and_keeps_every_byte, FUSE),
    test!(its_server_is_not_ended_while_it_is_in_use, FUSE),
];
