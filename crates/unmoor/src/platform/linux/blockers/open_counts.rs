//! Proof from the kernel's own counts that nothing but its mounts and this program uses a drive.
//!
//! The kernel counts the mounts of each file system, detached ones and those of other namespaces among them
//! (`super_block.s_active`), and the opens of each drive and its partitions, mapped ones and its own among them
//! (`block_device.bd_openers`). Where both are what the mounts here explain, and these are idle, no process has to be
//! looked at. Character devices (`/dev/sg1`) have no counts: a program in the kernel goes through the open files for
//! them. A drive with levels above its partitions, or without a mount, is not proven so.

use crate::deadline::Deadline;
use crate::model::drive::Drive;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::coalesce::Coalescer;
use crate::platform::linux::blockers::kernel_users;
use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::blockers::processes::bpf_scan::{Devices, Kind, Record, open_nodes};
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::blockers::super_blocks::{COUNTED, FileSystems};
use crate::platform::linux::sys::device_number::{is_character_device, without_type};

/// Returns true if nothing but its mounts, which are not looked at, and this many handles of ours uses the drive.
///
/// Drives that are released at the same time share one search for open character devices.
pub(crate) fn is_proven_idle(
    drive: &Drive,
    systems: &FileSystems<'_>,
    own_handles: u32,
    deadline: &mut Deadline<'_>,
) -> bool {
    // Without a mount, nothing has counts.
    let may_tell = drive.is_mounted() && drive.selection.is_none();
    if !may_tell || !drive.volumes.iter().all(is_counted) || !systems.explain_all_uses(own_handles)
    {
        return false;
    }
    let mut nodes = kernel_users::nodes_of(std::slice::from_ref(drive));
    nodes.retain(|(node, _)| is_character_device(*node));
    if nodes.is_empty() {
        return true;
    }
    let open = SEARCHES.request(nodes.clone(), deadline, search_for_all).flatten();
    let is_user = |record: &Record| {
        let is_ours = |(node, _): &Node| without_type(*node) == Some(record.device());
        // Any other kind is a file that may hold others, such as an io_uring instance.
        record.kind != Kind::Node || nodes.iter().any(is_ours)
    };
    open.is_some_and(|records| !records.iter().any(is_user))
}

/// Character device, with the index of its drive.
type Node = (u64, DeviceIndex);

static SEARCHES: Coalescer<Vec<Node>, Option<Vec<Record>>> = Coalescer::new();

fn search_for_all(requests: &[Vec<Node>], deadline: &mut Deadline<'_>) -> Vec<Option<Vec<Record>>> {
    let filter = DeviceFilter::new(&requests.concat(), &MountScan::default());
    let deadline = ScanDeadline::of(deadline.remaining());
    let found = Devices::of(&filter).and_then(|devices| open_nodes(&devices, &deadline).ok());
    vec![found; requests.len()]
}

/// Returns true if the counts of this volume are known to be exact.
fn is_counted(volume: &Volume) -> bool {
    matches!(volume.kind, VolumeKind::Disk | VolumeKind::Partition)
        && volume.swaps.is_empty()
        && volume.other_members.is_empty()
        && volume.mounts.iter().all(|mount| COUNTED.contains(&&*mount.file_system))
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
        let prove = |deadline: &mut Deadline<'_>| {
            let systems = FileSystems::read(drive, &helper, deadline).unwrap();
            is_proven_idle(drive, &systems, own_handles, deadline)
        };
        helper.within(Duration::from_secs(60), prove)
    }

    /// Files that are open through the mount make it busy, and that is asked elsewhere.
    #[test]
    #[ignore = "needs root, loop devices, overlayfs, Python and a kernel with BTF"]
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
