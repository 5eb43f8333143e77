//! zram (Documentation/admin-guide/blockdev/zram.rst): backing devices for pages that are written back.

use crate::platform::linux::sys::pseudo_file::read_path;
use crate::platform::linux::sys::sysfs::SysfsDir;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// zram device with a backing device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zram {
    /// Name: `zram0`.
    pub(crate) name: String,
    /// Path of the backing device.
    pub(crate) backing_device: PathBuf,
}

/// Lists the zram devices with a backing device.
pub(crate) fn with_backing_device() -> Vec<Zram> {
    let names = SysfsDir::open("/sys/block").and_then(|dir| dir.names()).unwrap_or_default();
    let zram = names.into_iter().filter(|name| name.starts_with("zram"));
    let with_backing_device = zram.filter_map(|name| {
        let path = read_path(format!("/sys/block/{name}/backing_dev")).ok()?;
        let path = path.strip_suffix(b"\n").unwrap_or(&path).to_vec();
        let backing_device = PathBuf::from(OsString::from_vec(path));
        backing_device.is_absolute().then_some(Zram { name, backing_device })
    });
    with_backing_device.collect()
}
