//! Attached loop devices, and the files behind them.

use crate::platform::linux::inventory::describe::open;
use crate::platform::linux::sys::loop_ioctl;
use crate::platform::linux::sys::pseudo_file::text_at;
use crate::platform::linux::sys::sysfs::SysfsDir;
use rustix::fs::CWD;
use std::path::{Path, PathBuf};

/// A loop device with an image behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopDevice {
    /// `loop7`.
    pub name: String,
    /// The image, or the block device, as the kernel names it.
    pub image: PathBuf,
    /// Device number of the file system the image lies on, or of the block device; 0 when we may not ask.
    pub lies_on: u64,
    /// Inode number of the image there; 0 for a block device.
    pub inode: u64,
}

/// Every loop device that has an image.
pub fn loop_devices() -> Vec<LoopDevice> {
    let Ok(names) = SysfsDir::open("/sys/block").and_then(|node| node.names()) else {
        return Vec::new();
    };
    names.into_iter().filter(|name| name.starts_with("loop")).filter_map(loop_device).collect()
}

fn loop_device(name: String) -> Option<LoopDevice> {
    // One failed open is all that a loop device without an image costs.
    let image = text_at(CWD, format!("/sys/block/{name}/loop/backing_file"))?;
    let image = PathBuf::from(image);
    let backing =
        open(Path::new(&format!("/dev/{name}"))).ok().and_then(|d| loop_ioctl::backing(d).ok());
    Some(LoopDevice {
        name,
        image,
        lies_on: backing.map_or(0, |b| b.device),
        inode: backing.map_or(0, |b| b.inode),
    })
}
