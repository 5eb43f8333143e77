//! Who has the device itself open and is not in the way: readers, and the programs that serve a mounted
//! file system.

use crate::model::blocker::{Blocker, BlockerKind, UsageKind};
use crate::model::drive::Drive;
use crate::model::volume::VolumeKind;
use crate::platform::linux::sys::fuse::is_fuse;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Parts the bystanders from what is in the way.
pub(crate) fn split_readers(drive: &Drive, blockers: &mut Vec<Blocker>) -> Vec<Blocker> {
    let all = std::mem::take(blockers).into_iter();
    let (mut bystanders, staying): (Vec<Blocker>, _) = all.partition(|b| is_reader(drive, b));
    *blockers = staying;
    // A reader may have claimed the device with O_EXCL, which nothing shows but a claim of ours.
    if !bystanders.is_empty() && is_claimed(drive) {
        blockers.append(&mut bystanders);
    }
    bystanders
}

/// Does it nothing but look at the device.
fn is_reader(drive: &Drive, blocker: &Blocker) -> bool {
    blocker.kind == BlockerKind::Process
        && blocker.uses.iter().all(|used| {
            used.kind == UsageKind::Device
                && match drive.volume(&used.volume) {
                    // Mappings, arrays and loop devices count who has them open, whatever for.
                    Some(volume) => {
                        let plain = matches!(volume.kind, VolumeKind::Disk | VolumeKind::Partition);
                        // Its driver is a program, and ends when it is unmounted.
                        let served = volume.mounts.iter().any(|m| is_fuse(&m.file_system));
                        plain && (!used.writing || served)
                    }
                    None => !used.writing,
                }
        })
}

/// Is the drive claimed by somebody, and by no file system or level of its own.
fn is_claimed(drive: &Drive) -> bool {
    let plain = |kind| matches!(kind, VolumeKind::Disk | VolumeKind::Partition);
    let own = drive.volumes.iter().any(|v| {
        !plain(v.kind) || !v.mounts.is_empty() || !v.swaps.is_empty() || !v.other_members.is_empty()
    });
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::EXCL;
    !own && matches!(openat(CWD, &*drive.path, flags, Mode::empty()), Err(Errno::BUSY))
}
