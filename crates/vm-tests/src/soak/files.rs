//! Model of the files that the writers of a cycle make.
//!
//! The same random stream produces the same files twice: in the guest with real operations, and for the check
//! with none. So no list of checksums is needed, and missing bytes can be counted.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::random::Random;

/// Way in which bytes are written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMethod {
    Buffered,
    /// `O_APPEND`
    Appended,
    /// `O_DIRECT`, where the file system has it
    Direct,
    /// Shared mapping, without msync
    Mapped,
}

/// Operations on the files below a writer's directory.
pub trait FileOps {
    fn write(&mut self, name: &str, offset: u64, data: &[u8], how: WriteMethod) -> Result<()>;
    fn truncate(&mut self, name: &str, length: u64) -> Result<()>;
    fn rename(&mut self, from: &str, to: &str) -> Result<()>;
    fn remove(&mut self, name: &str) -> Result<()>;
    fn sync(&mut self, name: &str) -> Result<()>;
}

/// Operations that do nothing.
pub struct NoFiles;

impl FileOps for NoFiles {
    fn write(&mut self, _: &str, _: u64, _: &[u8], _: WriteMethod) -> Result<()> {
        Ok(())
    }
    fn truncate(&mut self, _: &str, _: u64) -> Result<()> {
        Ok(())
    }
    fn rename(&mut self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }
    fn remove(&mut self, _: &str) -> Result<()> {
        Ok(())
    }
    fn sync(&mut self, _: &str) -> Result<()> {
        Ok(())
    }
}

const POOL: usize = 512 * 1024;
const BLOCK: usize = 4096;

/// Directories that a writer uses; the first is its own.
pub const DIRECTORIES: &[&str] = &["", "one/", "two/"];

/// Files of one writer.
pub struct Files {
    random: Random,
    pool: Vec<u8>,
    stamp: u64,
    names: u64,
    /// Expected content, by name.
    pub there: BTreeMap<String, Vec<u8>>,
    /// Number of bytes written, including overwritten and deleted ones.
    pub written: u64,
}

impl Files {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let pool = std::iter::repeat_with(|| random.next().to_le_bytes())
            .take(POOL / 8)
            .flatten()
            .collect();
        Self { random, pool, stamp: seed, names: 0, there: BTreeMap::new(), written: 0 }
    }

    /// Carries out one random operation.
    pub fn step(&mut self, ops: &mut dyn FileOps) -> Result<()> {
        let choice = self.random.below(100);
        match self.any() {
            Some(name) if choice < 20 => self.append(&name, ops),
            Some(name) if choice < 40 => self.overwrite(&name, ops),
            Some(name) if choice < 46 => self.truncate(&name, ops),
            Some(name) if choice < 56 => self.rename(name, ops),
            Some(name) if choice < 63 && self.there.len() > 3 => {
                self.there.remove(&name);
                ops.remove(&name).with_context(|| format!("removing {name}"))
            }
            Some(name) if choice < 67 => ops.sync(&name).with_context(|| format!("syncing {name}")),
            _ => self.create(ops),
        }
    }

    fn any(&mut self) -> Option<String> {
        let at = self.random.index(self.there.len().max(1));
        self.there.keys().nth(at).cloned()
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("{}f{}.dat", self.random.pick(DIRECTORIES), self.names)
    }

    /// Returns a random size: mostly small, as on any stick, sometimes large.
    fn size(&mut self) -> u64 {
        match self.random.below(10) {
            0..=3 => 1 + self.random.below(4000),
            4..=7 => 1 + self.random.below(60_000),
            _ => 1 + self.random.below(400_000),
        }
    }

    /// Returns bytes that were never written before: each block has its own number.
    fn data(&mut self, length: u64) -> Vec<u8> {
        let length = usize::try_from(length).unwrap_or(0).min(POOL);
        let start = self.random.index(POOL - length + 1);
        let mut data = self.pool[start..start + length].to_vec();
        for at in (0..length.saturating_sub(8)).step_by(BLOCK) {
            self.stamp = self.stamp.wrapping_add(1);
            data[at..at + 8].copy_from_slice(&self.stamp.to_le_bytes());
        }
        data
    }

    fn create(&mut self, ops: &mut dyn FileOps) -> Result<()> {
        let name = self.new_name();
        let how = self.random.pick(&[
            WriteMethod::Buffered,
            WriteMethod::Buffered,
            WriteMethod::Direct,
            WriteMethod::Mapped,
        ]);
        self.there.insert(name.clone(), Vec::new());
        let size = self.size();
        self.put(&name, 0, size, how, ops)
    }

    fn append(&mut self, name: &str, ops: &mut dyn FileOps) -> Result<()> {
        let size = self.size();
        let end = self.length(name);
        self.put(name, end, size, WriteMethod::Appended, ops)
    }

    fn overwrite(&mut self, name: &str, ops: &mut dyn FileOps) -> Result<()> {
        let length = self.length(name);
        let offset = self.random.below(length + 1);
        let how =
            self.random.pick(&[WriteMethod::Buffered, WriteMethod::Direct, WriteMethod::Mapped]);
        let size = self.size();
        self.put(name, offset, size, how, ops)
    }

    fn put(
        &mut self,
        name: &str,
        offset: u64,
        size: u64,
        how: WriteMethod,
        ops: &mut dyn FileOps,
    ) -> Result<()> {
        // O_DIRECT takes whole blocks at their borders.
        let whole = BLOCK as u64;
        let (offset, size) = match how {
            WriteMethod::Direct => (offset / whole * whole, size.div_ceil(whole) * whole),
            _ => (offset, size),
        };
        let data = self.data(size);
        self.written += data.len() as u64;
        let file = self.there.entry(name.to_owned()).or_default();
        let start = usize::try_from(offset)?;
        if file.len() < start + data.len() {
            file.resize(start + data.len(), 0);
        }
        file[start..start + data.len()].copy_from_slice(&data);
        ops.write(name, offset, &data, how)
            .with_context(|| format!("{how:?}: {} bytes at {offset} of {name}", data.len()))
    }

    fn truncate(&mut self, name: &str, ops: &mut dyn FileOps) -> Result<()> {
        let length = self.random.below(self.length(name) + 1);
        if let Some(file) = self.there.get_mut(name) {
            file.truncate(usize::try_from(length)?);
        }
        ops.truncate(name, length).with_context(|| format!("truncating {name} to {length}"))
    }

    /// Renames a file to a new name, or replaces another file.
    fn rename(&mut self, from: String, ops: &mut dyn FileOps) -> Result<()> {
        let other = self.any().filter(|other| *other != from);
        let to = match other {
            Some(other) if self.random.chance(40) => other,
            _ => self.new_name(),
        };
        if let Some(file) = self.there.remove(&from) {
            self.there.insert(to.clone(), file);
        }
        ops.rename(&from, &to).with_context(|| format!("renaming {from} to {to}"))
    }

    fn length(&self, name: &str) -> u64 {
        self.there.get(name).map_or(0, |file| file.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(seed: u64) -> Result<Files> {
        let mut files = Files::new(seed);
        while files.written < 2_000_000 {
            files.step(&mut NoFiles)?;
        }
        Ok(files)
    }

    #[test]
    fn the_same_seed_makes_the_same_files() -> Result<()> {
        let (one, two, other) = (made(3)?, made(3)?, made(4)?);
        assert_eq!(one.there, two.there);
        assert_ne!(one.there, other.there);
        assert!(one.there.len() > 3);
        Ok(())
    }

    #[test]
    fn constants_match_a_script_written_by_hand() -> Result<()> {
        let directory = std::env::temp_dir().join(format!("unmoor-soak-{}", std::process::id()));
        let result = super::super::writer::round_trip(&directory);
        std::fs::remove_dir_all(&directory)?;
        result
    }
}
