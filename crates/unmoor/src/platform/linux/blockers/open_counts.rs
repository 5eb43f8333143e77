//! Proof from the kernel's own counts that nothing but its mounts and this program uses a drive.
//!
//! The kernel counts the mounts of each file system, detached ones and those of other namespaces among them
//! (`super_block.s_active`), and the opens of each drive and its partitions, mapped ones and its own among them
//! (`block_device.bd_openers`). Where both are what the mounts here explain, and these are idle, no process has to be
//! looked at. A drive with character devices, with levels above its partitions, or without a mount is not proven so.

use crate::deadline::Deadline;
use crate::model::drive::Drive;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::blockers::kernel_users;
use crate::platform::linux::blockers::processes::bpf_scan::{Devices, UseCount, use_counts};
use crate::platform::linux::blockers::scan::coalesce::Coalescer;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::super_blocks::COUNTED;
use crate::platform::linux::sys::device_number::is_character_device;

/// Returns true if nothing but its mounts, which are not looked at, and this many handles of ours uses the drive.
///
/// Drives that are released at the same time share one read of the counts.
pub(crate) fn is_proven_idle(drive: &Drive, own_handles: u32, deadline: &mut Deadline<'_>) -> bool {
    // Without a mount, nothing has counts.
    let may_tell = drive.is_mounted() && drive.selection.is_none();
    if !may_tell || !drive.volumes.iter().all(is_counted) {
        return false;
    }
    let nodes = kernel_users::nodes_of(std::slice::from_ref(drive));
    let nodes: Vec<u64> = nodes.into_iter().map(|(device, _)| device).collect();
    if nodes.iter().any(|node| is_character_device(*node)) {
        return false;
    }
    let counts = READS.request(nodes.clone(), deadline, read_for_all).unwrap_or_default();
    let of_drive = |count: &UseCount| nodes.contains(&count.device);
    let counts: Vec<UseCount> = counts.into_iter().filter(of_drive).collect();
    explains(drive, own_handles, &counts)
}

static READS: Coalescer<Vec<u64>, Vec<UseCount>> = Coalescer::new();

fn read_for_all(requests: &[Vec<u64>], deadline: &mut Deadline<'_>) -> Vec<Vec<UseCount>> {
    let deadline = ScanDeadline::of(deadline.remaining());
    let counts = Devices::of_blocks(&requests.concat())
        .and_then(|devices| use_counts(&devices, &deadline).ok().flatten());
    vec![counts.unwrap_or_default(); requests.len()]
}

/// Returns true if the counts of this volume are known to be exact.
fn is_counted(volume: &Volume) -> bool {
    matches!(volume.kind, VolumeKind::Disk | VolumeKind::Partition)
        && volume.swaps.is_empty()
        && volume.other_members.is_empty()
        && volume.mounts.iter().all(|mount| COUNTED.contains(&&*mount.file_system))
}

/// Returns true if the mounts of the drive and our handles are all that the kernel has counted.
fn explains(drive: &Drive, own_handles: u32, counts: &[UseCount]) -> bool {
    let mounted = drive.volumes.iter().filter(|volume| !volume.mounts.is_empty());
    // Each file system opens its device once, and a partition the whole drive with it.
    let opens = mounted.clone().count() as u32 + own_handles;
    let is_explained = |count: &UseCount| {
        let volume = drive.volumes.iter().find(|volume| volume.device == count.device);
        let mounts = volume.map_or(0, |volume| volume.mounts.len());
        count.mounts as usize == mounts && count.opens == opens && !count.frozen
    };
    let is_seen = |volume: &Volume| counts.iter().any(|count| count.device == volume.device);
    mounted.clone().all(is_seen) && counts.iter().all(is_explained)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::blockers::test_support::{Holder, drive, image, ok};
    use crate::platform::linux::helper::Helper;
    use std::fs::File;
    use std::process::Command;
    use std::time::Duration;

    fn proven(drive: &Drive, own_handles: u32) -> bool {
        let helper = Helper::new();
        let prove = |deadline: &mut Deadline<'_>| is_proven_idle(drive, own_handles, deadline);
        helper.within(Duration::from_secs(60), prove)
    }

    /// Files that are open through the mount make it busy, and that is asked elsewhere.
    #[test]
    #[ignore = "needs root, loop devices, overlayfs, Python and a kernel with the functions of Linux 6.7"]
    fn whatever_is_not_explained_by_the_mounts_is_no_proof() {
        let stick = image();
        let here = drive(&stick);
        assert!(proven(&here, 0));
        assert!(!proven(&here, 1), "a handle of ours is missing");
        let own = File::open(&here.path).unwrap();
        assert!(proven(&here, 1) && !proven(&here, 0));
        drop(own);
        let merged = stick.beside("merged");
        for name in ["l1", "l2"] {
            std::fs::create_dir(stick.mount.join(name)).unwrap();
        }
        let map = format!(
            "libc.mmap.restype = ctypes.c_void_p\nfd = os.open({:?}, os.O_RDWR)\n\
             assert libc.mmap(None, ctypes.c_size_t(4096), 3, 1, fd, ctypes.c_long(0)) != 2**64 - 1\n\
             os.close(fd)\nready()",
            stick.device
        );
        for user in ["writer", "reader", "namespace", "mapping"] {
            let holder = match user {
                "writer" => Holder::shell("exec 7<>$1", &stick.device),
                "reader" => Holder::shell("exec 7<$1", &stick.device),
                "namespace" => Holder::in_a_namespace("private", "", &stick.mount),
                _ => Holder::python(&map, &stick.beside("elsewhere")),
            };
            assert!(!proven(&here, 0), "{user}");
            drop(holder);
            assert!(proven(&here, 0), "{user}: after its end");
        }
        let mut overlay = Command::new("mount");
        overlay.args(["-t", "overlay", "unmoor", "-o", "lowerdir=l1:l2"]).arg(&merged);
        assert!(ok(overlay.current_dir(&stick.mount)));
        assert!(!proven(&here, 0), "overlay");
        assert!(ok(Command::new("umount").arg(&merged)) && proven(&here, 0));
        let bound = stick.beside("bound");
        assert!(ok(Command::new("mount").arg("--bind").arg(&stick.mount).arg(&bound)));
        assert!(!proven(&here, 0), "a mount that was not in the table");
        assert!(proven(&drive(&stick), 0), "the same, read again");
        assert!(ok(Command::new("umount").arg(&bound)));
        for (verb, expected) in [("--freeze", false), ("--unfreeze", true)] {
            assert!(ok(Command::new("fsfreeze").arg(verb).arg(&stick.mount)));
            assert_eq!(proven(&here, 0), expected, "{verb}");
        }
        assert!(ok(Command::new("umount").arg(&stick.mount)));
        assert!(!proven(&here, 0), "the mount is gone");
        assert!(!proven(&drive(&stick), 0), "nothing is mounted, and nothing has counts");
    }
}
