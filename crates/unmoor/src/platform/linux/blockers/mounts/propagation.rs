//! Mount propagation (mount_namespaces(7)): which mounts go away together.
//!
//! Unmounting is carried from the mount *on which* something is mounted: to its peers, and to the slaves
//! of its peer group, and on. Every service with a namespace of its own has such slave copies of
//! everything; they are no blockers, because they leave with ours.

use crate::platform::linux::sys::mountinfo::MountInfo;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Where something is mounted, in terms that hold in every namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file system it is mounted on.
    device: u64,
    /// The directory of that file system.
    directory: PathBuf,
    /// The peer group of the mount it is mounted on.
    shared: Option<u64>,
    /// The peer group that mount takes events from.
    master: Option<u64>,
}

impl Place {
    /// The place of `mount`, which lies on `parent`.
    pub(crate) fn of(mount: &MountInfo, parent: &MountInfo) -> Option<Place> {
        let below = mount.path.strip_prefix(&parent.path).ok()?;
        Some(Place {
            device: parent.device,
            directory: Path::new(&parent.root).join(below),
            shared: parent.shared,
            master: parent.master,
        })
    }
}

/// Which peer groups take events from which.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// From the master to the group of its slaves.
    edges: HashSet<(u64, u64)>,
}

impl Groups {
    /// Takes note of this mount.
    pub(crate) fn add(&mut self, mount: &MountInfo) {
        if let (Some(shared), Some(master)) = (mount.shared, mount.master) {
            self.edges.insert((master, shared));
        }
    }

    /// Is an unmounting at `from` carried to `to`.
    pub(crate) fn carry(&self, from: &Place, to: &Place) -> bool {
        let Some(first) = from.shared else { return false };
        if from.device != to.device || from.directory != to.directory {
            return false;
        }
        let mut reached = vec![first];
        let mut next = 0;
        while let Some(group) = reached.get(next).copied() {
            next += 1;
            if to.shared == Some(group) || to.master == Some(group) {
                return true;
            }
            for (master, slaves) in &self.edges {
                if *master == group && !reached.contains(slaves) {
                    reached.push(*slaves);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::sys::mountinfo::parse;

    fn line(text: &[u8]) -> MountInfo {
        parse(text).remove(0)
    }

    fn place(mount: &[u8], parent: &[u8]) -> Place {
        Place::of(&line(mount), &line(parent)).unwrap()
    }

    const ROOT: &[u8] = b"1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw";
    const STICK: &[u8] = b"9 1 8:17 / /media/stick rw shared:5 - ext4 /dev/sdb1 rw";

    #[test]
    fn a_slave_copy_leaves_with_ours_and_a_private_one_stays() {
        let ours = place(STICK, ROOT);
        let slave = place(STICK, b"71 70 8:1 / / rw master:1 - ext4 /dev/sda1 rw");
        let peer = place(STICK, b"71 70 8:1 / / rw shared:1 - ext4 /dev/sda1 rw");
        let private = place(STICK, b"71 70 8:1 / / rw - ext4 /dev/sda1 rw");
        let groups = Groups::default();
        assert!(groups.carry(&ours, &slave));
        assert!(groups.carry(&ours, &peer));
        assert!(!groups.carry(&ours, &private));
        assert!(!groups.carry(&private, &ours));
        assert!(!groups.carry(&slave, &ours), "never from slave to master");
    }

    #[test]
    fn it_is_carried_on_through_a_group_of_slaves() {
        let mut groups = Groups::default();
        groups.add(&line(b"3 2 8:1 / / rw shared:40 master:1 - ext4 /dev/sda1 rw"));
        groups.add(&line(b"5 4 8:1 / / rw shared:41 master:40 - ext4 /dev/sda1 rw"));
        let far = place(STICK, b"71 70 8:1 / / rw master:41 - ext4 /dev/sda1 rw");
        assert!(groups.carry(&place(STICK, ROOT), &far));
    }

    #[test]
    fn the_same_directory_counts_wherever_it_is_seen_from() {
        let inside = place(
            b"90 80 8:17 / /host/stick rw - ext4 /dev/sdb1 rw",
            b"80 70 8:1 /media /host rw master:1 - ext4 /dev/sda1 rw",
        );
        assert!(Groups::default().carry(&place(STICK, ROOT), &inside));
        let other = place(
            b"90 80 8:17 / /host/other rw - ext4 /dev/sdb1 rw",
            b"80 70 8:1 /media /host rw master:1 - ext4 /dev/sda1 rw",
        );
        assert!(!Groups::default().carry(&place(STICK, ROOT), &other));
    }
}
