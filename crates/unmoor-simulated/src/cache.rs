//! The three levels of written data: the volume's cache, the drive's cache, the medium.
//!
//! Only data on the medium is safe when the medium leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A piece of data written to a file. It is small enough that flushing it shows progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub volume: String,
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// Largest chunk, in bytes. Kernels write back in pieces of about this size.
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

/// Returns the number of bytes in the chunks.
pub(crate) fn total(chunks: &[Chunk]) -> u64 {
    chunks.iter().map(Chunk::len).sum()
}

/// Files and their contents: `(volume, path)` → bytes.
pub type Contents = BTreeMap<(String, PathBuf), Vec<u8>>;

/// Returns the files that these chunks make up, applied in the order they were written.
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
