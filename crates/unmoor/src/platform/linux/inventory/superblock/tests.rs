use crate::platform::linux::inventory::superblock::*;
use proptest::prelude::*;
use std::process::Command;

/// Makes a file system in a file with the system's own tool.
fn made(size: u64, tool: &str, arguments: &[&str]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    let run = Command::new(tool)
        .args(arguments)
        .arg(file.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output();
    match run {
        Ok(output) => assert!(output.status.success(), "{tool}: {output:?}"),
        Err(error) => panic!("{tool}: {error}"),
    }
    std::fs::read(file.path()).unwrap()
}

fn check(image: Vec<u8>, kind: &str, label: &str) {
    let found = probe(&image[..]).unwrap();
    assert_eq!((&*found.kind, found.label.as_deref()), (kind, Some(label)));
    assert!(found.uuid.is_some(), "{kind} without a UUID");
}

#[test]
#[ignore = "needs mkfs of ten file systems"]
fn labels_that_mkfs_wrote_are_read() {
    const MB: u64 = 1 << 20;
    check(made(4 * MB, "mkfs.ext4", &["-q", "-L", "Holiday"]), "ext4", "Holiday");
    check(made(4 * MB, "mkfs.ext3", &["-q", "-L", "Holiday"]), "ext3", "Holiday");
    check(made(4 * MB, "mkfs.ext2", &["-q", "-L", "Holiday"]), "ext2", "Holiday");
    check(made(4 * MB, "mkfs.vfat", &["-n", "CARD"]), "vfat", "CARD");
    check(made(64 * MB, "mkfs.vfat", &["-F", "32", "-n", "BIG CARD"]), "vfat", "BIG CARD");
    check(made(8 * MB, "mkfs.exfat", &["-L", "Füße"]), "exfat", "Füße");
    check(made(4 * MB, "mkswap", &["-L", "space"]), "swap", "space");
    check(made(320 * MB, "mkfs.xfs", &["-q", "-L", "xlabel"]), "xfs", "xlabel");
    check(made(128 * MB, "mkfs.btrfs", &["-q", "-L", "butter"]), "btrfs", "butter");
    check(made(64 * MB, "mkfs.f2fs", &["-q", "-l", "flash"]), "f2fs", "flash");
}

#[test]
fn a_disc_image_has_its_name_and_its_time() {
    let mut disc = vec![0u8; 20 * 2048];
    disc[32768..32774].copy_from_slice(b"\x01CD001");
    disc[32808..32815].copy_from_slice(b"HOLIDAY");
    disc[32768 + 813..32768 + 829].copy_from_slice(b"2026112306040000");
    let found = probe(&disc[..]).unwrap();
    assert_eq!(found.kind, "iso9660");
    assert_eq!(found.label.as_deref(), Some("HOLIDAY"));
    assert_eq!(found.uuid.as_deref(), Some("2026-11-23-06-04-00-00"));
}

proptest! {
    #[test]
    fn any_medium_is_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..2048),
        at in prop::sample::select(vec![0usize, 1024, 4086, 32768, 0x10000]),
        magic in prop::sample::select(vec![
            &b"LUKS\xba\xbe"[..], b"XFSB", b"SWAPSPACE2", b"\xebX\x90EXFAT   ", b"\x01CD001", b"\x00NSR03",
        ]),
    ) {
        let mut medium = vec![0u8; at];
        medium.extend_from_slice(magic);
        medium.extend_from_slice(&bytes);
        probe(&medium[..]);
        medium.resize(512.max(medium.len()), 0);
        medium[510] = 0x55;
        medium[511] = 0xaa;
        medium[0x52..0x5a].copy_from_slice(b"FAT32   ");
        probe(&medium[..]);
    }
}
