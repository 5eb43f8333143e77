//! Force: cuts a file system that is in use off from its drive, so that no open file can write to it.
//!
//! docs/force.md has the method for each file system, with its proof.

use crate::deadline::Deadline;
use crate::model::drive::{Drive, DriveId};
use crate::model::error::Result;
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::linux::helper::Device;
use crate::platform::linux::helper::request::{DeviceCall, Request};
use crate::platform::linux::helper::{CallResult, Helper};
use crate::platform::linux::release::{teardown, umount};
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use crate::platform::linux::sys::{errno, fuse};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::path::PathBuf;

/// Flushes the file system, cuts it off, and detaches the mount from the tree.
///
/// With `known`, a write error has been reported already, and the flush is skipped.
pub fn force_unmount(
    drive: &Drive,
    volume: &Volume,
    mount: &Mount,
    known: bool,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let shown = mount.path.display().to_string();
    let mut done = StepOutcome::default();
    {
        let root = umount::open(mount, helper, deadline)?;
        if !known {
            // Programs have gone on writing since the flush.
            match helper.device_call(root.as_fd(), DeviceCall::SyncFs, deadline)? {
                Ok(_) => done.attempts.push(Attempt::accepted("syncfs").with_detail(&*shown)),
                Err(e) => return Err(errno::unwritten(e, shown, "syncfs")),
            }
        }
        block_writes(drive, volume, mount, &root, &mut done, helper, deadline)?;
    }
    let detached = umount::detach(mount, helper, deadline);
    done.merge(detached.map_err(|e| e.with_attempts(done.attempts.clone()))?);
    Ok(done)
}

/// Tries one method after the other, and records each.
fn block_writes(
    drive: &Drive,
    volume: &Volume,
    mount: &Mount,
    root: &Device,
    done: &mut StepOutcome,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<()> {
    let shown = mount.path.display().to_string();
    let mut tried = |name: &str, result: Result<(), Errno>| {
        done.attempts.push(match result {
            Ok(()) => Attempt::accepted(name).with_detail(&*shown),
            Err(errno) => Attempt::failed(name, errno.to_string()),
        });
        result.is_ok()
    };
    if fuse::is_fuse(&mount.file_system)
        && tried("fuse abort", fuse::abort(number_of(mount, volume)))
    {
        return Ok(());
    }
    let shut_down = helper.device_call(root.as_fd(), DeviceCall::ShutDown, deadline)?;
    let shut_down = tried("FS_IOC_SHUTDOWN", shut_down.map(drop));
    // A file system over several devices writes to all of them. Also after a shutdown: ext4 writes its superblock
    // once more at the last close.
    let (mut all_cut, mut shrunk) = (true, Vec::new());
    let members = drive
        .volumes
        .iter()
        .filter(|v| v.name == volume.name || volume.other_members.contains(&v.name));
    for member in members {
        // A mapping of its own is cut off when it is torn down; an image goes with the file system that it lies on.
        if teardown::supports_force(member) || member.kind == VolumeKind::Loop {
            continue;
        }
        let Some(partition) = Partition::of(member) else {
            all_cut = false;
            continue;
        };
        match tried("BLKPG_RESIZE_PARTITION", partition.shrink(helper, deadline)?) {
            true => shrunk.push(member.name.clone()),
            false => all_cut = false,
        }
    }
    if !shrunk.is_empty() {
        done.warnings.push(format!(
            "{} is cut off: until it is plugged in again, or its partition table is read again, this \
             machine sees only its first sector",
            shrunk.join(", ")
        ));
    }
    if shut_down || all_cut {
        return Ok(());
    }
    done.still_writable.push(shown.clone());
    done.warnings.push(format!(
        "{shown} cannot be cut off ({}): programs that have files open there could still write to them \
         until {} is gone",
        mount.file_system, drive.name
    ));
    Ok(())
}

/// Returns the device number of the file system; that of `fuseblk` is its device's.
fn number_of(mount: &Mount, volume: &Volume) -> u64 {
    let lines = crate::platform::linux::sys::mountinfo::read_self().unwrap_or_default();
    lines.iter().find(|line| line.id == mount.id).map_or(volume.device, |line| line.device)
}

/// A partition that can be shrunk, so that nothing of its file system is within reach.
///
/// The block layer checks the end of the partition at every request (`bio_check_eod`), and fails what lies behind
/// it with EIO. One sector has to stay: a size of 0 means "not known" there.
struct Partition {
    disk: PathBuf,
    /// Device number and `diskseq` of the disk.
    id: DriveId,
    number: u32,
    start: u64,
    sector: u64,
}

impl Partition {
    fn of(volume: &Volume) -> Option<Partition> {
        if volume.kind != VolumeKind::Partition {
            return None;
        }
        let place = BlockDevice::of(volume.device).ok()?;
        let disk = SysfsDir::open(&*place.disk_path).ok()?;
        let node = disk.child(place.partition?.as_str()).ok()?;
        Some(Partition {
            disk: PathBuf::from(format!("/dev/{}", place.disk.replace('!', "/"))),
            id: DriveId { device: disk.device()?, generation: volume.generation },
            number: u32::try_from(node.number("partition")?).ok()?,
            start: node.number("start")?.checked_mul(512)?,
            sector: disk.number("queue/logical_block_size").unwrap_or(512),
        })
    }

    fn shrink(&self, helper: &Helper, deadline: &mut Deadline<'_>) -> CallResult<()> {
        let disk = match helper.open(&self.disk, OFlags::RDONLY | OFlags::NONBLOCK, deadline)? {
            Ok(disk) => disk,
            Err(errno) => return Ok(Err(errno)),
        };
        let DriveId { device, generation } = self.id;
        let other = disk.diskseq != 0 && generation != 0 && disk.diskseq != generation;
        if disk.number != device || other {
            return Ok(Err(Errno::NODEV));
        }
        let Partition { number, start, sector, .. } = *self;
        let disk = disk.as_fd();
        helper.run(&Request::ResizePartition { disk, number, start, length: sector }, deadline)
    }
}
