//! `PROCMAP_QUERY` (linux/fs.h, Linux 6.11): a search in the mappings of a process, without text.

use crate::platform::linux::sys::ioctl;
use crate::platform::linux::sys::procfs::Result;
use rustix::fd::AsFd;
use rustix::io::Errno;

/// `_IOWR('f', 17, struct procmap_query)`
const PROCMAP_QUERY: ioctl::Request = 0xc068_6611;

const VMA_WRITABLE: u64 = 0x02;
const VMA_SHARED: u64 = 0x08;
const COVERING_OR_NEXT_VMA: u64 = 0x10;
const FILE_BACKED_VMA: u64 = 0x20;

/// `struct procmap_query`
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

/// Returns true if the process with this open file `maps` has a file mapped shared and writable.
///
/// # Errors
/// ENOTTY before Linux 6.11; ESRCH if the process has exited.
pub(crate) fn has_shared_writable_file(maps: impl AsFd) -> Result<bool> {
    let mut query = Query {
        size: size_of::<Query>() as u64,
        query_flags: VMA_WRITABLE | VMA_SHARED | COVERING_OR_NEXT_VMA | FILE_BACKED_VMA,
        ..Query::default()
    };
    // SAFETY: the kernel reads and writes `size` bytes, which is the size of this structure. The sizes of the
    // buffers for name and build ID are 0, so that it writes nowhere else.
    match unsafe { ioctl::with(maps, PROCMAP_QUERY, &mut query) } {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_without_shared_files_has_none() {
        let mut child = Command::new("sleep").arg("100").stdin(Stdio::null()).spawn().unwrap();
        let maps = std::fs::File::open(format!("/proc/{}/maps", child.id())).unwrap();
        let found = has_shared_writable_file(&maps);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(found, Ok(false) | Err(Errno::NOTTY)), "{found:?}");
    }
}
