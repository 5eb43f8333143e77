//! File systems over several devices: btrfs names its members in sysfs.

use super::survey::Which;
use crate::drive::Drive;
use crate::platform::linux::sysfs::Node;

/// Adds the other devices of every btrfs that a volume of the drive belongs to: it may be mounted
/// under the name of any of them.
pub(super) fn add_members(drive: &Drive, nodes: &mut Vec<(u64, Which)>) {
    let Ok(all) = Node::open("/sys/fs/btrfs") else { return };
    for uuid in all.names().unwrap_or_default() {
        let members = all.names_in(&*format!("{uuid}/devices"));
        let ours = members.iter().find_map(|member| {
            drive.volumes.iter().position(|v| v.name.replace('/', "!") == *member)
        });
        let Some(at) = ours else { continue };
        for member in &members {
            let device = Node::open(format!("/sys/class/block/{member}")).ok();
            let Some(device) = device.and_then(|node| node.device()) else { continue };
            if !nodes.iter().any(|(known, _)| *known == device) {
                nodes.push((device, at + 1));
            }
        }
    }
}
