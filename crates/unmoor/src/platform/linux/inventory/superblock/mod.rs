//! Type, label and UUID of a volume, read from its superblock.
//!
//! Where udev runs it has all this in its database, and that is asked first. It does not run in every
//! container, rescue system or virtual machine, and `LABEL=` must work there too. (libblkid would do
//! it, and would bring a C library into a command that starts in a millisecond.)
//!
//! Everything here comes from a medium that a stranger wrote: each reader takes what bytes there are
//! and survives any of them.

pub(crate) mod fat;
pub(crate) mod magic;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod udf;

use crate::platform::linux::sys::content::{Content, ReadAt};

/// Where most kinds have their superblock.
const HEAD: usize = 0x2000;

/// Up to the end of btrfs' superblock, the one that lies furthest in.
const FAR: usize = 0x11000;

/// Finds out what is on the volume; `None` for nothing, or nothing known.
pub fn probe(volume: &(impl ReadAt + ?Sized)) -> Option<Content> {
    let readers: [fn(&Bytes) -> Option<Content>; 9] = [
        magic::luks,
        magic::lvm,
        magic::raid,
        magic::swap,
        magic::xfs,
        magic::ext,
        magic::f2fs,
        magic::squashfs,
        fat::ntfs,
    ];
    let head = Bytes(volume.read_at(0, HEAD));
    readers
        .iter()
        .find_map(|read| read(&head))
        .or_else(|| fat::exfat(&head, volume))
        .or_else(|| fat::vfat(&head, volume))
        .or_else(|| probe_far(volume))
}

/// Reads the file systems whose superblock lies further in.
fn probe_far(volume: &(impl ReadAt + ?Sized)) -> Option<Content> {
    let bytes = Bytes(volume.read_at(0, FAR));
    magic::btrfs(&bytes)
        .or_else(|| udf::udf(&bytes, volume))
        .or_else(|| udf::iso9660(&bytes))
        // Machines with larger pages.
        .or_else(|| magic::swap(&bytes))
}

/// Bytes from a medium: what lies beyond them reads as nothing.
pub(crate) struct Bytes(Vec<u8>);

impl Bytes {
    fn get(&self, offset: usize, length: usize) -> Option<&[u8]> {
        self.0.get(offset..offset.checked_add(length)?)
    }

    fn is(&self, offset: usize, magic: &[u8]) -> bool {
        self.get(offset, magic.len()) == Some(magic)
    }

    fn array<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset, N)?.try_into().ok()
    }

    fn u8(&self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }

    fn u16(&self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }

    /// Text up to its first NUL, without the spaces around it.
    fn text(&self, offset: usize, length: usize) -> Option<String> {
        text(self.get(offset, length)?)
    }

    /// A UUID of 16 bytes, as it is written down (RFC 9562).
    fn uuid(&self, offset: usize) -> Option<String> {
        let bytes: [u8; 16] = self.array(offset)?;
        if bytes == [0; 16] {
            return None;
        }
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        Some(parts.join("-"))
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_string())
}

/// UTF-16 up to its first NUL.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units = bytes.as_chunks().0.iter().map(|pair| unit(*pair));
    let units: Vec<u16> = units.take_while(|&u| u != 0).collect();
    let text = String::from_utf16_lossy(&units);
    (!text.is_empty()).then_some(text)
}
