//! Virtual disks and the files that they lie in: `STORAGE_DEPENDENCY_INFO` of `virtdisk.h`.

use crate::platform::win32_parse::self_relative::Buffer;

/// File of a virtual disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// `\\?\Volume{…}\` of the file's volume.
    pub volume: Vec<u16>,
    /// Path of the file from the root of the volume.
    pub path: Vec<u16>,
}

/// Reads the answer to `GetStorageDependencyInformation` of version 2.
///
/// It has one record for each file of the chain (a differencing disk has several): version, count, then records; a record is flags, provider
/// flags, type (a number and a GUID), level, and four pointers to texts: the device, the volume that
/// hosts it, the volume that depends on it, the file's path.
pub fn image_files(answer: &[u8], base: u64, pointer: usize) -> Vec<ImageFile> {
    const VERSION_2: u32 = 2;
    const HEADER: usize = 8;
    const TEXTS: usize = 32;
    let size = TEXTS + 4 * pointer;
    let answer = Buffer::new(answer, base, pointer);
    if answer.bytes.u32(0) != Some(VERSION_2) {
        return Vec::new();
    }
    let count = answer.bytes.u32(4).unwrap_or(0) as usize;
    let room = answer.bytes.0.len().saturating_sub(HEADER) / size;
    (0..count.min(room))
        .filter_map(|index| {
            let texts = HEADER + index * size + TEXTS;
            let volume = answer.sz(texts + pointer).filter(|v| !v.is_empty())?;
            let path = answer.sz(texts + 3 * pointer).filter(|p| !p.is_empty())?;
            Some(ImageFile { volume, path })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: u64 = 0x10_0000;
    const VOLUME: &str = r"\\?\Volume{0b2e4f3c-0000-0000-0000-100000000000}\";

    /// An answer with one record: volume and path, where they are said to be.
    fn answer(count: u32, volume: &str, path: &str, pointer: usize) -> Vec<u8> {
        let size = 8 + 32 + 4 * pointer;
        let wide = |text: &str| -> Vec<u8> {
            text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
        };
        let (volume, path) = (wide(volume), wide(path));
        let mut out = [2u32.to_le_bytes(), count.to_le_bytes()].concat();
        out.extend([0; 32]);
        let at = [0, size, 0, size + volume.len()];
        for offset in at {
            let address = if offset == 0 { 0 } else { BASE + offset as u64 };
            out.extend(&address.to_le_bytes()[..pointer]);
        }
        out.extend(volume);
        out.extend(path);
        out
    }

    #[test]
    fn the_file_of_a_virtual_disk_is_read_for_both_pointer_sizes() {
        for pointer in [4, 8] {
            let read = image_files(&answer(1, VOLUME, r"\images\a.vhdx", pointer), BASE, pointer);
            assert_eq!(read.len(), 1, "{pointer}");
            assert_eq!(String::from_utf16_lossy(&read[0].volume), VOLUME);
            assert_eq!(String::from_utf16_lossy(&read[0].path), r"\images\a.vhdx");
        }
    }

    #[test]
    fn lies_are_not_believed() {
        let good = answer(1, VOLUME, r"\a.iso", 8);
        assert!(image_files(&good, BASE + 0x1000, 8).is_empty(), "pointers from elsewhere");
        assert_eq!(image_files(&answer(u32::MAX, VOLUME, r"\a.iso", 8), BASE, 8).len(), 1);
        assert!(image_files(&answer(1, "", r"\a.iso", 8), BASE, 8).is_empty());
        assert!(image_files(&[1, 0, 0, 0, 1, 0, 0, 0], BASE, 8).is_empty(), "another version");
        for short in 0..good.len() {
            let _ = image_files(&good[..short], BASE, 8);
        }
        // Wine answers success with nothing in it.
        assert!(image_files(&[0; 72], BASE, 8).is_empty());
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200), base: u64,
        ) {
            if bytes.len() > 4 {
                bytes[..4].copy_from_slice(&2u32.to_le_bytes());
            }
            for pointer in [4, 8] {
                let read = image_files(&bytes, base, pointer);
                prop_assert!(read.len() <= bytes.len() / (32 + 4 * pointer));
            }
        }
    }
}
