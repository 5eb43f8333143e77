//! USB devices by port or instance path, those that were removed and are still plugged in among them.

use crate::model::target::Target;
use crate::platform::windows::inventory::snapshot::{DriveKey, Inventory};
use crate::platform::windows::sys::devnode;
use crate::platform::windows::sys::devnode::DevNode;

/// `CM_PROB_WILL_BE_REMOVED`: stopped for its removal.
pub(crate) const WILL_BE_REMOVED: u32 = 21;
/// `CM_PROB_HELD_FOR_EJECT`: removed, waits to be unplugged.
pub(crate) const HELD_FOR_EJECT: u32 = 47;

/// USB device that was removed and is still plugged in.
#[derive(Debug, Clone)]
pub(crate) struct Detached {
    pub(crate) node: DevNode,
    pub(crate) instance: String,
    pub(crate) problem: u32,
}

/// Returns every device that was removed and is still plugged in.
pub(crate) fn detached() -> Vec<Detached> {
    let of = |instance: String| {
        let node = devnode::locate(&instance)?;
        let problem = node.problem()?;
        let removed = matches!(problem, WILL_BE_REMOVED | HELD_FOR_EJECT);
        removed.then_some(Detached { node, instance, problem })
    };
    devnode::instances("USB").into_iter().filter_map(of).collect()
}

/// Returns true if the target names the node: `usb:Port_#0008.Hub_#0001`, or its instance path.
pub(crate) fn is_named(node: DevNode, target: &Target) -> bool {
    match target {
        Target::Port(port) => {
            let location = port.strip_prefix("usb:").unwrap_or(port);
            node.location().is_some_and(|known| known.eq_ignore_ascii_case(location))
        }
        Target::Path(path) => {
            let path = path.to_string_lossy();
            node.instance().is_some_and(|known| known.eq_ignore_ascii_case(&path))
        }
        _ => false,
    }
}

/// Returns the drives whose disk, or a device that it is part of, the target names.
pub(crate) fn drives(inventory: &Inventory, target: &Target) -> Vec<DriveKey> {
    let named = |node: DevNode| {
        // A hub or controller above the device is no name of one drive.
        let device = node.removal_node().unwrap_or(node);
        let ancestors = node.ancestors();
        let end = ancestors.iter().position(|above| *above == device).unwrap_or(0);
        ancestors[..=end].iter().any(|node| is_named(*node, target))
    };
    let disks = inventory.disks.iter().filter(|disk| named(disk.node));
    disks.map(|disk| DriveKey::of_number(disk.number)).collect()
}
