//! Devices and mounts that the process scan looks for.
//!
//! Asked once for each descriptor, so every test is a search in a short sorted list.

use crate::platform::linux::blockers::mounts::remote_fs::may_block;
use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::blockers::processes::sockets::Sockets;
use crate::platform::linux::sys::device_number::{from_dev, is_character_device};
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::procfs::{FileStat, stat_at};
use crate::platform::linux::sys::sock_diag::BoundSocket;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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
    /// Those of them that are mounted nowhere else.
    nested_only: Vec<(u64, DeviceIndex)>,
    /// Mounts on which stat(2) may block, sorted.
    remote_mounts: Vec<u64>,
    /// Sockets bound on those devices.
    sockets: Sockets,
    /// Mount table of this process.
    own_table: MountTable,
    /// Device number of files without a file system, such as io_uring instances.
    anonymous_device: Option<u64>,
}

impl DeviceFilter {
    /// Combines these devices with the mounts that were found of them.
    pub(crate) fn new(nodes: &[(u64, DeviceIndex)], scan: &MountScan) -> DeviceFilter {
        let mut filter = DeviceFilter { nodes: nodes.to_vec(), ..DeviceFilter::default() };
        filter.anonymous_device = anonymous_device();
        for mount in &scan.drive_mounts {
            filter.fs_devices.push((mount.device, mount.index));
            filter.mounts.push((mount.id, mount.index));
        }
        // A user of a nested mount keeps the drive's mount below it busy too.
        filter.mounts.extend(scan.nested_mounts.iter().map(|nested| (nested.id, nested.index)));
        filter.mounts.extend(scan.overlays.iter().map(|overlay| (overlay.id, overlay.index)));
        filter.nested_devices.extend(scan.nested_mounts.iter().map(|nested| nested.device));
        let only =
            scan.nested_mounts.iter().filter(|nested| !scan.outside.contains(&nested.device));
        filter.nested_only.extend(only.map(|nested| (nested.device, nested.index)));
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
    pub(crate) fn with_sockets(self, sockets: Sockets) -> DeviceFilter {
        DeviceFilter { sockets, ..self }
    }

    /// Adds the mount table of this process.
    pub(crate) fn with_own_table(self, own_table: MountTable) -> DeviceFilter {
        DeviceFilter { own_table, ..self }
    }

    /// Returns the mount table of this process.
    pub(crate) fn own_table(&self) -> &MountTable {
        &self.own_table
    }

    /// Returns the device that this socket is bound on, and the name that was given to bind(2).
    pub(crate) fn socket(&self, stat: &FileStat) -> Option<(DeviceIndex, PathBuf)> {
        self.sockets.find(stat).map(|(index, name)| (index, name.clone()))
    }

    /// Returns the device that the file of this socket lies on.
    ///
    /// A file system that is mounted inside the drive's mount alone has all its sockets there. Of one that is mounted
    /// elsewhere too, only an absolute name tells.
    pub(crate) fn socket_file(&self, socket: &BoundSocket) -> Option<DeviceIndex> {
        let by_name = || {
            let name = Path::new(OsStr::from_bytes(&socket.name));
            self.is_nested(socket.device).then(|| self.path_by_mount(name))?
        };
        let only = self.nested_only.iter().find(|(device, _)| *device == socket.device);
        self.fs_device(socket.device).or_else(|| only.map(|(_, index)| *index)).or_else(by_name)
    }

    /// Returns the devices of all file systems that a file of the drive can be on, anonymous files aside.
    ///
    /// Other files can be on them too.
    pub(crate) fn all_fs_devices(&self) -> impl Iterator<Item = u64> {
        // No file system is on a character device.
        let nodes = self.nodes.iter().filter(|(device, _)| !is_character_device(*device));
        nodes
            .chain(&self.fs_devices)
            .map(|(device, _)| *device)
            .chain(self.nested_devices.iter().copied())
            .chain(self.sockets.device())
    }

    /// Returns the device number of files without a file system, such as io_uring instances.
    pub(crate) fn anonymous_device(&self) -> Option<u64> {
        self.anonymous_device
    }

    /// Returns the numbers of the block devices and character devices.
    pub(crate) fn all_nodes(&self) -> impl Iterator<Item = u64> {
        self.nodes.iter().map(|(device, _)| *device)
    }

    /// Returns true if this file may be an io_uring instance, which has no file system.
    pub(crate) fn is_anonymous(&self, stat: &FileStat) -> bool {
        self.anonymous_device == Some(stat.device)
    }

    /// Returns the device with this number.
    pub(crate) fn device(&self, device: u64) -> Option<DeviceIndex> {
        self.nodes.iter().find(|(number, _)| *number == device).map(|(_, index)| *index)
    }

    /// Returns the device that a path of this mount namespace leads to: its node, or a file on it.
    ///
    /// A path whose lookup may block is compared with the mount points.
    pub(crate) fn path(&self, path: &Path) -> Option<DeviceIndex> {
        if !may_block(&self.own_table, path) {
            let stat = CString::new(path.as_os_str().as_bytes()).ok().map(|path| stat_at(&path));
            if let Some(Ok(stat)) = stat {
                return self.node(&stat).or_else(|| self.file(&stat));
            }
        }
        self.mount(self.mount_of(path)?)
    }

    /// Returns the device that a path lies on, by its mount point.
    pub(crate) fn path_by_mount(&self, path: &Path) -> Option<DeviceIndex> {
        path.is_absolute().then(|| self.mount(self.mount_of(path)?))?
    }

    /// Returns the mount that a path of this mount namespace lies on.
    pub(crate) fn mount_of(&self, path: &Path) -> Option<u64> {
        Some(self.own_table.mount_of(path)?.id)
    }

    /// Returns the device below the mount with this ID.
    pub(crate) fn mount(&self, id: u64) -> Option<DeviceIndex> {
        let position = self.mounts.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.mounts[position].1)
    }

    /// Returns true if the mount of a file decides whether the file is on the drive.
    pub(crate) fn needs_mount(&self, stat: &FileStat) -> bool {
        stat.mount.is_none() && stat.device >> 32 == 0 && !self.mounts.is_empty()
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
        by_device.or_else(|| self.mount(stat.mount?))
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

    /// Returns the device that this node stands for.
    pub(crate) fn node(&self, stat: &FileStat) -> Option<DeviceIndex> {
        self.device(stat.node?)
    }
}

/// Returns the device number of the kernel's anonymous files.
fn anonymous_device() -> Option<u64> {
    let file = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).ok()?;
    Some(from_dev(rustix::fs::fstat(&file).ok()?.st_dev))
}
