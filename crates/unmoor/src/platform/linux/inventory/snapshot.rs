//! Mounts, swap and loop devices of this machine, and the device behind a file.

use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::linux::helper::Helper;
use crate::platform::linux::inventory::btrfs::{self, Member};
use crate::platform::linux::inventory::loop_devices::{LoopDevice, loop_devices};
use crate::platform::linux::inventory::port::{Port, all_disks};
use crate::platform::linux::inventory::servers::{self, Server};
use crate::platform::linux::inventory::superblock::StartProbe;
use crate::platform::linux::inventory::system_root::SystemRoot;
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::overlay_options::has_layers;
use crate::platform::linux::sys::sysfs::BlockDevice;
use crate::platform::linux::sys::{mountinfo, swaps};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Timeout for the `stat` of one path.
const STAT_TIMEOUT: Duration = Duration::from_secs(1);

/// State of the machine that every drive is described from, read once.
pub struct Snapshot {
    /// Every mount of our namespace.
    pub mounts: MountTable,
    /// The block device behind each of them.
    backing: Vec<u64>,
    /// Swap in use, with the device number of the partition, or of the file system a swap file lies on.
    pub(crate) swaps: Vec<(u64, PathBuf)>,
    /// The devices of each mounted file system that has several.
    pub(crate) btrfs: Vec<Vec<Member>>,
    /// Attached loop devices, with the file system their image lies on.
    pub(crate) loops: Vec<LoopDevice>,
    /// Devices that the running system runs from.
    pub(crate) system_root: SystemRoot,
    /// Programs that serve FUSE file systems, nbd and ublk devices.
    pub(crate) servers: Vec<Server>,
    /// The block device behind the file system of each of those images; 0 when we may not ask.
    images: Vec<u64>,
    /// Ports of the drives of this machine, listed when they are first asked for.
    ports: OnceLock<Vec<(BlockDevice, Port)>>,
}

impl Snapshot {
    /// Reads the state of the machine.
    pub fn read(helper: &Helper) -> Result<Snapshot, Errno> {
        Snapshot::read_all(helper, false)
    }

    /// Reads the state of the machine, and the start of each loop device.
    pub fn read_with_starts(helper: &Helper) -> Result<Snapshot, Errno> {
        Snapshot::read_all(helper, true)
    }

    fn read_all(helper: &Helper, starts: bool) -> Result<Snapshot, Errno> {
        let mounts = MountTable::read_self()?;
        let backing = mounts.iter().map(|line| backing_device_number(line, helper)).collect();
        let (swaps, images) = (Vec::new(), Vec::new());
        let (loops, btrfs) = (loop_devices(helper, starts), btrfs::mounted_over_several());
        let servers = servers::find_all(&mounts);
        let system_root = SystemRoot::read(&mounts, helper);
        let ports = OnceLock::new();
        let mut snapshot =
            Snapshot { mounts, backing, swaps, btrfs, loops, system_root, servers, images, ports };
        let swap = |path: PathBuf| {
            let device = device_of(&path, helper)?;
            Some((snapshot.backing_device_of_path(device, &path, helper), path))
        };
        let swaps = swaps::active().into_iter().filter_map(swap).collect();
        let behind = |attached: &LoopDevice| match attached.lies_on {
            0 => 0,
            device => match snapshot.layered_file_system(device, &attached.image, helper) {
                Some(device) => device,
                None => snapshot.backing_device_of_path(device, &attached.image, helper),
            },
        };
        snapshot.images = snapshot.loops.iter().map(behind).collect();
        snapshot.swaps = swaps;
        Ok(snapshot)
    }

    fn mounts_with_backing(&self) -> impl Iterator<Item = (&MountInfo, u64)> {
        self.mounts.iter().zip(self.backing.iter().copied())
    }

    /// Returns the block device behind a device number of `stat(2)`.
    ///
    /// That is the number itself, unless it is anonymous.
    pub fn backing_device(&self, device: u64) -> u64 {
        let anonymous = |(line, _): &(&MountInfo, u64)| device >> 32 == 0 && line.device == device;
        self.mounts_with_backing().find(anonymous).map_or(device, |(_, backing)| backing)
    }

    /// Returns the block device behind a file, by its device number and its mount.
    ///
    /// Each subvolume of a btrfs has an anonymous number of its own, which mountinfo does not have. The mount
    /// that the file is on leads to the device, or to the mount's own number if its device is gone.
    pub fn backing_device_of_file(&self, device: u64, mount: u64) -> u64 {
        let on = |(line, _): &(&MountInfo, u64)| device >> 32 == 0 && line.id == mount;
        self.mounts_with_backing()
            .find(on)
            .map_or_else(|| self.backing_device(device), |(_, backing)| backing)
    }

    /// Returns the block device behind a file, by its path.
    ///
    /// A subvolume that is not mounted by itself has a number that no mount has. The mount that the path leads
    /// over is taken then.
    fn backing_device_of_path(&self, device: u64, path: &Path, helper: &Helper) -> u64 {
        let found = self.backing_device(device);
        if found >> 32 != 0 {
            return found;
        }
        let over = self.mounts.mount_of(path).filter(|line| mountinfo::source_is_device(line));
        match over {
            // The path is only a name, and may lead elsewhere by now; in a directory of that subvolume
            // it does not. A deleted file has such a directory too.
            Some(line) if path.parent().and_then(|dir| device_of(dir, helper)) == Some(device) => {
                self.backing_device_of_file(0, line.id)
            }
            _ => found,
        }
    }

    /// Returns the device number of the overlay that a file was opened through.
    ///
    /// Such a file may have the number of its layer's file system (overlayfs.rst, "Inode properties").
    fn layered_file_system(&self, device: u64, path: &Path, helper: &Helper) -> Option<u64> {
        let over = self.mounts.mount_of(path).filter(|line| has_layers(&line.file_system))?;
        (device_of(path, helper) == Some(device)).then_some(over.device)
    }

    /// Returns the mounts of this device.
    pub(crate) fn mounts_of(&self, device: u64) -> Vec<Mount> {
        let here = self.mounts_with_backing().filter(|(_, backing)| *backing == device);
        here.map(|(line, _)| self.mounts.to_mount(line)).collect()
    }

    /// Returns the block device, or else the file system, behind the mount with this ID.
    pub(crate) fn behind_mount(&self, id: u64) -> Option<u64> {
        self.mounts_with_backing().find(|(line, _)| line.id == id).map(|(_, backing)| backing)
    }

    /// Returns the members of the file system over several devices that this one belongs to.
    pub(crate) fn members_with(&self, device: u64) -> &[Member] {
        let has = |members: &&Vec<Member>| members.iter().any(|m| m.device == device);
        self.btrfs.iter().find(has).map_or(&[], Vec::as_slice)
    }

    /// Returns the loop devices over a file on this device.
    pub(crate) fn loops_on(&self, device: u64) -> impl Iterator<Item = &LoopDevice> {
        let on = move |behind: u64| behind != 0 && behind == device;
        self.loops.iter().zip(&self.images).filter(move |(_, b)| on(**b)).map(|(a, _)| a)
    }

    /// Returns the drives at this port.
    pub(crate) fn disks_at<'s>(&'s self, port: &Port) -> impl Iterator<Item = &'s BlockDevice> {
        let all = self.ports.get_or_init(all_disks).iter();
        all.filter(move |(_, other)| other == port).map(|(place, _)| place)
    }

    /// Returns the attached loop device with this name.
    pub(crate) fn loop_named(&self, name: &str) -> Option<&LoopDevice> {
        let at = self.loops.binary_search_by(|attached| (*attached.name).cmp(name));
        self.loops.get(at.ok()?)
    }

    /// Returns what was seen at the starts of loop devices, by name.
    pub(crate) fn probes(&self) -> HashMap<&str, &StartProbe> {
        let loops = self.loops.iter();
        loops.filter_map(|one| Some((&*one.name, one.probe.as_ref()?))).collect()
    }

    /// Returns the loop device over this file.
    pub fn loop_for_file(&self, device: u64, inode: u64) -> Option<&LoopDevice> {
        self.loops.iter().find(|a| (a.lies_on, a.inode) == (device, inode) && inode != 0)
    }
}

/// Returns the device that a mount with an anonymous number (btrfs) comes from.
fn backing_device_number(line: &MountInfo, helper: &Helper) -> u64 {
    if line.device >> 32 != 0 || !mountinfo::source_is_device(line) {
        return line.device;
    }
    device_of(Path::new(&line.source), helper).unwrap_or(line.device)
}

/// Returns the device number of a path: a device node's own, or that of its file system.
pub(crate) fn device_of(path: &Path, helper: &Helper) -> Option<u64> {
    let facts = helper.within(STAT_TIMEOUT, |deadline| helper.stat(path, deadline)).ok()?.ok()?;
    Some(match facts.kind {
        FileType::BlockDevice => facts.node,
        _ => facts.device,
    })
}

/// Returns the volume of a file system without a device: FUSE, an overlay.
pub fn volume_of_mount(
    line: &MountInfo,
    kind: VolumeKind,
    parents: Vec<String>,
    mounts: Vec<Mount>,
) -> Volume {
    let name = format!("{}:{}", kind.name(), line.path.display());
    Volume {
        device: line.device,
        parents,
        file_system: Some(line.file_system.clone()),
        read_only: mounts.iter().all(|mount| mount.read_only),
        mounts,
        ..Volume::new(name, &line.path, kind)
    }
}
