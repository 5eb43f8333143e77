//! FAT, exFAT and NTFS: boot sectors, and the label in the root directory.

use crate::platform::linux::inventory::superblock::bytes::{Bytes, text, utf16};
use crate::platform::linux::sys::content::{Content, ReadAt};

/// Number of bytes of a root directory that are searched for the label: it is among the first entries.
const ROOT: usize = 64 * 1024;

/// FAT12, FAT16, FAT32 (Microsoft, "FAT: General Overview of On-Disk Format" 1.03).
pub fn vfat(b: &Bytes, volume: &(impl ReadAt + ?Sized)) -> Option<Content> {
    let fat32 = b.is(0x52, b"FAT32   ");
    if !b.is(510, &[0x55, 0xaa]) || !(fat32 || b.is(0x36, b"FAT")) {
        return None;
    }
    let (label_at, serial_at) = if fat32 { (0x47, 0x43) } else { (0x2b, 0x27) };
    let serial = b.u32(serial_at).map(|s| format!("{:04X}-{:04X}", s >> 16, s & 0xffff));
    let in_boot_sector = || b.text(label_at, 11).filter(|l| l != "NO NAME");
    let label = root_label(b, volume, fat32).or_else(in_boot_sector);
    Some(Content::of("vfat").label(label).uuid(serial))
}

/// The entry of the root directory that has the attribute "volume ID": what a renamed volume is really
/// called, while the boot sector keeps the first name.
fn root_label(b: &Bytes, volume: &(impl ReadAt + ?Sized), fat32: bool) -> Option<String> {
    let sector = u64::from(b.u16(0x0b)?);
    let per_cluster = u64::from(b.u8(0x0d)?);
    let reserved = u64::from(b.u16(0x0e)?);
    let fats = u64::from(b.u8(0x10)?);
    let entries = usize::from(b.u16(0x11)?);
    let fat_size = match b.u16(0x16)? {
        0 => u64::from(b.u32(0x24)?),
        size => u64::from(size),
    };
    let data = reserved + fats * fat_size;
    let (first, length) = if fat32 {
        let cluster = u64::from(b.u32(0x2c)?).checked_sub(2)?;
        (data + cluster * per_cluster, (per_cluster * sector) as usize)
    } else {
        (data, entries * 32)
    };
    let root = volume.read_at(first.checked_mul(sector)?, length.min(ROOT));
    root.as_chunks::<32>()
        .0
        .iter()
        .take_while(|entry| entry[0] != 0)
        .find(|entry| entry[0] != 0xe5 && entry[11] & 0x3f != 0x0f && entry[11] & 0x18 == 0x08)
        .and_then(|entry| text(&entry[..11]))
}

/// exFAT (Microsoft, "exFAT file system specification").
pub fn exfat(b: &Bytes, volume: &(impl ReadAt + ?Sized)) -> Option<Content> {
    if !b.is(3, b"EXFAT   ") {
        return None;
    }
    let serial = b.u32(0x64).map(|s| format!("{:04X}-{:04X}", s >> 16, s & 0xffff));
    Some(Content::of("exfat").label(exfat_label(b, volume)).uuid(serial))
}

/// The directory entry of type 83h: a count of UTF-16 units, then those.
fn exfat_label(b: &Bytes, volume: &(impl ReadAt + ?Sized)) -> Option<String> {
    let (sector, cluster) = (u32::from(b.u8(0x6c)?), u32::from(b.u8(0x6d)?));
    if sector > 12 || sector + cluster > 25 {
        return None;
    }
    let heap = u64::from(b.u32(0x58)?) << sector;
    let root = u64::from(b.u32(0x60)?).checked_sub(2)? << (sector + cluster);
    let root = volume.read_at(heap + root, (1usize << (sector + cluster)).min(ROOT));
    let entry = root.as_chunks::<32>().0.iter().take_while(|e| e[0] != 0).find(|e| e[0] == 0x83)?;
    let units = usize::from(entry[1]).min(11);
    utf16(&entry[2..2 + units * 2], u16::from_le_bytes)
}

/// NTFS: the serial number. (Its label lies in the master file table; udev knows it.)
pub fn ntfs(b: &Bytes) -> Option<Content> {
    if !b.is(3, b"NTFS    ") {
        return None;
    }
    let serial = b.array(0x48).map(|s| format!("{:016X}", u64::from_le_bytes(s)));
    Some(Content::of("ntfs").uuid(serial))
}
