//! `lstat(2)` of the nodes in `/dev`, without opening them: devtmpfs answers from memory.

use crate::platform::linux::sys::device_number::from_dev;
use rustix::fs::{FileType, lstat};
use std::path::Path;

/// Returns the device number of the block device node at this path.
///
/// `None` for any other file, a link to a node too.
pub fn block_device_at(path: &Path) -> Option<u64> {
    let stat = lstat(path).ok()?;
    let is_block = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice;
    is_block.then(|| from_dev(stat.st_rdev))
}
