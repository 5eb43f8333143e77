//! Type, label and UUID of a volume, read from its superblock.
//!
//! Where udev runs it has all this in its database, and that is asked first. It does not run in every
//! container, rescue system or virtual machine, and `LABEL=` must work there too. (libblkid would do
//! it, and would bring a C library into a command that starts in a millisecond.)
//!
//! Everything here comes from a medium that a stranger wrote: each reader takes what bytes there are
//! and survives any of them.

pub(crate) mod bytes;
pub(crate) mod fat;
pub(crate) mod magic;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod udf;

use crate::platform::linux::inventory::superblock::bytes::Bytes;
use crate::platform::linux::sys::content::{Content, ReadAt};

/// Where most kinds have their superblock.
const HEAD: usize = 0x2000;

/// Up to the end of btrfs' superblock, the one that lies furthest in.
pub const FAR: usize = 0x11000;

/// Up to the root directory of a small FAT, which has the label.
pub const SMALL_FAT: usize = 0x8000;

/// Finds out what is on the volume; `None` for nothing, or nothing known.
pub fn probe(volume: &(impl ReadAt + ?Sized)) -> Option<Content> {
    let head = Bytes(volume.read_at(0, HEAD));
    by_start(&head)
        .or_else(|| fat::exfat(&head, volume))
        .or_else(|| fat::vfat(&head, volume))
        .or_else(|| probe_far(volume))
}

/// Content of a volume, as far as its first bytes show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartProbe {
    /// Its content. True if an error came after the start.
    Known(Content, bool),
    /// Its content is not in the start. True as above.
    Unknown(bool),
    /// The volume did not answer in time.
    Silent,
}

impl StartProbe {
    /// Finds out what is on the volume from its first bytes alone.
    pub fn at(start: &[u8], failed: bool) -> StartProbe {
        match by_start(&Bytes(start.to_vec())) {
            Some(content) => StartProbe::Known(content, failed),
            None => StartProbe::Unknown(failed),
        }
    }
}

fn by_start(head: &Bytes) -> Option<Content> {
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
    readers.iter().find_map(|read| read(head))
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
