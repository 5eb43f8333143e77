//! ISO 9660 and UDF: what is on discs.

use crate::platform::linux::inventory::superblock::bytes::{Bytes, text, utf16};
use crate::platform::linux::sys::content::{Content, ReadAt};

const SECTOR: u64 = 2048;

/// ISO 9660 (ECMA-119 8.4): the primary volume descriptor, in sector 16.
pub fn iso9660(b: &Bytes) -> Option<Content> {
    const PRIMARY: usize = 16 * SECTOR as usize;
    if !b.is(PRIMARY, b"\x01CD001") {
        return None;
    }
    // The time it was last changed (8.4.27), or made, is all the identity such a disc has.
    let time = [830, 813].iter().find_map(|at| date(b.get(PRIMARY + at, 16)?));
    Some(Content::of("iso9660").label(b.text(PRIMARY + 40, 32)).uuid(time))
}

/// `2026112306040000` as `2026-11-23-06-04-00-00`; all zeros means that no time was given.
fn date(digits: &[u8]) -> Option<String> {
    if !digits.iter().all(u8::is_ascii_digit) || digits.iter().all(|&digit| digit == b'0') {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    let pairs: Vec<&str> = (4..16).step_by(2).map(|at| &digits[at..at + 2]).collect();
    Some(format!("{}-{}", &digits[..4], pairs.join("-")))
}

/// Reads UDF (ECMA-167, OSTA UDF 2.60).
///
/// It is recognised by its NSR descriptor among those after sector 16. The logical volume descriptor has its
/// label.
pub fn udf(b: &Bytes, volume: &(impl ReadAt + ?Sized)) -> Option<Content> {
    let descriptor = |n: usize| b.get((16 + n) * SECTOR as usize + 1, 5);
    let is_udf = (0..8).filter_map(descriptor).any(|id| id == b"NSR02" || id == b"NSR03");
    is_udf.then(|| Content::of("udf").label(label(volume)))
}

/// Anchor (sector 256) → main volume descriptor sequence → logical volume descriptor.
fn label(volume: &(impl ReadAt + ?Sized)) -> Option<String> {
    // On hard disks and sticks a block may be as small as 512 bytes.
    [2048u64, 512, 4096].into_iter().find_map(|block| {
        let anchor = Bytes(volume.read_at(256 * block, 512));
        if anchor.u16(0)? != 2 {
            return None;
        }
        let (length, start) = (u64::from(anchor.u32(16)?), u64::from(anchor.u32(20)?));
        (0..(length / block).min(64))
            .map(|n| Bytes(volume.read_at((start + n) * block, 512)))
            .find(|descriptor| descriptor.u16(0) == Some(6))
            .and_then(|descriptor| dstring(descriptor.get(84, 128)?))
    })
}

/// OSTA compressed Unicode (UDF 2.1.1): the first byte says how wide the characters are, the last one
/// how long the text is.
fn dstring(field: &[u8]) -> Option<String> {
    let (&length, field) = field.split_last()?;
    let (&width, field) = field.split_first()?;
    let used = usize::from(length).checked_sub(1)?.min(field.len());
    match width {
        8 => text(&field[..used]),
        16 => utf16(&field[..used], u16::from_be_bytes),
        _ => None,
    }
}
