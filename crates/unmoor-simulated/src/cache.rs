//! The three levels that written data goes through: the volume's cache in the machine, the drive's own
//! cache, the medium. Only what is on the medium when it leaves is safe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Data that was written to a file, in a piece small enough that flushing it shows progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub volume: String,
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// As a kernel writes back: not byte by byte, and not all at once.
const PIECE: usize = 256 << 10;

impl Chunk {
    pub fn pieces(volume: &str, path: &Path, bytes: &[u8]) -> Vec<Chunk> {
        bytes
            .chunks(PIECE)
            .map(|b| Chunk { volume: volume.into(), path: path.into(), bytes: b.to_vec() })
            .collect()
    }

    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// How many bytes.
pub(crate) fn total(chunks: &[Chunk]) -> u64 {
    chunks.iter().map(Chunk::len).sum()
}

/// Files and their contents: `(volume, path)` → bytes.
pub type Contents = BTreeMap<(String, PathBuf), Vec<u8>>;

/// What files these chunks make, in the order they were written.
pub(crate) fn contents<'c>(chunks: impl IntoIterator<Item = &'c Chunk>) -> Contents {
    let mut files = Contents::new();
    for chunk in chunks {
        files
            .entry((chunk.volume.clone(), chunk.path.clone()))
            .or_default()
            .extend_from_slice(&chunk.bytes);
    }
    files
}
