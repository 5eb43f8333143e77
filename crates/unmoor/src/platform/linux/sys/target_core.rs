//! LIO, the kernel's SCSI target, in configfs (Documentation/target/): its backing files and devices.

use crate::platform::linux::sys::device_number::number;
use crate::platform::linux::sys::pseudo_file::read_path;
use crate::platform::linux::sys::sysfs::SysfsDir;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "/sys/kernel/config/target";

/// Backing store of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackingStore {
    /// Directory in configfs.
    pub(crate) directory: PathBuf,
    pub(crate) backing: Backing,
}

/// File or device behind a backing store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backing {
    /// File of `fileio`.
    File(PathBuf),
    /// Block device of `iblock` or `pscsi`, by number.
    Device(u64),
}

/// Lists the backing stores that have a file or device open.
pub(crate) fn backing_stores() -> Vec<BackingStore> {
    let core = Path::new(DIRECTORY).join("core");
    let mut stores = Vec::new();
    for adapter in names(&core) {
        for name in names(&core.join(&adapter)) {
            let directory = core.join(&adapter).join(name);
            let info = read_path(directory.join("info")).unwrap_or_default();
            if let Some(backing) = parse(&info) {
                stores.push(BackingStore { directory, backing });
            }
        }
    }
    stores
}

/// Finds the symbolic links by which targets use this backing store.
pub(crate) fn links_to(store: &BackingStore) -> Vec<PathBuf> {
    let target = std::fs::canonicalize(&store.directory).ok();
    let mut links = Vec::new();
    for fabric in below(Path::new(DIRECTORY)).filter(|path| !path.ends_with("core")) {
        let groups = below(&fabric).flat_map(|name| below(&name).collect::<Vec<_>>());
        let luns = groups.flat_map(|group| below(&group.join("lun")).collect::<Vec<_>>());
        let entries = luns.flat_map(|lun| below(&lun).collect::<Vec<_>>());
        links.extend(entries.filter(|entry| {
            std::fs::read_link(entry).is_ok() && std::fs::canonicalize(entry).ok() == target
        }));
    }
    links
}

fn names(directory: &Path) -> Vec<String> {
    SysfsDir::open(directory).and_then(|dir| dir.names()).unwrap_or_default()
}

fn below(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let directory = directory.to_path_buf();
    names(&directory).into_iter().map(move |name| directory.join(name))
}

/// Parses the attribute `info` of a backing store.
///
/// `fileio` writes `File: PATH  Size: …` (`fd_show_configfs_dev_params`), `iblock` writes `Major: N Minor: N`
/// (`iblock_show_configfs_dev_params`).
pub(crate) fn parse(info: &[u8]) -> Option<Backing> {
    if find(info, b"SCSI Device Bus Location: ").is_some() {
        return scsi_device(info);
    }
    if let Some(start) = find(info, b"File: ") {
        let rest = &info[start + 6..];
        let path = rest[..find(rest, b"  Size: ")?].to_vec();
        return Some(Backing::File(PathBuf::from(OsString::from_vec(path))));
    }
    let text = String::from_utf8_lossy(&info[find(info, b"Major: ")?..]).into_owned();
    let mut words = text.split_ascii_whitespace();
    let (major, minor) = (words.nth(1)?.parse().ok()?, words.nth(1)?.parse().ok()?);
    Some(Backing::Device(number(major, minor)))
}

/// Returns the block device of a SCSI device that `pscsi` has open (`pscsi_show_configfs_dev_params`).
fn scsi_device(info: &[u8]) -> Option<Backing> {
    let field = |name: &[u8]| {
        let rest = &info[find(info, name)? + name.len()..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..digits]).ok()?.parse::<u32>().ok()
    };
    let [host, channel] = [field(b"Host ID: ")?, field(b"Channel ID: ")?];
    let [target, unit] = [field(b"Target ID: ")?, field(b"LUN: ")?];
    let block = format!("/sys/bus/scsi/devices/{host}:{channel}:{target}:{unit}/block");
    let name = names(Path::new(&block)).into_iter().next()?;
    Some(Backing::Device(SysfsDir::open(format!("{block}/{name}")).ok()?.device()?))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_and_devices_are_read() {
        let file = b"Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 16384\n        \
                     TCM FILEIO ID: 0        File: /mnt/a b  Size: 1048576  Mode: O_DSYNC Async: 0\n";
        assert_eq!(parse(file), Some(Backing::File("/mnt/a b".into())));
        let device = b"Status: ACTIVATED\n        iBlock device: sdb1  UDEV PATH: /dev/sdb1  readonly: 0\n        \
                       Major: 8 Minor: 17  CLAIMED: IBLOCK\n";
        assert_eq!(parse(device), Some(Backing::Device(8 << 32 | 17)));
        assert_eq!(parse(b"Status: DEACTIVATED\n"), None);
    }

    proptest! {
        #[test]
        fn no_input_panics(info: Vec<u8>) {
            parse(&info);
        }
    }
}
