//! Choice of the device node to remove: which ancestor of a disk leaves when the disk is unplugged.
//!
//! Nodes are described by instance path (`USB\VID_0951&PID_1666\60A44C`), by the capabilities of
//! `CM_DRP_CAPABILITIES` (`cfgmgr32.h`), and by the number of their children.

/// `CM_DEVCAP_REMOVABLE` of `cfgmgr32.h`.
const CM_DEVCAP_REMOVABLE: u32 = 0x4;

/// Node of the device tree, as far as the choice depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeInfo {
    /// Device instance path.
    pub instance: String,
    /// Bits of `CM_DEVCAP_*`.
    pub capabilities: u32,
    /// Number of child nodes.
    pub children: usize,
}

/// Returns the index of the node to remove. `chain` leads from the disk to the root of the tree.
///
/// USB: the device that the hub enumerated, whatever its capabilities say. A port that firmware calls
/// internal has no Removable bit, and the disk below a UAS bridge may have one of its own. Of a device
/// with several functions it is the whole device.
///
/// Other buses: the disk itself if it is removable, else an adapter that has this disk alone. Nothing
/// above those: a removable bridge or host controller may carry devices that are no disks.
pub(crate) fn removal_node(chain: &[NodeInfo]) -> Option<usize> {
    if let Some(function) = usb_node(chain) {
        let is_function = chain[function].instance.to_ascii_uppercase().contains("&MI_");
        let parent = chain.get(function + 1).filter(|parent| is_usb_device(parent));
        return Some(function + usize::from(is_function && parent.is_some()));
    }
    let removable = |node: &NodeInfo| node.capabilities & CM_DEVCAP_REMOVABLE != 0;
    match chain {
        [disk, ..] if removable(disk) => Some(0),
        [_, adapter, ..] if removable(adapter) && adapter.children == 1 => Some(1),
        _ => None,
    }
}

/// Returns true if the disk is attached by USB.
pub(crate) fn is_usb(chain: &[NodeInfo]) -> bool {
    usb_node(chain).is_some()
}

/// Returns the USB device or function nearest to the disk.
fn usb_node(chain: &[NodeInfo]) -> Option<usize> {
    // Above a PCI function begins the machine itself.
    let below_pci = chain.iter().take_while(|node| !has_prefix(&node.instance, r"PCI\"));
    below_pci.enumerate().find(|(_, node)| is_usb_device(node)).map(|(index, _)| index)
}

/// Returns true for `USB\VID_…`. Root hubs are `USB\ROOT_HUB…`.
fn is_usb_device(node: &NodeInfo) -> bool {
    has_prefix(&node.instance, r"USB\VID_")
}

/// `str::starts_with`, blind to ASCII case as instance paths are.
fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: u32 = 0;
    const REMOVABLE: u32 = 0x14;
    /// `UniqueID, RawDeviceOK, SurpriseRemovalOK`, as USB Device Tree Viewer shows an internal port.
    const NOT_REMOVABLE: u32 = 0xd0;

    fn chain(nodes: &[(&str, u32, usize)]) -> Vec<NodeInfo> {
        let node = |&(instance, capabilities, children): &(&str, u32, usize)| NodeInfo {
            instance: instance.into(),
            capabilities,
            children,
        };
        nodes.iter().map(node).collect()
    }

    /// Instance path of the node that is chosen.
    fn chosen(nodes: &[(&str, u32, usize)]) -> Option<String> {
        let chain = chain(nodes);
        removal_node(&chain).map(|index| chain[index].instance.clone())
    }

    const HUB: (&str, u32, usize) = (r"USB\VID_05E3&PID_0610\5&2", REMOVABLE, 4);
    const ROOT_HUB: (&str, u32, usize) = (r"USB\ROOT_HUB30\4&1", NONE, 2);
    const XHCI: (&str, u32, usize) = (r"PCI\VEN_8086&DEV_A36D\3&1", REMOVABLE, 1);
    const ROOT: (&str, u32, usize) = (r"HTREE\ROOT\0", NONE, 50);

    #[test]
    fn a_stick_behind_a_hub_leaves_as_its_own_usb_device() {
        let stick = (r"USB\VID_0951&PID_1666\60A4", REMOVABLE, 1);
        let disk = (r"USBSTOR\DISK&VEN_KINGSTON\60A4&0", 0x10, 0);
        assert_eq!(chosen(&[disk, stick, HUB, ROOT_HUB, XHCI, ROOT]).as_deref(), Some(stick.0));
    }

    #[test]
    fn an_internal_usb_port_does_not_lead_up_to_the_host_controller() {
        let stick = (r"USB\VID_0951&PID_1666\60A4", NOT_REMOVABLE, 1);
        let disk = (r"USBSTOR\DISK&VEN_KINGSTON\60A4&0", 0x10, 0);
        let nodes = [disk, stick, ROOT_HUB, XHCI, ROOT];
        assert_eq!(chosen(&nodes).as_deref(), Some(stick.0));
    }

    #[test]
    fn a_uas_disk_with_a_removable_bit_of_its_own_takes_its_bridge_along() {
        let bridge = (r"USB\VID_174C&PID_55AA\1", REMOVABLE, 1);
        let disk = (r"SCSI\DISK&VEN_ASMT\6&1", REMOVABLE, 0);
        assert_eq!(chosen(&[disk, bridge, HUB, ROOT_HUB, XHCI]).as_deref(), Some(bridge.0));
    }

    #[test]
    fn a_device_with_several_functions_leaves_as_a_whole() {
        let function = (r"USB\VID_12D1&PID_1001&MI_02\7&1", NONE, 1);
        let device = (r"USB\VID_12D1&PID_1001\5&1", REMOVABLE, 3);
        let disk = (r"USBSTOR\DISK&VEN_HUAWEI\7&1", NONE, 0);
        let nodes = [disk, function, device, ROOT_HUB, XHCI];
        assert_eq!(chosen(&nodes).as_deref(), Some(device.0));
    }

    #[test]
    fn no_controller_or_bridge_with_other_devices_is_ever_chosen() {
        // A SATA disk on a controller that VMware calls removable (KB 1026230), beside others.
        let disk = (r"SCSI\DISK&VEN_VMWARE\5&1", NONE, 0);
        let controller = (r"PCI\VEN_1000&DEV_0030\4&1", REMOVABLE, 2);
        assert_eq!(chosen(&[disk, controller, ROOT]), None);
        // A disk below a removable bridge, as in a Thunderbolt dock.
        let adapter = (r"PCI\VEN_1B21&DEV_0612\4&1", NONE, 1);
        let bridge = (r"PCI\VEN_8086&DEV_15EA\3&1", REMOVABLE, 1);
        assert_eq!(chosen(&[disk, adapter, bridge, ROOT]), None);
    }

    #[test]
    fn a_removable_disk_leaves_alone_and_an_adapter_with_it_alone_too() {
        let disk = (r"SCSI\DISK&VEN_WDC\5&1", REMOVABLE, 0);
        let controller = (r"PCI\VEN_8086&DEV_A102\3&1", REMOVABLE, 3);
        assert_eq!(chosen(&[disk, controller, ROOT]).as_deref(), Some(disk.0));
        let fixed = (r"SCSI\DISK&VEN_NVME\5&1", NONE, 0);
        let adapter = (r"PCI\VEN_144D&DEV_A808\4&1", REMOVABLE, 1);
        assert_eq!(chosen(&[fixed, adapter, ROOT]).as_deref(), Some(adapter.0));
        assert_eq!(chosen(&[fixed, (adapter.0, NONE, 1), ROOT]), None);
        assert_eq!(chosen(&[]), None);
    }

    proptest! {
        #[test]
        fn no_tree_makes_the_choice_panic(
            nodes in proptest::collection::vec((r"(USB\\VID_|PCI\\|ä)?[&MI_0-9ä]{0,9}", any::<u32>(), 0usize..4), 0..6),
        ) {
            let nodes: Vec<NodeInfo> = nodes
                .into_iter()
                .map(|(instance, capabilities, children)| NodeInfo { instance, capabilities, children })
                .collect();
            prop_assert!(removal_node(&nodes).is_none_or(|index| index < nodes.len()));
        }
    }
}
