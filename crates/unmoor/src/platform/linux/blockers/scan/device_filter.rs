//! Devices and mounts that the process scan looks for.
//!
//! Asked once for each descriptor, so every test is a search in a short sorted list.

use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::blockers::processes::sockets::Sockets;
use crate::platform::linux::sys::procfs::FileStat;
use std::path::PathBuf;

/// Devices, mounts and sockets of the drives that are scanned for.
#[derive(Debug, Default)]
pub(crate) struct DeviceFilter {
    /// Block devices, by the number of their node.
    nodes: Vec<(u64, DeviceIndex)>,
    /// Device numbers of the mounted file systems.
    fs_devices: Vec<(u64, DeviceIndex)>,
    /// Mount IDs, sorted.
    mounts: Vec<(u64, DeviceIndex)>,
    /// Device numbers of file systems mounted on those mounts, sorted.
    nested_devices: Vec<u64>,
    /// Mounts on which stat(2) may block, sorted.
    remote_mounts: Vec<u64>,
    /// Sockets bound on those devices.
    sockets: Sockets,
}

impl DeviceFilter {
    /// Combines these devices with the mounts that were found of them.
    pub(crate) fn new(nodes: Vec<(u64, DeviceIndex)>, scan: &MountScan) -> DeviceFilter {
        let mut filter = DeviceFilter { nodes, ..DeviceFilter::default() };
        for mount in &scan.drive_mounts {
            filter.fs_devices.push((mount.device, mount.index));
            filter.mounts.push((mount.id, mount.index));
        }
        // A user of a nested mount keeps the drive's mount below it busy too.
        filter.mounts.extend(scan.nested_mounts.iter().map(|nested| (nested.id, nested.index)));
        filter.mounts.extend(scan.overlays.iter().map(|overlay| (overlay.id, overlay.index)));
        filter.nested_devices.extend(scan.nested_mounts.iter().map(|nested| nested.device));
        filter.nested_devices.extend(scan.overlays.iter().map(|overlay| overlay.device));
        filter.nested_devices.sort_unstable();
        filter.nested_devices.dedup();
        filter.fs_devices.sort_unstable();
        filter.fs_devices.dedup();
        filter.mounts.sort_unstable();
        filter.mounts.dedup();
        filter.remote_mounts = scan.remote_mounts.clone();
        filter.remote_mounts.sort_unstable();
        filter
    }

    /// Adds these sockets.
    pub(crate) fn with(self, sockets: Sockets) -> DeviceFilter {
        DeviceFilter { sockets, ..self }
    }

    /// Returns the device that this socket is bound on, and the name that was given to bind(2).
    pub(crate) fn socket(&self, stat: &FileStat) -> Option<(DeviceIndex, PathBuf)> {
        self.sockets.find(stat).map(|(index, name)| (index, name.clone()))
    }

    /// Returns the devices of all file systems that a file of the drive can be on.
    ///
    /// Other files can be on them too.
    pub(crate) fn all_fs_devices(&self) -> impl Iterator<Item = u64> {
        self.nodes
            .iter()
            .chain(&self.fs_devices)
            .map(|(device, _)| *device)
            .chain(self.nested_devices.iter().copied())
            .chain(self.sockets.device())
    }

    /// Returns the numbers of the block devices.
    pub(crate) fn all_nodes(&self) -> impl Iterator<Item = u64> {
        self.nodes.iter().map(|(device, _)| *device)
    }

    /// Returns true if stat(2) may block on any mount.
    pub(crate) fn has_remote(&self) -> bool {
        !self.remote_mounts.is_empty()
    }

    /// Returns true if stat(2) may block on this mount.
    pub(crate) fn is_remote(&self, mount: u64) -> bool {
        self.remote_mounts.binary_search(&mount).is_ok()
    }

    /// Returns the device that this file lies on.
    ///
    /// Compares the device first, so that files on a detached mount are found too. A file system that makes its own
    /// device numbers (btrfs has one for each subvolume) is found by the mount.
    pub(crate) fn file(&self, stat: &FileStat) -> Option<DeviceIndex> {
        let by_device = self.fs_device(stat.device);
        by_device.or_else(|| {
            let position = self.mounts.binary_search_by_key(&stat.mount?, |(id, _)| *id).ok()?;
            Some(self.mounts[position].1)
        })
    }

    /// Returns true if a file system with this device number is mounted on one of the drive's mounts.
    ///
    /// The same file system may be mounted elsewhere too.
    pub(crate) fn is_nested(&self, device: u64) -> bool {
        self.nested_devices.binary_search(&device).is_ok()
    }

    /// Returns the device whose file system has this device number.
    pub(crate) fn fs_device(&self, device: u64) -> Option<DeviceIndex> {
        let mut all = self.nodes.iter().chain(&self.fs_devices);
        all.find(|(number, _)| *number == device).map(|(_, index)| *index)
    }

    /// Returns the device that this block device node stands for.
    pub(crate) fn node(&self, stat: &FileStat) -> Option<DeviceIndex> {
        let node = stat.node?;
        self.nodes.iter().find(|(number, _)| *number == node).map(|(_, index)| *index)
    }
}
