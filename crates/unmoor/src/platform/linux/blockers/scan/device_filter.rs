//! What the walk over the processes looks for: asked once for each descriptor, so it is quick.

use crate::platform::linux::blockers::mounts::scan::{DeviceIndex, MountScan};
use crate::platform::linux::blockers::processes::sockets::Sockets;
use crate::platform::linux::sys::procfs::FileStat;
use std::path::PathBuf;

/// The devices and mounts of a drive.
#[derive(Debug, Default)]
pub(crate) struct DeviceFilter {
    /// Block devices, as a file on them and as a node of theirs tell the number.
    nodes: Vec<(u64, DeviceIndex)>,
    /// Devices as the kernel numbers the mounted file systems.
    fs_devices: Vec<(u64, DeviceIndex)>,
    /// Mounts, sorted.
    mounts: Vec<(u64, DeviceIndex)>,
    /// Devices of what is mounted on those.
    nested_devices: Vec<u64>,
    /// Mounts that must not be looked into, sorted.
    slow: Vec<u64>,
    /// Sockets that are bound on those devices.
    sockets: Sockets,
}

impl DeviceFilter {
    /// These devices, and what the mount tables say of them.
    pub(crate) fn new(nodes: Vec<(u64, DeviceIndex)>, survey: &MountScan) -> DeviceFilter {
        let mut wanted = DeviceFilter { nodes, ..DeviceFilter::default() };
        for hit in &survey.hits {
            wanted.fs_devices.push((hit.device, hit.on));
            wanted.mounts.push((hit.id, hit.on));
        }
        // Who uses what lies on the drive's mounts keeps those busy, too.
        wanted.mounts.extend(survey.on_top.iter().map(|top| (top.id, top.on)));
        wanted.mounts.extend(survey.overlays.iter().map(|overlay| (overlay.id, overlay.on)));
        wanted.nested_devices.extend(survey.on_top.iter().map(|top| top.device));
        wanted.nested_devices.extend(survey.overlays.iter().map(|overlay| overlay.device));
        wanted.nested_devices.sort_unstable();
        wanted.nested_devices.dedup();
        wanted.fs_devices.sort_unstable();
        wanted.fs_devices.dedup();
        wanted.mounts.sort_unstable();
        wanted.mounts.dedup();
        wanted.slow = survey.slow_mounts.clone();
        wanted.slow.sort_unstable();
        wanted
    }

    /// Looks for these sockets too.
    pub(crate) fn with(self, sockets: Sockets) -> DeviceFilter {
        DeviceFilter { sockets, ..self }
    }

    /// Which of the devices this socket is bound on, and the name it was bound to.
    pub(crate) fn socket(&self, seen: &FileStat) -> Option<(DeviceIndex, PathBuf)> {
        self.sockets.find(seen).map(|(on, name)| (on, name.clone()))
    }

    /// The devices of every file system that a wanted file can be on; others' may be among them.
    pub(crate) fn all_fs_devices(&self) -> impl Iterator<Item = u64> {
        self.nodes
            .iter()
            .chain(&self.fs_devices)
            .map(|(device, _)| *device)
            .chain(self.nested_devices.iter().copied())
            .chain(self.sockets.device())
    }

    /// The block devices themselves.
    pub(crate) fn all_nodes(&self) -> impl Iterator<Item = u64> {
        self.nodes.iter().map(|(device, _)| *device)
    }

    /// Is there any mount whose files may not be looked at.
    pub(crate) fn has_remote(&self) -> bool {
        !self.slow.is_empty()
    }

    /// May a look at a file on this mount wait for another machine.
    pub(crate) fn is_remote(&self, mount: u64) -> bool {
        self.slow.binary_search(&mount).is_ok()
    }

    /// Which of the devices this file lies on.
    ///
    /// By device, so that files on a mount that is detached already are found too. A file system that
    /// makes its own device numbers (btrfs has one for each subvolume) is known by the mount.
    pub(crate) fn file(&self, seen: &FileStat) -> Option<DeviceIndex> {
        let by_device = self.fs_device(seen.device);
        by_device.or_else(|| {
            let at = self.mounts.binary_search_by_key(&seen.mount?, |(id, _)| *id).ok()?;
            Some(self.mounts[at].1)
        })
    }

    /// Is this the device of something that is mounted on the drive's mounts. It may be mounted elsewhere,
    /// too.
    pub(crate) fn is_nested(&self, device: u64) -> bool {
        self.nested_devices.binary_search(&device).is_ok()
    }

    /// Which of the devices is mounted with this number.
    pub(crate) fn fs_device(&self, device: u64) -> Option<DeviceIndex> {
        let mut all = self.nodes.iter().chain(&self.fs_devices);
        all.find(|(wanted, _)| *wanted == device).map(|(_, on)| *on)
    }

    /// Which of the devices this block device node is.
    pub(crate) fn node(&self, seen: &FileStat) -> Option<DeviceIndex> {
        let node = seen.node?;
        self.nodes.iter().find(|(wanted, _)| *wanted == node).map(|(_, on)| *on)
    }
}
