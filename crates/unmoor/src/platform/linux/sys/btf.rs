//! The kernel's description of its own types: `/sys/kernel/btf/vmlinux` (Documentation/bpf/btf.rst).
//!
//! It has several megabytes, of which a few numbers are wanted: it is read once, in pieces, and not kept.

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, pread};
use std::collections::{HashMap, HashSet};

/// Offset of a member in its structure, in bytes.
pub(crate) type Offset = i16;

/// Types to look for.
#[derive(Debug, Clone, Copy)]
pub struct WantedTypes<'w> {
    /// Functions.
    pub functions: &'w [&'static str],
    /// Members: structure and name.
    pub members: &'w [(&'static str, &'static str)],
}

/// Types that were found.
#[derive(Debug, Default)]
pub struct TypeInfo {
    /// Type numbers of functions.
    pub(super) functions: HashMap<&'static str, u32>,
    /// Type numbers of structures.
    pub(super) structures: HashMap<&'static str, u32>,
    /// Members: structure, name, place.
    pub(super) members: HashMap<(&'static str, &'static str), Offset>,
}

impl TypeInfo {
    /// Returns the type number of a function.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.functions.get(name).copied()
    }

    /// Returns the type number of a structure.
    pub fn structure(&self, name: &str) -> Option<u32> {
        self.structures.get(name).copied()
    }

    /// Returns the offset of a member, also of one in an anonymous structure or union.
    pub fn member(&self, of: &'static str, name: &'static str) -> Option<Offset> {
        self.members.get(&(of, name)).copied()
    }
}

#[cfg(test)]
impl TypeInfo {
    /// Returns numbers that count up in the order of the wanted types, for listings.
    pub(crate) fn counted(wanted: &WantedTypes<'_>) -> TypeInfo {
        let mut info = TypeInfo::default();
        for (at, name) in (1000..).zip(wanted.functions) {
            info.functions.insert(name, at);
        }
        for (at, (of, name)) in (1..).zip(wanted.members) {
            info.structures.insert(of, 2000 + at as u32);
            info.members.insert((of, name), at * 8);
        }
        info
    }
}

/// Opens the description of the running kernel.
///
/// # Errors
/// ENOENT where the kernel describes no types.
pub fn open() -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    openat(CWD, "/sys/kernel/btf/vmlinux", flags, Mode::empty())
}

/// Finds these types in any description of types.
///
/// # Errors
/// ENOTSUP for a description of another version, ENODATA for one that ends early.
pub fn find_in(file: &impl Source, wanted: &WantedTypes<'_>) -> Result<TypeInfo, Errno> {
    let mut header = ChunkReader::new(file, 0, 24);
    // struct btf_header: magic, version and flags, lengths and offsets of types and strings.
    if header.word()? & 0xffff != 0xeb9f {
        return Err(Errno::NOTSUP);
    }
    let start = u64::from(header.word()?);
    let (types, types_len) = (header.word()?, header.word()?);
    let (strings, strings_len) = (header.word()?, header.word()?);
    let members = wanted.members.iter().flat_map(|(of, name)| [*of, *name]);
    let names = NamesByLength::new(wanted.functions.iter().copied().chain(members));
    let strings = ChunkReader::new(file, start + u64::from(strings), strings_len);
    let names = names.offsets(strings)?;
    let types = ChunkReader::new(file, start + u64::from(types), types_len);
    TypeSearch::new(wanted, names).run(types)
}

/// Longest name that can be looked for.
const MAX_NAME: usize = 63;

/// WantedTypes names, by their length.
struct NamesByLength([Vec<&'static str>; MAX_NAME + 1]);

impl NamesByLength {
    fn new(names: impl Iterator<Item = &'static str>) -> NamesByLength {
        let mut by_length = [const { Vec::new() }; MAX_NAME + 1];
        for name in names {
            let same: &mut Vec<&'static str> = &mut by_length[name.len().min(MAX_NAME)];
            if !same.contains(&name) {
                same.push(name);
            }
        }
        NamesByLength(by_length)
    }

    /// Returns the offsets of the names among the strings, each of which occurs once.
    fn offsets(
        &self,
        mut strings: ChunkReader<'_, impl Source>,
    ) -> Result<HashMap<u32, &'static str>, Errno> {
        let mut missing: usize = self.0.iter().map(Vec::len).sum();
        let (mut found, mut at) = (HashMap::new(), 0);
        while missing > 0 {
            while let Some(len) = zero_byte(strings.piece()) {
                let word = &strings.piece()[..len];
                if let Some(same) = self.0.get(len)
                    && let Some(name) = same.iter().find(|name| name.as_bytes() == word)
                    && found.insert(at, *name).is_none()
                {
                    missing = missing.saturating_sub(1);
                }
                strings.next += len + 1;
                at += len as u32 + 1;
            }
            if !strings.fill()? {
                break;
            }
        }
        Ok(found)
    }
}

/// Returns the position of the first zero byte.
#[inline]
fn zero_byte(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let zeros = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if zeros != 0 {
            return Some(at * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == 0).map(|at| words.len() * 8 + at)
}

const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNC: u32 = 12;

/// Search in the types.
struct TypeSearch<'w> {
    wanted: &'w WantedTypes<'w>,
    /// Names, by their offset among the strings.
    names: HashMap<u32, &'static str>,
    /// Largest of those offsets.
    last_name: u32,
    found: TypeInfo,
    /// Anonymous members of wanted structures: structure, type number, offset.
    unnamed_members: Vec<(&'static str, u32, u32)>,
    /// Members of anonymous types: type number, name, offset.
    members_of_unnamed: Vec<(u32, &'static str, u32)>,
}

impl<'w> TypeSearch<'w> {
    fn new(wanted: &'w WantedTypes<'w>, names: HashMap<u32, &'static str>) -> TypeSearch<'w> {
        TypeSearch {
            wanted,
            last_name: names.keys().copied().max().unwrap_or_default(),
            names,
            found: TypeInfo::default(),
            unnamed_members: Vec::new(),
            members_of_unnamed: Vec::new(),
        }
    }

    fn run(mut self, mut types: ChunkReader<'_, impl Source>) -> Result<TypeInfo, Errno> {
        let structures: HashSet<&str> = self.wanted.members.iter().map(|(of, _)| *of).collect();
        let mut number = 0; // 0 is void, and is not written down.
        while !types.is_at_end() && !self.is_complete(&structures, number) {
            number += 1;
            let (name, info, _size) = (types.word()?, types.word()?, types.word()?);
            let (count, kind, bits) = (info & 0xffff, info >> 24 & 0x1f, info >> 31 != 0);
            match kind {
                STRUCT | UNION if name == 0 => {
                    self.read_members(&mut types, count, bits, number, None)?;
                    continue;
                }
                STRUCT => {
                    let name = self.name(name).filter(|name| structures.contains(name));
                    if let Some(name) = name
                        && !self.found.structures.contains_key(name)
                    {
                        self.found.structures.insert(name, number);
                        self.read_members(&mut types, count, bits, number, Some(name))?;
                        continue;
                    }
                }
                FUNC => {
                    let name = self.name(name).filter(|n| self.wanted.functions.contains(n));
                    self.found.functions.extend(name.map(|name| (name, number)));
                }
                _ => {}
            }
            types.skip(match kind {
                // What follows the three words, by kind: int, array, structure and union, enum, function
                // prototype, variable, section, declaration tag, enum of 64 bits.
                1 | 14 | 17 => 4,
                3 => 12,
                STRUCT | UNION | 15 | 19 => 12 * count,
                6 | 13 => 8 * count,
                2 | 7..=12 | 16 | 18 => 0,
                _ => return Err(Errno::NOTSUP),
            })?;
        }
        for (of, number, base) in std::mem::take(&mut self.unnamed_members) {
            for (_, member, offset) in
                self.members_of_unnamed.clone().iter().filter(|m| m.0 == number)
            {
                self.add_member(of, member, base.saturating_add(*offset))?;
            }
        }
        Ok(self.found)
    }

    /// Returns true if no later type is of interest.
    fn is_complete(&self, structures: &HashSet<&str>, number: u32) -> bool {
        self.found.functions.len() == self.wanted.functions.len()
            && self.found.structures.len() == structures.len()
            && self.unnamed_members.iter().all(|(_, of, _)| *of <= number)
    }

    fn name(&self, offset: u32) -> Option<&'static str> {
        match offset == 0 || offset > self.last_name {
            true => None,
            false => self.names.get(&offset).copied(),
        }
    }

    /// Reads the members of a wanted structure, or of an anonymous one.
    fn read_members(
        &mut self,
        types: &mut ChunkReader<'_, impl Source>,
        count: u32,
        bits: bool,
        number: u32,
        of: Option<&'static str>,
    ) -> Result<(), Errno> {
        for _ in 0..count {
            let (name, kind, place) = (types.word()?, types.word()?, types.word()?);
            let place = if bits { place & 0x00ff_ffff } else { place };
            let offset = place / 8;
            match (of, self.name(name)) {
                _ if place % 8 != 0 => {}
                (Some(of), None) if name == 0 => self.unnamed_members.push((of, kind, offset)),
                (Some(of), Some(name)) => self.add_member(of, name, offset)?,
                (None, Some(name)) => self.members_of_unnamed.push((number, name, offset)),
                _ => {}
            }
        }
        Ok(())
    }

    fn add_member(
        &mut self,
        of: &'static str,
        name: &'static str,
        offset: u32,
    ) -> Result<(), Errno> {
        if self.wanted.members.contains(&(of, name)) {
            let offset = Offset::try_from(offset).map_err(|_| Errno::RANGE)?;
            self.found.members.entry((of, name)).or_insert(offset);
        }
        Ok(())
    }
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

/// Size of one read, in bytes. sysfs gives no more than a page at once.
const PIECE: usize = 4096;

/// Part of a file, piece by piece.
struct ChunkReader<'f, S> {
    file: &'f S,
    at: u64,
    left: u32,
    buffer: Vec<u8>,
    next: usize,
}

impl<'f, S: Source> ChunkReader<'f, S> {
    fn new(file: &'f S, at: u64, len: u32) -> ChunkReader<'f, S> {
        ChunkReader { file, at, left: len, buffer: Vec::new(), next: 0 }
    }

    fn is_at_end(&self) -> bool {
        self.next == self.buffer.len() && self.left == 0
    }

    /// Returns what was read and not used.
    #[inline]
    fn piece(&self) -> &[u8] {
        &self.buffer[self.next..]
    }

    #[inline]
    fn word(&mut self) -> Result<u32, Errno> {
        loop {
            if let Some(bytes) = self.piece().first_chunk() {
                let word = u32::from_ne_bytes(*bytes);
                self.next += 4;
                return Ok(word);
            }
            if !self.fill()? {
                return Err(Errno::NODATA);
            }
        }
    }

    #[inline]
    fn skip(&mut self, bytes: u32) -> Result<(), Errno> {
        let mut bytes = bytes as usize;
        while self.piece().len() < bytes {
            bytes -= self.piece().len();
            self.next = self.buffer.len();
            if !self.fill()? {
                return Err(Errno::NODATA);
            }
        }
        self.next += bytes;
        Ok(())
    }

    /// Reads the next piece after what was not used yet; false at the end.
    fn fill(&mut self) -> Result<bool, Errno> {
        self.buffer.drain(..self.next);
        self.next = 0;
        let kept = self.buffer.len();
        // No name and no number is as long as a piece.
        if kept >= PIECE {
            return Err(Errno::NOTSUP);
        }
        self.buffer.resize(kept + PIECE.min(self.left as usize), 0);
        let read = self.file.read(&mut self.buffer[kept..], self.at)?;
        self.buffer.truncate(kept + read);
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
    fn members_and_functions_of_this_kernel_are_found() {
        let wanted = WantedTypes {
            functions: &["bpf_iter_task_file"],
            members: &[("inode", "i_mode"), ("inode", "i_sb"), ("mm_struct", "exe_file")],
        };
        let found = match open().and_then(|file| find_in(&file, &wanted)) {
            Ok(found) => found,
            Err(errno) => panic!("this kernel does not describe its types: {errno}"),
        };
        assert_eq!(found.member("inode", "i_mode"), Some(0), "it is the first one");
        assert!(found.member("inode", "i_sb").is_some_and(|at| at > 0));
        // Since Linux 4.18, all of mm_struct is in an anonymous structure.
        assert!(found.member("mm_struct", "exe_file").is_some_and(|at| at > 0));
        assert!(found.function("bpf_iter_task_file").is_some());
        assert!(found.structure("inode").is_some());
        assert_eq!(found.function("none"), None);
    }

    #[test]
    fn the_first_zero_byte_is_found() {
        for len in 0..40 {
            let mut bytes = vec![0x81; len];
            assert_eq!(zero_byte(&bytes), None);
            bytes.extend([0, 1, 0]);
            assert_eq!(zero_byte(&bytes), Some(len));
        }
    }
}
