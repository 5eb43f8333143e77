//! Device tree: the nodes of drives, their ancestors and properties, and requests for their removal.
//!
//! Win32: `setupapi.h`, `cfgmgr32.h` and the page of each call.

use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, DeviceNumber, NodeInfo, Veto};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::storage;
use crate::platform::windows::sys::utf16::{lossy, narrow, wide};
use std::ffi::OsString;
use std::mem::size_of;
use std::ptr::{null, null_mut};
use windows_sys::Win32::Devices::DeviceAndDriverInstallation as di;
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_GEN_FAILURE};
use windows_sys::Win32::System::Ioctl::{GUID_DEVINTERFACE_CDROM, GUID_DEVINTERFACE_DISK};
use windows_sys::core::GUID;

/// `CM_DRP_CAPABILITIES` of `cfgmgr32.h`.
const CM_DRP_CAPABILITIES: u32 = 0x10;
/// `CM_DRP_LOCATION_INFORMATION`.
const CM_DRP_LOCATION_INFORMATION: u32 = 0xe;
/// `CM_DRP_ADDRESS`.
const CM_DRP_ADDRESS: u32 = 0x1d;
/// `GUID_DEVINTERFACE_USB_HUB` of `usbiodef.h`.
const GUID_DEVINTERFACE_USB_HUB: GUID = GUID::from_u128(0xf18a0e88_c30c_11d0_8815_00a0c906bed8);
/// Limit for the depth of the tree, in case answers form a ring.
const MAX_DEPTH: usize = 32;
/// Limit for the children that are counted.
const MAX_CHILDREN: usize = 64;

/// Disk or CD drive with its device node.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    /// Path of the device interface.
    pub path: OsString,
    pub node: DevNode,
    pub number: DeviceNumber,
}

/// List of device interfaces, freed when dropped.
struct Interfaces(di::HDEVINFO);

impl Drop for Interfaces {
    fn drop(&mut self) {
        // SAFETY: the list came from SetupDiGetClassDevsW and is destroyed once.
        unsafe { di::SetupDiDestroyDeviceInfoList(self.0) };
    }
}

/// Returns every present disk and CD drive.
pub(crate) fn disks() -> Vec<Disk> {
    [GUID_DEVINTERFACE_DISK, GUID_DEVINTERFACE_CDROM].iter().flat_map(of_class).collect()
}

fn of_class(class: &GUID) -> Vec<Disk> {
    let flags = di::DIGCF_PRESENT | di::DIGCF_DEVICEINTERFACE;
    // SAFETY: the class outlives the call; the other pointers may be null.
    let list = unsafe { di::SetupDiGetClassDevsW(class, null(), null_mut(), flags) };
    if list == -1 {
        return Vec::new();
    }
    let list = Interfaces(list);
    (0..).map_while(|index| interface(&list, class, index)).flatten().collect()
}

/// Returns the interface of this index: `None` after the last, `Some(None)` if its query fails.
fn interface(list: &Interfaces, class: &GUID, index: u32) -> Option<Option<Disk>> {
    let mut data = di::SP_DEVICE_INTERFACE_DATA {
        cbSize: size_of::<di::SP_DEVICE_INTERFACE_DATA>() as u32,
        ..Default::default()
    };
    // SAFETY: the list is open; `data` has its size set and outlives the call.
    let ok = unsafe { di::SetupDiEnumDeviceInterfaces(list.0, null(), class, index, &mut data) };
    (ok != 0).then(|| detail(list, &data))
}

fn detail(list: &Interfaces, data: &di::SP_DEVICE_INTERFACE_DATA) -> Option<Disk> {
    type Detail = di::SP_DEVICE_INTERFACE_DETAIL_DATA_W;
    // The structure ends in the path: a size, then units until a NUL. Room for the longest of paths,
    // in 32-bit words so that it is aligned.
    let mut room = vec![0u32; 16_384];
    room[0] = size_of::<Detail>() as u32;
    let mut node = di::SP_DEVINFO_DATA {
        cbSize: size_of::<di::SP_DEVINFO_DATA>() as u32,
        ..Default::default()
    };
    // SAFETY: the list is open and `data` of it; `room` is as long as said and begins with the size
    // of the structure's fixed part, as the call demands; `node` has its size set.
    let ok = unsafe {
        di::SetupDiGetDeviceInterfaceDetailW(
            list.0,
            data,
            room.as_mut_ptr().cast::<Detail>(),
            (room.len() * 4) as u32,
            null_mut(),
            &mut node,
        )
    };
    if ok == 0 {
        return None;
    }
    let units: Vec<u16> =
        room[1..].iter().flat_map(|&word| [word as u16, (word >> 16) as u16]).collect();
    let path = narrow(&units);
    let device = Device::open(&path, Access::Query).ok()?;
    let number = storage::device_number(&device)?;
    Some(Disk { path, node: DevNode(node.DevInst), number })
}

/// Node of the device tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DevNode(u32);

impl DevNode {
    /// `CM_Get_Parent`.
    pub(crate) fn parent(self) -> Option<DevNode> {
        let mut parent = 0;
        // SAFETY: `parent` outlives the call.
        let status = unsafe { di::CM_Get_Parent(&mut parent, self.0, 0) };
        (status == di::CR_SUCCESS).then_some(DevNode(parent))
    }

    /// `CM_Get_Device_IDW`: `USBSTOR\DISK&VEN_…`.
    pub(crate) fn instance(self) -> Option<String> {
        // MAX_DEVICE_ID_LEN of `cfgmgr32.h` is 200.
        let mut units = [0u16; 201];
        // SAFETY: `units` is as long as said.
        let status =
            unsafe { di::CM_Get_Device_IDW(self.0, units.as_mut_ptr(), units.len() as u32, 0) };
        (status == di::CR_SUCCESS).then(|| lossy(&units))
    }

    /// `CM_Get_DevNode_Registry_PropertyW` of the capabilities; 0 if there are none.
    fn capabilities(self) -> u32 {
        let (mut capabilities, mut size) = (0u32, 4u32);
        // SAFETY: `capabilities` is `size` bytes long.
        let status = unsafe {
            di::CM_Get_DevNode_Registry_PropertyW(
                self.0,
                CM_DRP_CAPABILITIES,
                null_mut(),
                (&raw mut capabilities).cast(),
                &mut size,
                0,
            )
        };
        if status == di::CR_SUCCESS { capabilities } else { 0 }
    }

    /// Counts the children by `CM_Get_Child` and `CM_Get_Sibling`.
    fn children(self) -> usize {
        let mut node = 0;
        // SAFETY: `node` outlives the call.
        let mut status = unsafe { di::CM_Get_Child(&mut node, self.0, 0) };
        let mut count = 0;
        while status == di::CR_SUCCESS && count < MAX_CHILDREN {
            count += 1;
            let here = node;
            // SAFETY: `node` outlives the call.
            status = unsafe { di::CM_Get_Sibling(&mut node, here, 0) };
        }
        count
    }

    /// Returns this node and its ancestors, with their descriptions.
    fn chain(self) -> (Vec<DevNode>, Vec<NodeInfo>) {
        let nodes = self.ancestors();
        let describe = |node: &DevNode| NodeInfo {
            instance: node.instance().unwrap_or_default(),
            capabilities: node.capabilities(),
            children: node.children(),
        };
        let described = nodes.iter().map(describe).collect();
        (nodes, described)
    }

    /// Returns the node that leaves when this disk is unplugged; see
    /// [`removal_node`](win32_parse::removal_node).
    pub(crate) fn removal_node(self) -> Option<DevNode> {
        let (nodes, described) = self.chain();
        win32_parse::removal_node(&described).map(|index| nodes[index])
    }

    /// Returns true if this disk is attached by USB.
    pub(crate) fn is_usb(self) -> bool {
        win32_parse::is_usb(&self.chain().1)
    }

    /// `CM_Request_Device_EjectW`. With room for a veto, Windows shows no window of its own.
    pub(crate) fn request_eject(self) -> Result<(), Veto> {
        let mut name = [0u16; 260];
        let mut kind = 0;
        // SAFETY: `name` is as long as said; `kind` outlives the call.
        let status = unsafe {
            di::CM_Request_Device_EjectW(self.0, &mut kind, name.as_mut_ptr(), name.len() as u32, 0)
        };
        veto("CM_Request_Device_EjectW", status, kind, &name)
    }
}

/// `CM_Get_Device_ID_ListW`: instance paths of the present devices of an enumerator (`USB`).
pub(crate) fn instances(enumerator: &str) -> Vec<String> {
    let flags = di::CM_GETIDLIST_FILTER_ENUMERATOR | di::CM_GETIDLIST_FILTER_PRESENT;
    let filter = wide(enumerator);
    let mut length = 0;
    // SAFETY: `filter` ends in a NUL; `length` outlives the call.
    let status = unsafe { di::CM_Get_Device_ID_List_SizeW(&mut length, filter.as_ptr(), flags) };
    if status != di::CR_SUCCESS {
        return Vec::new();
    }
    let mut units = vec![0u16; length as usize + 1024];
    // SAFETY: `filter` ends in a NUL; `units` is as long as said.
    let status = unsafe {
        di::CM_Get_Device_ID_ListW(filter.as_ptr(), units.as_mut_ptr(), units.len() as u32, flags)
    };
    match status == di::CR_SUCCESS {
        true => win32_parse::multi_sz(&units).map(lossy).collect(),
        false => Vec::new(),
    }
}

impl DevNode {
    /// `CM_Get_DevNode_Status`: problem code; `None` if the device works.
    pub(crate) fn problem(self) -> Option<u32> {
        let (mut status, mut problem) = (0, 0);
        // SAFETY: both numbers outlive the call.
        let answer = unsafe { di::CM_Get_DevNode_Status(&mut status, &mut problem, self.0, 0) };
        (answer == di::CR_SUCCESS && status & di::DN_HAS_PROBLEM != 0).then_some(problem)
    }

    /// `CM_DRP_LOCATION_INFORMATION`: `Port_#0008.Hub_#0001`.
    pub(crate) fn location(self) -> Option<String> {
        let mut units = [0u16; 1024];
        let mut size = size_of_val(&units) as u32;
        // SAFETY: `units` is `size` bytes long.
        let status = unsafe {
            di::CM_Get_DevNode_Registry_PropertyW(
                self.0,
                CM_DRP_LOCATION_INFORMATION,
                null_mut(),
                units.as_mut_ptr().cast(),
                &mut size,
                0,
            )
        };
        let location = lossy(&units);
        (status == di::CR_SUCCESS && !location.is_empty()).then_some(location)
    }

    /// `CM_DRP_ADDRESS`: number of the hub's port, for a USB device.
    pub(crate) fn address(self) -> Option<u32> {
        let (mut address, mut size) = (0u32, 4u32);
        // SAFETY: `address` is `size` bytes long.
        let status = unsafe {
            di::CM_Get_DevNode_Registry_PropertyW(
                self.0,
                CM_DRP_ADDRESS,
                null_mut(),
                (&raw mut address).cast(),
                &mut size,
                0,
            )
        };
        (status == di::CR_SUCCESS).then_some(address)
    }

    /// Returns this node and its ancestors.
    pub(crate) fn ancestors(self) -> Vec<DevNode> {
        std::iter::successors(Some(self), |node| node.parent()).take(MAX_DEPTH).collect()
    }

    /// `CM_Enable_DevNode`, then `CM_Reenumerate_DevNode` of the parent: starts a device again that was
    /// stopped for its removal (problem code 21).
    pub(crate) fn enable(self) -> Result<(), Code> {
        // SAFETY: takes numbers only.
        let enabled = unsafe { di::CM_Enable_DevNode(self.0, 0) };
        if let Some(parent) = self.parent() {
            // SAFETY: takes numbers only.
            unsafe { di::CM_Reenumerate_DevNode(parent.0, 0) };
        }
        match enabled {
            di::CR_SUCCESS => Ok(()),
            di::CR_ACCESS_DENIED => Err(ERROR_ACCESS_DENIED),
            _ => Err(ERROR_GEN_FAILURE),
        }
    }

    /// `CM_Get_Device_Interface_ListW`: path by which this node is opened as a USB hub.
    pub(crate) fn hub_path(self) -> Option<OsString> {
        let instance = wide(self.instance()?);
        let mut units = [0u16; 1024];
        // SAFETY: `instance` ends in a NUL; `units` is as long as said; the class outlives the call.
        let status = unsafe {
            di::CM_Get_Device_Interface_ListW(
                &GUID_DEVINTERFACE_USB_HUB,
                instance.as_ptr(),
                units.as_mut_ptr(),
                units.len() as u32,
                di::CM_GET_DEVICE_INTERFACE_LIST_PRESENT,
            )
        };
        let path = narrow(&units);
        (status == di::CR_SUCCESS && !path.is_empty()).then_some(path)
    }

    /// `CM_Query_And_Remove_SubTreeW`: stops the device and those below it. It stays stopped until it is
    /// plugged in again.
    pub(crate) fn remove_subtree(self) -> Result<(), Veto> {
        let mut name = [0u16; 260];
        let mut kind = 0;
        // SAFETY: `name` is as long as said; `kind` outlives the call.
        let status = unsafe {
            di::CM_Query_And_Remove_SubTreeW(
                self.0,
                &mut kind,
                name.as_mut_ptr(),
                name.len() as u32,
                di::CM_REMOVE_NO_RESTART,
            )
        };
        veto("CM_Query_And_Remove_SubTreeW", status, kind, &name)
    }
}

/// Returns the veto, if there is one. Success with a veto type set is a veto as well.
fn veto(call: &'static str, status: u32, kind: i32, name: &[u16]) -> Result<(), Veto> {
    match status == di::CR_SUCCESS && kind == 0 {
        true => Ok(()),
        false => Err(Veto { call, kind, name: lossy(name), status }),
    }
}

/// `CM_Locate_DevNodeW`: returns the node of this instance path if the device is there.
pub(crate) fn locate(instance: &str) -> Option<DevNode> {
    let instance = wide(instance);
    let mut node = 0;
    // SAFETY: `instance` ends in a NUL; `node` outlives the call.
    let status = unsafe { di::CM_Locate_DevNodeW(&mut node, instance.as_ptr(), 0) };
    (status == di::CR_SUCCESS).then_some(DevNode(node))
}
