//! Attached loop devices, and the files behind them.
//!
//! `LOOP_GET_STATUS64` asks the file system of the image for its file (`vfs_getattr`), and does not return while
//! the server of that file system does not answer. sysfs has the path of the image alone, which may lead
//! elsewhere by now. So the helper makes the call, once for each image: the answer is kept under the `diskseq`,
//! which the kernel changes with the image.

use crate::deadline::Clock;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::helper::{Helper, c_path};
use crate::platform::linux::sys::clock::MonotonicClock;
use crate::platform::linux::sys::loop_ioctl::Backing;
use crate::platform::linux::sys::sysfs::SysfsDir;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Timeout for the answer of one loop device.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Time during which a loop device that did not answer is not asked again.
const SILENCE: Duration = Duration::from_secs(30);

/// A loop device with an image behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopDevice {
    /// `loop7`.
    pub name: String,
    /// The image, or the block device, as the kernel names it.
    pub image: PathBuf,
    /// Device number of the image's file system, or of the block device.
    ///
    /// 0 if it is not known: this user may not ask, or the file system does not answer.
    pub lies_on: u64,
    /// Inode number of the image there; 0 for a block device.
    pub inode: u64,
}

/// Answer of a loop device.
#[derive(Debug, Clone, Copy)]
enum Known {
    Backing(Backing),
    /// No answer. The device is not asked again until this time.
    Silent(Duration),
}

/// Answers by `diskseq`, which is never used twice.
static KNOWN: Mutex<Option<HashMap<u64, Known>>> = Mutex::new(None);

/// Lists the loop devices that have an image.
pub fn loop_devices(helper: &Helper) -> Vec<LoopDevice> {
    let Ok(names) = SysfsDir::open("/sys/block").and_then(|node| node.names()) else {
        return Vec::new();
    };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = known.take().unwrap_or_default();
    let mut after = HashMap::new();
    let loops = names.into_iter().filter(|name| name.starts_with("loop"));
    let found = loops.filter_map(|name| loop_device(name, helper, &before, &mut after)).collect();
    *known = Some(after);
    found
}

fn loop_device(
    name: String,
    helper: &Helper,
    before: &HashMap<u64, Known>,
    after: &mut HashMap<u64, Known>,
) -> Option<LoopDevice> {
    // One failed open is all that a loop device without an image costs.
    let attached = SysfsDir::open(format!("/sys/block/{name}/loop")).ok()?;
    let image = PathBuf::from(attached.text("backing_file")?);
    let sequence = attached.number("../diskseq");
    let now = MonotonicClock.now();
    let known = sequence.and_then(|sequence| before.get(&sequence)).copied();
    let known = known.filter(|known| !matches!(known, Known::Silent(until) if *until <= now));
    let status = known.or_else(|| status(&name, helper));
    if let (Some(sequence), Some(status)) = (sequence, status) {
        after.insert(sequence, status);
    }
    let backing = match status {
        Some(Known::Backing(backing)) => Some(backing),
        _ => None,
    };
    Some(LoopDevice {
        name,
        image,
        lies_on: backing.map_or(0, |b| b.device),
        inode: backing.map_or(0, |b| b.inode),
    })
}

fn status(name: &str, helper: &Helper) -> Option<Known> {
    let path = c_path(Path::new(&format!("/dev/{name}"))).ok()?;
    let request = Request::LoopBacking { path: &path };
    match helper.within(STATUS_TIMEOUT, |deadline| helper.call(&request, deadline)) {
        Ok(Ok([device, inode, ..])) => Some(Known::Backing(Backing { device, inode })),
        Ok(Err(_)) => None,
        Err(_) => Some(Known::Silent(MonotonicClock.now() + SILENCE)),
    }
}
