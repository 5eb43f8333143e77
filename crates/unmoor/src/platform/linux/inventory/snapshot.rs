//! What is mounted, swapped to and attached on this machine, and which device stands behind a file.

use crate::model::volume::Mount;
use crate::platform::linux::inventory::btrfs::Member;
use crate::platform::linux::inventory::{btrfs, loop_devices};
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::{mountinfo, swaps};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// The state of the machine that every drive is described from, read once.
pub struct Snapshot {
    /// Every mount of our namespace.
    pub mounts: Vec<MountInfo>,
    /// Swap in use, with the device number of the partition, or of the file system a swap file lies on.
    pub(crate) swaps: Vec<(u64, PathBuf)>,
    /// The devices of each mounted file system that has several.
    pub(crate) btrfs: Vec<Vec<Member>>,
    /// Attached loop devices, with the file system their image lies on.
    pub(crate) loops: Vec<loop_devices::LoopDevice>,
    /// The block device behind the file system of each of those images; 0 when we may not ask.
    images: Vec<u64>,
}

impl Snapshot {
    /// Reads it.
    pub fn read() -> Result<Snapshot, Errno> {
        let mounts = mountinfo::read_self()?;
        let (loops, btrfs) = (loop_devices::loop_devices(), btrfs::mounted_over_several());
        let (swaps, images) = (Vec::new(), Vec::new());
        let mut machine = Snapshot { mounts, swaps, loops, btrfs, images };
        machine.swaps = swaps::active()
            .into_iter()
            .filter_map(|path| {
                Some((machine.backing_device_of_path(device_of(&path)?, &path), path))
            })
            .collect();
        let behind = |a: &loop_devices::LoopDevice| match a.lies_on {
            0 => 0,
            device => machine.backing_device_of_path(device, &a.image),
        };
        machine.images = machine.loops.iter().map(behind).collect();
        Ok(machine)
    }

    /// The block device behind a device number that `stat(2)` gave: the same, but for anonymous ones.
    pub fn backing_device(&self, device: u64) -> u64 {
        let anonymous = |line: &&MountInfo| device >> 32 == 0 && line.device == device;
        self.mounts.iter().find(anonymous).map_or(device, |line| self.backing_device_number(line))
    }

    /// The block device behind a file: each subvolume of a btrfs has an anonymous number of its own,
    /// which mountinfo does not know, so the mount the file is on is asked.
    pub fn backing_device_of_file(&self, device: u64, mount: u64) -> u64 {
        let line = self.mounts.iter().find(|line| device >> 32 == 0 && line.id == mount);
        line.map(|line| self.backing_device_number(line))
            .filter(|found| found >> 32 != 0)
            .unwrap_or_else(|| self.backing_device(device))
    }

    /// The block device behind a file, by its path: a subvolume that is not mounted by itself has a
    /// number that no mount has, and the mount that the path leads over is taken then.
    fn backing_device_of_path(&self, device: u64, path: &Path) -> u64 {
        let found = self.backing_device(device);
        let over = mountinfo::mount_of(&self.mounts, path)
            .filter(|line| mountinfo::source_is_device(line));
        match over {
            // The path is only a name, and may lead elsewhere by now; in a directory of that subvolume
            // it does not.
            Some(line) if found >> 32 == 0 && device_in(path) == Some(device) => {
                self.backing_device_number(line)
            }
            _ => found,
        }
    }

    /// The device that a mount with an anonymous number (btrfs) comes from.
    fn backing_device_number(&self, line: &MountInfo) -> u64 {
        if line.device >> 32 != 0 || !mountinfo::source_is_device(line) {
            return line.device;
        }
        device_of(Path::new(&line.source)).unwrap_or(line.device)
    }

    /// The mounts of this device.
    pub(crate) fn mounts_of(&self, device: u64) -> Vec<Mount> {
        let here = |line: &&MountInfo| self.backing_device_number(line) == device;
        self.mounts.iter().filter(here).map(|line| line.to_mount(&self.mounts)).collect()
    }

    /// The members of the file system over several devices that this one belongs to.
    pub(crate) fn members_with(&self, device: u64) -> &[Member] {
        let has = |members: &&Vec<Member>| members.iter().any(|m| m.device == device);
        self.btrfs.iter().find(has).map_or(&[], Vec::as_slice)
    }

    /// Loop devices over a file on this device.
    pub(crate) fn loops_on(&self, device: u64) -> impl Iterator<Item = &loop_devices::LoopDevice> {
        let on = move |behind: u64| behind != 0 && behind == device;
        self.loops.iter().zip(&self.images).filter(move |(_, b)| on(**b)).map(|(a, _)| a)
    }

    /// The loop device over this file.
    pub fn loop_for_file(&self, device: u64, inode: u64) -> Option<&loop_devices::LoopDevice> {
        self.loops.iter().find(|a| (a.lies_on, a.inode) == (device, inode) && inode != 0)
    }
}

/// The device number a path stands for: a device node's own, or that of the file system it lies on.
pub fn device_of(path: &Path) -> Option<u64> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = statx(CWD, path, flags, StatxFlags::TYPE).ok()?;
    let is_device = u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFBLK;
    Some(match is_device {
        true => u64::from(stat.stx_rdev_major) << 32 | u64::from(stat.stx_rdev_minor),
        false => u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
    })
}

/// The device number of the directory that this path is in: a deleted file has one too.
fn device_in(path: &Path) -> Option<u64> {
    device_of(path.parent()?)
}
