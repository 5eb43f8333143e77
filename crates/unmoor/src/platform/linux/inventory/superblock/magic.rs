//! Superblocks that say everything in one place.

use crate::platform::linux::inventory::superblock::bytes::{Bytes, utf16};
use crate::platform::linux::sys::content::Content;

/// ext2, ext3, ext4 (Documentation/filesystems/ext4/super.rst): at 1024 bytes.
pub fn ext(b: &Bytes) -> Option<Content> {
    const SUPER: usize = 1024;
    if b.u16(SUPER + 0x38)? != 0xef53 {
        return None;
    }
    let (compat, incompat) = (b.u32(SUPER + 0x5c)?, b.u32(SUPER + 0x60)?);
    let ro_compat = b.u32(SUPER + 0x64)?;
    let has_journal = compat & 0x4 != 0;
    // What ext3 does not know: anything but filetype, recover, journal_dev; sparse, large files, B-trees.
    let newer = incompat & !0x0e != 0 || ro_compat & !0x07 != 0;
    let kind = match (newer, has_journal) {
        (true, _) => "ext4",
        (false, true) => "ext3",
        (false, false) => "ext2",
    };
    Some(Content::of(kind).label(b.text(SUPER + 0x78, 16)).uuid(b.uuid(SUPER + 0x68)))
}

/// XFS (XFS Algorithms & Data Structures, "Superblocks").
pub fn xfs(b: &Bytes) -> Option<Content> {
    b.is(0, b"XFSB").then(|| Content::of("xfs").label(b.text(108, 12)).uuid(b.uuid(32)))
}

/// Btrfs (btrfs on-disk format, "Superblock"): at 64 KiB.
pub fn btrfs(b: &Bytes) -> Option<Content> {
    const SUPER: usize = 0x10000;
    b.is(SUPER + 0x40, b"_BHRfS_M")
        .then(|| Content::of("btrfs").label(b.text(SUPER + 0x12b, 256)).uuid(b.uuid(SUPER + 0x20)))
}

/// F2FS (linux/f2fs_fs.h, `struct f2fs_super_block`): at 1024 bytes.
pub fn f2fs(b: &Bytes) -> Option<Content> {
    const SUPER: usize = 1024;
    if b.u32(SUPER)? != 0xf2f5_2010 {
        return None;
    }
    let label = b.get(SUPER + 124, 1024).and_then(|name| utf16(name, u16::from_le_bytes));
    Some(Content::of("f2fs").label(label).uuid(b.uuid(SUPER + 108)))
}

/// Swap space (mkswap(8)): the magic ends the first page, of 4 KiB on most machines.
pub fn swap(b: &Bytes) -> Option<Content> {
    [4096, 16384, 65536]
        .iter()
        .any(|page| b.is(page - 10, b"SWAPSPACE2"))
        .then(|| Content::of("swap").label(b.text(1052, 16)).uuid(b.uuid(1036)))
}

/// LUKS 1 and 2 (LUKS On-Disk Format Specification).
pub fn luks(b: &Bytes) -> Option<Content> {
    if !b.is(0, b"LUKS\xba\xbe") {
        return None;
    }
    let version = u16::from_be_bytes(b.array(6)?);
    let label = (version == 2).then(|| b.text(24, 48)).flatten();
    Some(Content::of("crypto_LUKS").label(label).uuid(b.text(168, 40)))
}

/// An LVM physical volume: its label lies in one of the first four sectors.
pub fn lvm(b: &Bytes) -> Option<Content> {
    (0..4)
        .map(|sector| sector * 512)
        .any(|at| b.is(at, b"LABELONE") && b.is(at + 24, b"LVM2 001"))
        .then(|| Content::of("LVM2_member"))
}

/// A member of an md array with metadata 1.1 or 1.2 (linux/raid/md_p.h).
pub fn raid(b: &Bytes) -> Option<Content> {
    const MAGIC: u32 = 0xa92b_4efc;
    [0, 4096]
        .into_iter()
        .find(|&at| b.u32(at) == Some(MAGIC))
        .map(|at| Content::of("linux_raid_member").label(b.text(at + 32, 32)).uuid(b.uuid(at + 16)))
}

/// SquashFS 4.
pub fn squashfs(b: &Bytes) -> Option<Content> {
    b.is(0, b"hsqs").then(|| Content::of("squashfs"))
}
