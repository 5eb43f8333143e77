//! Mount propagation (mount_namespaces(7)): which mounts go away together.
//!
//! Unmounting is carried from the mount *on which* something is mounted: to its peers, and to the slaves
//! of its peer group, and on. Every service with a namespace of its own has such slave copies of
//! everything; they are no blockers, because they leave with ours.

use super::mountline::MountLine;
use std::collections::HashSet;

/// Where something is mounted, in terms that hold in every namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file system it is mounted on.
    device: u64,
    /// The directory of that file system.
    directory: Vec<u8>,
    /// The peer group of the mount it is mounted on.
    shared: u32,
    /// The peer group that mount takes events from.
    master: u32,
}

impl Place {
    /// The place of `mount`, which lies on `parent`.
    pub(super) fn of(mount: &MountLine<'_>, parent: &MountLine<'_>) -> Option<Place> {
        let strip = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
        let below = mount.point.strip_prefix(&*strip(parent.point))?;
        let mut directory = strip(parent.root);
        directory.extend(below);
        Some(Place {
            device: parent.device,
            directory,
            shared: parent.shared,
            master: parent.master,
        })
    }
}

/// Which peer groups take events from which.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// From the master to the group of its slaves.
    edges: HashSet<(u32, u32)>,
}

impl Groups {
    /// A mount that is in the one group and takes events from the other.
    pub(super) fn add(&mut self, shared: u32, master: u32) {
        if shared != 0 && master != 0 {
            self.edges.insert((master, shared));
        }
    }

    /// Is an unmounting at `from` carried to `to`.
    pub(super) fn carry(&self, from: &Place, to: &Place) -> bool {
        if from.shared == 0 || from.device != to.device || from.directory != to.directory {
            return false;
        }
        let mut reached = vec![from.shared];
        let mut next = 0;
        while let Some(group) = reached.get(next).copied() {
            next += 1;
            if to.shared == group || to.master == group {
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

    fn place(mount: &[u8], parent: &[u8]) -> Place {
        Place::of(&MountLine::parse(mount).unwrap(), &MountLine::parse(parent).unwrap()).unwrap()
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
        groups.add(40, 1);
        groups.add(41, 40);
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
