//! File systems as the kernel has them: frozen (`FIFREEZE`, fsfreeze(8)), or with mounts that no table shows.
//!
//! A frozen file system can be unmounted, and lives on: the drive stays in use, and the mount is gone. So does one that
//! is a layer of an overlay whose layers have vanished from sight. No system call tells either without waiting or
//! changing something. So a BPF iterator (`bpf_iter/task_file`) reads it in the kernel, from the roots of the mounts,
//! which this program opens for a moment. Where the kernel does not allow that, neither is found; the release takes its
//! dismount back then.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::error::Result;
use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::coalesce::Coalescer;
use crate::platform::linux::blockers::mounts::other_namespaces::{Kept, mounts_in_tables};
use crate::platform::linux::blockers::processes::bpf_scan::{UseCount, use_counts};
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::shell_quote::command_on;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::helper::{Helper, c_path};
use rustix::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

/// File systems that support `FIFREEZE` (`freeze_fs` or `freeze_super` in their `super_operations`).
const FREEZABLE: [&str; 12] = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "gfs2", "jfs", "nilfs2", "reiserfs",
    "xfs", "zonefs",
];

/// File systems of which each mount counts once in the kernel, and nothing else does.
pub(crate) const COUNTED: [&str; 9] =
    ["exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "udf", "vfat", "xfs"];

/// Number of times that the mounts are counted before they count as hidden.
const COUNTS: u32 = 3;

/// Interval between these.
const COUNT_INTERVAL: Duration = Duration::from_millis(40);

/// Reads for drives that are released at the same time: one tells the file systems of all descriptors.
static READS: Coalescer<(), Vec<UseCount>> = Coalescer::new();

fn read_for_all(requests: &[()], deadline: &mut Deadline<'_>) -> Vec<Vec<UseCount>> {
    let counts = use_counts(&ScanDeadline::of(deadline.remaining()));
    vec![counts.unwrap_or_default(); requests.len()]
}

/// Mounted file systems of a drive, with what the kernel knows of each.
pub(crate) struct FileSystems<'d> {
    drive: &'d Drive,
    read: Vec<(&'d Volume, &'d Mount, UseCount)>,
}

impl<'d> FileSystems<'d> {
    /// Reads each file system through an uncovered mount. One that cannot be reached is left out.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted`.
    pub(crate) fn read(
        drive: &'d Drive,
        helper: &Helper,
        deadline: &mut Deadline<'_>,
    ) -> Result<FileSystems<'d>> {
        FileSystems::read_through(drive, false, helper, deadline)
    }

    /// Reads each file system like [`FileSystems::read`], and opens its root as a program would.
    ///
    /// # Errors
    /// `TimedOut` if a root cannot be opened in time: a program that permits opens (fanotify(7)) does not answer;
    /// `Interrupted`.
    pub(crate) fn open_and_read(
        drive: &'d Drive,
        helper: &Helper,
        deadline: &mut Deadline<'_>,
    ) -> Result<FileSystems<'d>> {
        FileSystems::read_through(drive, true, helper, deadline)
    }

    fn read_through(
        drive: &'d Drive,
        reading: bool,
        helper: &Helper,
        deadline: &mut Deadline<'_>,
    ) -> Result<FileSystems<'d>> {
        let mut roots: Vec<(&Volume, &Mount, OwnedFd)> = Vec::new();
        for volume in &drive.volumes {
            let mount = volume.mounts.iter().find(|mount| mount.covered_by.is_empty());
            let tells = |mount: &&Mount| {
                let name = &*mount.file_system;
                FREEZABLE.contains(&name) || COUNTED.contains(&name)
            };
            let Some(mount) = mount.filter(tells) else { continue };
            let Ok(path) = c_path(&mount.path) else { continue };
            let request = Request::OpenMount { path: &path, id: mount.id, reading };
            if let Ok((_, Some(root))) = helper.call_with_progress(&request, deadline, |_| {})? {
                roots.push((volume, mount, root));
            }
        }
        let states = match roots.is_empty() {
            true => Vec::new(),
            false => READS.request((), deadline, read_for_all).unwrap_or_default(),
        };
        let state = |root: &OwnedFd| {
            let descriptor = root.as_raw_fd();
            let mut found = states.iter().filter(|state| state.descriptor == descriptor);
            let first = found.next()?;
            // A thread with a table of its own may have the same number for something else.
            found.all(|other| other == first).then_some(*first)
        };
        let read =
            roots.iter().filter_map(|(volume, mount, root)| Some((*volume, *mount, state(root)?)));
        Ok(FileSystems { drive, read: read.collect() })
    }

    /// Returns true if the mounts here and this many handles of ours are all that the kernel has counted.
    ///
    /// Each file system opens its device once, and a partition the whole drive with it. So a count of the drive tells
    /// the users of partitions without a mount too.
    pub(crate) fn explain_all_uses(&self, own_handles: u32) -> bool {
        let mounted: Vec<&Volume> =
            self.drive.volumes.iter().filter(|volume| !volume.mounts.is_empty()).collect();
        let drive_opens = mounted.len() as u32 + own_handles;
        let is_explained = |volume: &Volume, count: &UseCount| {
            let opens = if volume.kind == VolumeKind::Disk { drive_opens } else { 1 };
            count.mounts as usize == volume.mounts.len()
                && (count.opens, count.drive_opens) == (opens, drive_opens)
                && !count.frozen
        };
        mounted.iter().all(|volume| {
            self.read
                .iter()
                .any(|(read, _, count)| read.name == volume.name && is_explained(volume, count))
        })
    }

    /// Returns one blocker for each frozen file system.
    pub(crate) fn frozen(&self) -> Vec<Blocker> {
        let is_frozen = |mount: &Mount, state: &UseCount| {
            FREEZABLE.contains(&&*mount.file_system) && state.frozen
        };
        let frozen = self.read.iter().filter(|(_, mount, state)| is_frozen(mount, state));
        frozen.map(|(volume, mount, _)| frozen_blocker(volume, mount)).collect()
    }

    /// Returns one blocker for each file system that the kernel has more mounts of than any table shows.
    ///
    /// The kernel counts the mounts of a file system (`super_block.s_active`), those of detached trees and of the layers
    /// of overlays too. Where it counts no more than are known here, no table is read.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted`.
    pub(crate) fn hidden_mounts(
        self,
        helper: &Helper,
        deadline: &mut Deadline<'_>,
    ) -> Result<Vec<Blocker>> {
        let (drive, mut now) = (self.drive, self);
        for count in 0.. {
            let kept = if count == 0 { Kept::ByMembers } else { Kept::ByDescriptors };
            let hidden = now.hidden(kept, deadline.remaining());
            if hidden.is_empty() || count + 1 == COUNTS {
                return Ok(hidden);
            }
            // A program that starts in a namespace of its own copies all mounts, which takes a moment.
            deadline.sleep(COUNT_INTERVAL)?;
            now = FileSystems::read(drive, helper, deadline)?;
        }
        Ok(Vec::new())
    }

    fn hidden(&self, kept: Kept, time: Duration) -> Vec<Blocker> {
        let has_more = |volume: &Volume, mount: &Mount, state: &UseCount| {
            COUNTED.contains(&&*mount.file_system) && state.mounts as usize > volume.mounts.len()
        };
        let suspects = self.read.iter().filter(|(v, mount, state)| has_more(v, mount, state));
        let suspects: Vec<_> = suspects.collect();
        let devices: Vec<u64> = suspects.iter().map(|(volume, ..)| volume.device).collect();
        let shown = mounts_in_tables(&devices, kept, time);
        let hidden = suspects.iter().zip(shown).filter(|((_, _, state), shown)| {
            shown.is_some_and(|shown| state.mounts as usize > shown)
        });
        hidden.map(|((volume, mount, _), _)| hidden_blocker(volume, mount)).collect()
    }
}

fn frozen_blocker(volume: &Volume, mount: &Mount) -> Blocker {
    let path = mount.path.display();
    let what = format!(
        "the file system of {} on {path} is frozen, by fsfreeze or by a program that takes a snapshot",
        volume.name
    );
    let thaw = command_on(&["fsfreeze", "--unfreeze"], &mount.path);
    Blocker::new(BlockerKind::Kernel, what)
        .with_usage(Usage::new(UsageKind::Kernel, &volume.name).at(&mount.path))
        .with_remedy("thaw it", thaw)
}

fn hidden_blocker(volume: &Volume, mount: &Mount) -> Blocker {
    let what = format!(
        "the kernel has the file system of {} mounted where no mount table shows it: in an overlay, detached, or for \
         process accounting",
        volume.name
    );
    Blocker::new(BlockerKind::Unknown, what)
        .with_usage(Usage::new(UsageKind::Kernel, &volume.name).at(&mount.path))
        .with_remedy(
            "unmount the overlays that were made from it; accounting ends with accton off",
            None,
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drive::tests::{drive as stick, volume};
    use crate::platform::linux::blockers::test_support::{drive, image, ok};
    use std::process::Command;

    /// `mounts`, `opens` and `drive_opens` of each mounted partition.
    fn explained(counts: &[[u32; 3]], own_handles: u32) -> bool {
        let mut stick = stick();
        stick.volumes = ["sdb1", "sdb2"].map(|name| volume(name, "sdb")).into();
        // A third one is not mounted.
        stick.volumes.iter_mut().for_each(|v| v.mounts.push(Mount::new("/mnt", "ext4", 1)));
        stick.volumes.push(volume("sdb3", "sdb"));
        let count = |[mounts, opens, drive_opens]: &[u32; 3]| UseCount {
            descriptor: 3,
            mounts: *mounts,
            frozen: false,
            opens: *opens,
            drive_opens: *drive_opens,
        };
        let read = stick.volumes.iter().zip(counts).map(|(v, c)| (v, &v.mounts[0], count(c)));
        FileSystems { drive: &stick, read: read.collect() }.explain_all_uses(own_handles)
    }

    /// On older kernels (6.1), a second open of a partition shows in its own count alone.
    #[test]
    fn each_use_beside_the_mounts_of_partitions_shows_in_a_count() {
        assert!(explained(&[[1, 1, 2], [1, 1, 2]], 0) && explained(&[[1, 1, 3], [1, 1, 3]], 1));
        assert!(!explained(&[[1, 1, 3], [1, 1, 3]], 0), "the third partition, or the drive");
        assert!(!explained(&[[1, 1, 2], [1, 2, 2]], 0), "a mounted partition, on an older kernel");
        assert!(!explained(&[[1, 1, 3], [1, 2, 3]], 0), "the same, on a newer one");
        assert!(!explained(&[[1, 1, 2], [2, 1, 2]], 0), "a mount elsewhere");
        assert!(!explained(&[[1, 1, 2]], 0), "a file system that was not read");
    }

    #[test]
    #[ignore = "needs root and a kernel with BTF"]
    fn the_kernel_takes_the_program_and_finds_nothing_frozen() {
        let counts = use_counts(&ScanDeadline::of(Duration::from_secs(60))).unwrap();
        assert!(!counts.is_empty() && !counts.iter().any(|count| count.frozen), "{counts:?}");
    }

    #[test]
    #[ignore = "needs root, loop devices, overlayfs and a kernel with BTF"]
    fn a_layer_of_an_overlay_that_no_path_leads_to_is_reported() {
        let stick = image();
        let merged = stick.beside("merged");
        let folder = stick.mount.join("folder");
        for name in ["l1", "l2"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let hidden = || {
            let helper = Helper::new();
            let drive = drive(&stick);
            let find = |deadline: &mut Deadline<'_>| {
                FileSystems::read(&drive, &helper, deadline)?.hidden_mounts(&helper, deadline)
            };
            helper.within(Duration::from_secs(20), find).unwrap()
        };
        assert!(hidden().is_empty());
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "unmoor", "-o", "lowerdir=l1:l2"]).arg(&merged);
        assert!(ok(mount.current_dir(&folder)));
        let found = hidden();
        assert!(matches!(&*found, [b] if b.kind == BlockerKind::Unknown), "{found:#?}");
        assert!(ok(Command::new("umount").arg(&merged)));
        assert!(hidden().is_empty());
    }
}
