//! Members of a btrfs over several devices.

use crate::model::drive::Drive;
use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::inventory::btrfs;

/// Adds the other devices of every btrfs that a volume of the drive belongs to.
///
/// A btrfs may be mounted under the name of any of its devices.
pub(crate) fn add_members(drive: &Drive, nodes: &mut Vec<(u64, DeviceIndex)>) {
    for members in btrfs::mounted_over_several() {
        let ours = members
            .iter()
            .find_map(|member| drive.volumes.iter().position(|v| v.device == member.device));
        let Some(position) = ours else { continue };
        for member in &members {
            if !nodes.iter().any(|(known, _)| *known == member.device) {
                nodes.push((member.device, position + 1));
            }
        }
    }
}
