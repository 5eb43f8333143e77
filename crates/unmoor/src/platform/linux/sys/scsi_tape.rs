//! `/sys/class/scsi_tape` (st(4)): the tape drives and their places in the device tree.

use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use rustix::io::Errno;
use std::path::PathBuf;

/// Directory in which the kernel lists its tapes.
const CLASS: &str = "/sys/class/scsi_tape";

/// Returns the name without what says how the tape is opened: `nst0m` is `st0`.
pub fn plain_name(name: &str) -> Option<&str> {
    let name = name.strip_prefix('n').unwrap_or(name);
    let name = name.trim_end_matches(['l', 'm', 'a']);
    let number = name.strip_prefix("st")?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

/// Returns the place of the tape in the device tree.
pub fn place(name: &str) -> Result<BlockDevice, Errno> {
    let disk_path =
        std::fs::canonicalize(PathBuf::from(CLASS).join(name)).map_err(|_| Errno::NODEV)?;
    Ok(BlockDevice { disk_path, disk: name.to_string(), partition: None })
}

/// Returns the tape with this device number.
pub fn by_number(device: u64) -> Result<BlockDevice, Errno> {
    let tape = device & 0xffff_ffff;
    place(&format!("st{tape}"))
}

/// Lists every tape drive.
pub fn all() -> Vec<BlockDevice> {
    let names = SysfsDir::open(CLASS).and_then(|node| node.names()).unwrap_or_default();
    let names = names.iter().filter(|name| plain_name(name) == Some(name.as_str()));
    names.filter_map(|name| place(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_tape_is_the_same_tape() {
        for name in ["st0", "nst0", "st0m", "nst0a"] {
            assert_eq!(plain_name(name), Some("st0"));
        }
        for name in ["st", "stick", "nst", "mst0", "sda"] {
            assert_eq!(plain_name(name), None, "{name}");
        }
    }
}
