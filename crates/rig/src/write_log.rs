//! State of a medium after a power cut, from the writes that QEMU's `blklogwrites` filter recorded.
//!
//! The format is that of the kernel's dm-log-writes target
//! (`Documentation/admin-guide/device-mapper/log-writes.rst`): a super block, then entries of one sector
//! each, each followed by its data.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Result, ensure};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const SECTOR: usize = 512;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// Result of a replay.
#[derive(Debug, PartialEq, Eq)]
pub struct Replayed {
    pub flushes: usize,
    pub kept: usize,
    /// Number of writes after the last flush, which a power cut may lose.
    pub lost: usize,
}

struct Entry {
    sector: u64,
    flags: u64,
    /// Position of the data in the log.
    data: std::ops::Range<usize>,
}

/// Applies to `image`, a copy of the medium at the start, what a power cut at the log's end leaves.
pub fn replay(log: &Path, image: &Path) -> Result<Replayed> {
    replay_first(log, u64::MAX, image)
}

/// Replays the log as [`replay`] does, for a power cut when it was `length` bytes long.
pub fn replay_first(log: &Path, length: u64, image: &Path) -> Result<Replayed> {
    let mut bytes = Vec::new();
    File::open(log)?.take(length).read_to_end(&mut bytes)?;
    let entries = entries(&bytes)?;
    let last = entries.iter().rposition(|entry| entry.flags & FLUSH != 0);
    let mut file = OpenOptions::new().write(true).open(image)?;
    let mut replayed = Replayed { flushes: 0, kept: 0, lost: 0 };
    for (index, entry) in entries.iter().enumerate() {
        replayed.flushes += usize::from(entry.flags & FLUSH != 0);
        if entry.data.is_empty() {
            continue;
        }
        if last.is_some_and(|last| index <= last) || entry.flags & FUA != 0 {
            file.seek(SeekFrom::Start(entry.sector * SECTOR as u64))?;
            file.write_all(&bytes[entry.data.clone()])?;
            replayed.kept += 1;
        } else {
            replayed.lost += 1;
        }
    }
    Ok(replayed)
}

/// Returns the first sector and length, in sectors, of each write after the log was `length` bytes long.
pub fn writes_after(log: &Path, length: u64) -> Result<Vec<(u64, usize)>> {
    let mut bytes = Vec::new();
    File::open(log)?.read_to_end(&mut bytes)?;
    let length = usize::try_from(length)?;
    let late = |entry: &&Entry| entry.data.start > length && !entry.data.is_empty();
    let sysfs_parts = |entry: &Entry| (entry.sector, entry.data.len() / SECTOR);
    Ok(entries(&bytes)?.iter().filter(late).map(sysfs_parts).collect())
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    for (to, from) in value.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    u64::from_le_bytes(value)
}

/// Parses the entries up to the end of the log. The super block's count is updated rarely.
fn entries(bytes: &[u8]) -> Result<Vec<Entry>> {
    ensure!(number(bytes, 0) == MAGIC, "not a write log");
    let mut entries = Vec::new();
    let mut at = SECTOR;
    while at + SECTOR <= bytes.len() {
        let (sector, count, flags) =
            (number(bytes, at), usize::try_from(number(bytes, at + 8))?, number(bytes, at + 16));
        if count == 0 && flags == 0 {
            break;
        }
        let start = at + SECTOR;
        let length = if flags & DISCARD != 0 { 0 } else { count.saturating_mul(SECTOR) };
        let end = start.saturating_add(length);
        if end > bytes.len() {
            // Recorded, but its data had not yet been: it does not count as written.
            break;
        }
        entries.push(Entry { sector, flags, data: start..end });
        at = end;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sector: u64, flags: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in [sector, (data.len() / SECTOR) as u64, flags, 0] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.resize(SECTOR, 0);
        bytes.extend(data);
        bytes
    }

    #[test]
    fn only_what_was_flushed_or_forced_through_survives() -> Result<()> {
        let mut log = MAGIC.to_le_bytes().to_vec();
        log.resize(SECTOR, 0);
        log.extend(entry(0, 0, &[1; SECTOR]));
        log.extend(entry(0, FLUSH, &[]));
        log.extend(entry(1, 0, &[2; SECTOR]));
        log.extend(entry(2, FUA, &[3; SECTOR]));
        let directory = std::env::temp_dir().join(format!("unmoor-log-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let (path, image) = (directory.join("log"), directory.join("image"));
        std::fs::write(&path, log)?;
        std::fs::write(&image, [0; 3 * SECTOR])?;
        let replayed = replay(&path, &image)?;
        let left = std::fs::read(&image)?;
        // With what was written before the first of the last two, and before both.
        let length = std::fs::metadata(&path)?.len();
        let two = 2 * SECTOR as u64;
        let late = [writes_after(&path, length - two)?, writes_after(&path, length - 2 * two)?];
        std::fs::remove_dir_all(directory)?;
        assert_eq!(replayed, Replayed { flushes: 1, kept: 2, lost: 1 });
        assert_eq!(late, [vec![(2, 1)], vec![(1, 1), (2, 1)]]);
        assert_eq!([left[0], left[SECTOR], left[2 * SECTOR]], [1, 0, 3]);
        Ok(())
    }
}
