//! What is mounted, swapped to and attached on this machine, and which device stands behind a file.

use crate::model::volume::Mount;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::inventory::btrfs::{self, Member};
use crate::platform::linux::inventory::loop_devices::{LoopDevice, loop_devices};
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::{mountinfo, swaps};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Timeout for the `stat` of one path.
const STAT_TIMEOUT: Duration = Duration::from_secs(1);

/// The state of the machine that every drive is described from, read once.
pub struct Snapshot {
    /// Every mount of our namespace.
    pub mounts: Vec<MountInfo>,
    /// The block device behind each of them.
    backing: Vec<u64>,
    /// Swap in use, with the device number of the partition, or of the file system a swap file lies on.
    pub(crate) swaps: Vec<(u64, PathBuf)>,
    /// The devices of each mounted file system that has several.
    pub(crate) btrfs: Vec<Vec<Member>>,
    /// Attached loop devices, with the file system their image lies on.
    pub(crate) loops: Vec<LoopDevice>,
    /// The block device behind the file system of each of those images; 0 when we may not ask.
    images: Vec<u64>,
}

impl Snapshot {
    /// Reads it.
    pub fn read(helper: &Helper) -> Result<Snapshot, Errno> {
        let mounts = mountinfo::read_self()?;
        let backing = mounts.iter().map(|line| backing_device_number(line, helper)).collect();
        let (swaps, images) = (Vec::new(), Vec::new());
        let (loops, btrfs) = (loop_devices(helper), btrfs::mounted_over_several());
        let mut machine = Snapshot { mounts, backing, swaps, btrfs, loops, images };
        let swap = |path: PathBuf| {
            let device = device_of(&path, helper)?;
            Some((machine.backing_device_of_path(device, &path, helper), path))
        };
        let swaps = swaps::active().into_iter().filter_map(swap).collect();
        let behind = |attached: &LoopDevice| match attached.lies_on {
            0 => 0,
            device => machine.backing_device_of_path(device, &attached.image, helper),
        };
        machine.images = machine.loops.iter().map(behind).collect();
        machine.swaps = swaps;
        Ok(machine)
    }

    fn mounts_with_backing(&self) -> impl Iterator<Item = (&MountInfo, u64)> {
        self.mounts.iter().zip(self.backing.iter().copied())
    }

    /// The block device behind a device number that `stat(2)` gave: the same, but for anonymous ones.
    pub fn backing_device(&self, device: u64) -> u64 {
        let anonymous = |(line, _): &(&MountInfo, u64)| device >> 32 == 0 && line.device == device;
        self.mounts_with_backing().find(anonymous).map_or(device, |(_, backing)| backing)
    }

    /// The block device behind a file: each subvolume of a btrfs has an anonymous number of its own,
    /// which mountinfo does not know, so the mount the file is on is asked.
    pub fn backing_device_of_file(&self, device: u64, mount: u64) -> u64 {
        let on = |(line, _): &(&MountInfo, u64)| device >> 32 == 0 && line.id == mount;
        self.mounts_with_backing()
            .find(on)
            .map(|(_, backing)| backing)
            .filter(|found| found >> 32 != 0)
            .unwrap_or_else(|| self.backing_device(device))
    }

    /// The block device behind a file, by its path: a subvolume that is not mounted by itself has a
    /// number that no mount has, and the mount that the path leads over is taken then.
    fn backing_device_of_path(&self, device: u64, path: &Path, helper: &Helper) -> u64 {
        let found = self.backing_device(device);
        if found >> 32 != 0 {
            return found;
        }
        let over = mountinfo::mount_of(&self.mounts, path)
            .filter(|line| mountinfo::source_is_device(line));
        match over {
            // The path is only a name, and may lead elsewhere by now; in a directory of that subvolume
            // it does not. A deleted file has such a directory too.
            Some(line) if path.parent().and_then(|dir| device_of(dir, helper)) == Some(device) => {
                self.backing_device_of_file(0, line.id)
            }
            _ => found,
        }
    }

    /// The mounts of this device.
    pub(crate) fn mounts_of(&self, device: u64) -> Vec<Mount> {
        let here = self.mounts_with_backing().filter(|(_, backing)| *backing == device);
        here.map(|(line, _)| line.to_mount(&self.mounts)).collect()
    }

    /// The members of the file system over several devices that this one belongs to.
    pub(crate) fn members_with(&self, device: u64) -> &[Member] {
        let has = |members: &&Vec<Member>| members.iter().any(|m| m.device == device);
        self.btrfs.iter().find(has).map_or(&[], Vec::as_slice)
    }

    /// Loop devices over a file on this device.
    pub(crate) fn loops_on(&self, device: u64) -> impl Iterator<Item = &LoopDevice> {
        let on = move |behind: u64| behind != 0 && behind == device;
        self.loops.iter().zip(&self.images).filter(move |(_, b)| on(**b)).map(|(a, _)| a)
    }

    /// The loop device over this file.
    pub fn loop_for_file(&self, device: u64, inode: u64) -> Option<&LoopDevice> {
        self.loops.iter().find(|a| (a.lies_on, a.inode) == (device, inode) && inode != 0)
    }
}

/// The device that a mount with an anonymous number (btrfs) comes from.
fn backing_device_number(line: &MountInfo, helper: &Helper) -> u64 {
    if line.device >> 32 != 0 || !mountinfo::source_is_device(line) {
        return line.device;
    }
    device_of(Path::new(&line.source), helper).unwrap_or(line.device)
}

/// The device number a path stands for: a device node's own, or that of the file system it lies on.
fn device_of(path: &Path, helper: &Helper) -> Option<u64> {
    let facts = helper.within(STAT_TIMEOUT, |deadline| helper.stat(path, deadline)).ok()?.ok()?;
    Some(match facts.kind {
        FileType::BlockDevice => facts.node,
        _ => facts.device,
    })
}
