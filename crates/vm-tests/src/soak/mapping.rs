//! Shared mappings of files, and aligned memory for `O_DIRECT`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const PAGE: usize = 4096;

/// Shared mapping of the first bytes of a file.
pub struct Mapping {
    start: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes, which is not 0; the file must be that long.
    pub fn of(file: &File, length: u64) -> io::Result<Self> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address that the kernel chooses; it touches no other memory.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, access, shared, file.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start, length })
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is that long, is written by this process alone, and lives as long as `self`,
        // which is borrowed. A file that became shorter gives SIGBUS, which ends the process.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.length) }
    }

    pub fn sync(&mut self) -> io::Result<()> {
        // SAFETY: the range is that of the mapping.
        match unsafe { libc::msync(self.start, self.length, libc::MS_SYNC) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is that of the mapping, and nobody has a reference into it any more.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// Bytes that begin at a page boundary.
pub struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    pub fn copy_of(data: &[u8]) -> Self {
        let mut memory = vec![0; data.len() + PAGE];
        let start = memory.as_ptr().align_offset(PAGE).min(PAGE);
        memory[start..start + data.len()].copy_from_slice(data);
        Self { memory, start, length: data.len() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}
