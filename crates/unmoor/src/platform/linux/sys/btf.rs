//! The kernel's description of its own types: `/sys/kernel/btf/vmlinux` (Documentation/bpf/btf.rst).
//!
//! It has several megabytes, of which a few numbers are wanted: it is read in pieces and not kept.

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, pread};
use std::collections::HashMap;

/// Where a member of a structure lies, in bytes.
pub(crate) type Offset = i16;

/// Types that were found.
#[derive(Debug, Default)]
pub struct TypeInfo {
    /// Functions: their number.
    functions: HashMap<&'static str, u32>,
    /// Members: structure, name, place.
    members: HashMap<(&'static str, &'static str), Offset>,
}

impl TypeInfo {
    /// The number of a function.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.functions.get(name).copied()
    }

    /// Where a member lies.
    pub fn member(&self, of: &'static str, name: &'static str) -> Option<Offset> {
        self.members.get(&(of, name)).copied()
    }
}

/// Looks for these functions, and these members of structures.
pub(crate) fn find(
    functions: &[&'static str],
    members: &[(&'static str, &'static str)],
) -> Result<TypeInfo, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(CWD, "/sys/kernel/btf/vmlinux", flags, Mode::empty())?;
    find_in(&file, functions, members)
}

/// Finds the functions and members in any description of types.
pub fn find_in(
    file: &impl Source,
    functions: &[&'static str],
    members: &[(&'static str, &'static str)],
) -> Result<TypeInfo, Errno> {
    let mut header = ChunkReader::new(file, 0, 24);
    // struct btf_header: magic, version and flags, lengths and offsets of types and strings.
    if header.word()? & 0xffff != 0xeb9f {
        return Err(Errno::NOTSUP);
    }
    let start = u64::from(header.word()?);
    let (types, types_len) = (header.word()?, header.word()?);
    let (strings, strings_len) = (header.word()?, header.word()?);
    let names: Vec<&'static str> = functions
        .iter()
        .copied()
        .chain(members.iter().flat_map(|(of, name)| [*of, *name]))
        .collect();
    let offsets =
        names_at(ChunkReader::new(file, start + u64::from(strings), strings_len), &names)?;
    let types = ChunkReader::new(file, start + u64::from(types), types_len);
    types_of(types, &offsets, functions, members)
}

/// Offsets of the names among the strings.
fn names_at(
    mut strings: ChunkReader<'_, impl Source>,
    names: &[&'static str],
) -> Result<HashMap<u32, &'static str>, Errno> {
    let mut found = HashMap::new();
    let (mut start, mut word) = (0, Vec::new());
    while strings.fill()? {
        for part in strings.piece.split_inclusive(|byte| *byte == 0) {
            // The end of a piece may be in the middle of a string.
            let whole = match (word.is_empty(), part.last()) {
                (true, Some(0)) => part,
                _ => {
                    word.extend_from_slice(part);
                    &word[..]
                }
            };
            let Some((0, text)) = whole.split_last() else { continue };
            if let Some(name) = names.iter().find(|name| name.as_bytes() == text) {
                found.insert(start, *name);
            }
            start += u32::try_from(whole.len()).map_err(|_| Errno::RANGE)?;
            word.clear();
        }
    }
    Ok(found)
}

const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNC: u32 = 12;

fn types_of(
    mut types: ChunkReader<'_, impl Source>,
    names: &HashMap<u32, &'static str>,
    functions: &[&'static str],
    members: &[(&'static str, &'static str)],
) -> Result<TypeInfo, Errno> {
    let mut found = TypeInfo::default();
    let mut number = 0; // 0 is void, and is not written down.
    while !types.is_at_end() {
        number += 1;
        let (name, info, _size) = (types.word()?, types.word()?, types.word()?);
        let (count, kind, bits) = (info & 0xffff, info >> 24 & 0x1f, info >> 31 != 0);
        let name = match kind {
            FUNC | STRUCT => names.get(&name).copied().unwrap_or(""),
            _ => "",
        };
        match kind {
            FUNC if functions.contains(&name) => {
                found.functions.insert(name, number);
            }
            STRUCT if members.iter().any(|(of, _)| *of == name) => {
                for _ in 0..count {
                    let (member, _type, place) = (types.word()?, types.word()?, types.word()?);
                    let place = if bits { place & 0x00ff_ffff } else { place };
                    let Some(member) = names.get(&member).copied() else { continue };
                    if members.contains(&(name, member)) && place % 8 == 0 {
                        let place = Offset::try_from(place / 8).map_err(|_| Errno::RANGE)?;
                        found.members.entry((name, member)).or_insert(place);
                    }
                }
                continue;
            }
            _ => {}
        }
        types.skip(match kind {
            // What follows the three words, by kind: int, array, struct and union, enum, function
            // prototype, variable, section, declaration tag, enum of 64 bits.
            1 | 14 | 17 => 4,
            3 => 12,
            STRUCT | UNION | 15 | 19 => 12 * count,
            6 | 13 => 8 * count,
            2 | 7..=12 | 16 | 18 => 0,
            _ => return Err(Errno::NOTSUP),
        })?;
    }
    Ok(found)
}

/// Where a description is read from.
pub trait Source {
    /// Reads at most as many bytes as fit into the buffer, from this offset.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno>;
}

impl Source for OwnedFd {
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        pread(self, buffer, offset)
    }
}

/// A part of a file, piece by piece.
struct ChunkReader<'f, S> {
    file: &'f S,
    at: u64,
    left: u32,
    piece: Vec<u8>,
    next: usize,
}

impl<'f, S: Source> ChunkReader<'f, S> {
    fn new(file: &'f S, at: u64, len: u32) -> ChunkReader<'f, S> {
        ChunkReader { file, at, left: len, piece: Vec::new(), next: 0 }
    }

    fn is_at_end(&self) -> bool {
        self.next == self.piece.len() && self.left == 0
    }

    #[inline]
    fn byte(&mut self) -> Result<Option<u8>, Errno> {
        if self.next == self.piece.len() && !self.fill()? {
            return Ok(None);
        }
        let byte = self.piece[self.next];
        self.next += 1;
        Ok(Some(byte))
    }

    #[inline]
    fn word(&mut self) -> Result<u32, Errno> {
        if let Some(bytes) = self.piece.get(self.next..self.next + 4) {
            self.next += 4;
            return Ok(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        }
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            *byte = self.byte()?.ok_or(Errno::NODATA)?;
        }
        Ok(u32::from_ne_bytes(bytes))
    }

    fn skip(&mut self, bytes: u32) -> Result<(), Errno> {
        let mut bytes = bytes as usize;
        while bytes > 0 {
            let here = (self.piece.len() - self.next).min(bytes);
            self.next += here;
            bytes -= here;
            if bytes > 0 && !self.fill()? {
                return Err(Errno::NODATA);
            }
        }
        Ok(())
    }

    /// Reads the next piece; false at the end.
    fn fill(&mut self) -> Result<bool, Errno> {
        self.piece.resize(self.left.min(128 * 1024) as usize, 0);
        self.next = 0;
        let read = self.file.read(&mut self.piece, self.at)?;
        self.piece.truncate(read);
        self.at += read as u64;
        self.left -= read as u32;
        if read == 0 && self.left > 0 {
            return Err(Errno::NODATA);
        }
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs a kernel with BTF"]
    fn a_member_and_a_function_of_this_kernel_are_found() {
        let found = match find(&["bpf_iter_task_file"], &[("inode", "i_mode"), ("inode", "i_sb")]) {
            Ok(found) => found,
            Err(errno) => {
                panic!("this kernel does not describe its types: {errno}");
            }
        };
        assert_eq!(found.member("inode", "i_mode"), Some(0), "it is the first one");
        assert!(found.member("inode", "i_sb").is_some_and(|at| at > 0));
        assert!(found.function("bpf_iter_task_file").is_some());
        assert_eq!(found.function("none"), None);
    }
}
