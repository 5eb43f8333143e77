//! Devices that the programs compare with.

use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::sys::device_number;

/// Devices that the programs compare with, in the kernel's own form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Devices {
    pub(super) file_systems: Vec<i32>,
    pub(super) block_nodes: Vec<i32>,
    pub(super) character_nodes: Vec<i32>,
    /// Device of the files without a file system, one of which may be an io_uring instance.
    pub(super) anonymous: Option<i32>,
}

impl Devices {
    /// Returns the devices of this filter; `None` if one has a number that the kernel cannot have.
    pub(crate) fn of(filter: &DeviceFilter) -> Option<Devices> {
        let (characters, blocks): (Vec<u64>, Vec<u64>) =
            filter.all_nodes().partition(|device| device_number::is_character_device(*device));
        let nodes = |nodes: Vec<u64>| -> Option<Vec<i32>> {
            nodes.into_iter().map(|n| kernel_number(device_number::without_type(n)?)).collect()
        };
        let anonymous = filter.anonymous_device().map(kernel_number);
        Some(Devices {
            file_systems: filter.all_fs_devices().map(kernel_number).collect::<Option<_>>()?,
            block_nodes: nodes(blocks)?,
            character_nodes: nodes(characters)?,
            anonymous: anonymous.flatten(),
        })
    }
}

#[cfg(test)]
impl Devices {
    pub(crate) fn for_tests(
        file_systems: &[i32],
        block_nodes: &[i32],
        character_nodes: &[i32],
        anonymous: Option<i32>,
    ) -> Devices {
        Devices {
            file_systems: file_systems.to_vec(),
            block_nodes: block_nodes.to_vec(),
            character_nodes: character_nodes.to_vec(),
            anonymous,
        }
    }
}

/// Returns a device number in the kernel's own form: twelve bits and twenty (linux/kdev_t.h).
fn kernel_number(device: u64) -> Option<i32> {
    let (major, minor) = (device >> 32, device & 0xffff_ffff);
    (major < 1 << 12 && minor < 1 << 20).then_some((major << 20 | minor) as u32 as i32)
}
