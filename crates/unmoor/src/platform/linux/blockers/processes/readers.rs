//! Processes that have the device open and are no blockers: readers, and servers of a mounted file system.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, UsageKind};
use crate::model::drive::Drive;
use crate::model::volume::VolumeKind;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::sys::fuse::is_fuse;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::time::Duration;

/// Timeout for the claim of the drive.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// Removes the readers from the blockers and returns them.
pub(crate) fn split_readers(drive: &Drive, blockers: &mut Vec<Blocker>) -> Vec<Blocker> {
    let all = std::mem::take(blockers).into_iter();
    let (mut readers, remaining): (Vec<Blocker>, _) = all.partition(|b| is_reader(drive, b));
    *blockers = remaining;
    // A reader may have opened the device with O_EXCL. Only an O_EXCL open of ours shows that.
    if !readers.is_empty() && is_claimed(drive) {
        blockers.append(&mut readers);
    }
    readers
}

/// Returns true if this process only reads the device, or serves a file system on it.
fn is_reader(drive: &Drive, blocker: &Blocker) -> bool {
    blocker.kind == BlockerKind::Process
        && blocker.uses.iter().all(|usage| {
            usage.kind == UsageKind::Device
                && match drive.volume(&usage.volume) {
                    // A mapping, array or loop device that is open cannot be removed, even if open for reading.
                    Some(volume) => {
                        let plain = matches!(volume.kind, VolumeKind::Disk | VolumeKind::Partition);
                        // A FUSE server exits when its file system is unmounted.
                        let served = volume.mounts.iter().any(|m| is_fuse(&m.file_system));
                        plain && (!usage.writing || served)
                    }
                    None => !usage.writing,
                }
        })
}

/// Returns true if an unknown user has the drive open with O_EXCL.
///
/// Mounts, swap and stacked devices of the drive itself are known users.
pub(crate) fn is_claimed(drive: &Drive) -> bool {
    let plain = |kind| matches!(kind, VolumeKind::Disk | VolumeKind::Partition);
    let own = drive.volumes.iter().any(|v| {
        !plain(v.kind) || !v.mounts.is_empty() || !v.swaps.is_empty() || !v.other_members.is_empty()
    });
    let (helper, flags) = (Helper::new(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::EXCL);
    let open = |deadline: &mut Deadline<'_>| helper.open(&drive.path, flags, deadline);
    !own && matches!(helper.within(CLAIM_TIMEOUT, open), Ok(Err(Errno::BUSY)))
}
