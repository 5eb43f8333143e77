//! Mount propagation (mount_namespaces(7)): mounts that are unmounted together.
//!
//! An unmount propagates from the parent mount to the parent's peers, to the slaves of its peer group, and on from
//! there. Every service with a namespace of its own has slave copies of all mounts. Those are no blockers, because
//! they are unmounted with ours.

use crate::platform::linux::sys::mountinfo::MountInfo;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Place of a mount, in terms that hold in every namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Device of the parent mount.
    device: u64,
    /// Mount point within that file system.
    directory: PathBuf,
    /// Peer group of the parent mount.
    shared: Option<u64>,
    /// Peer group whose slave the parent mount is.
    master: Option<u64>,
}

impl Place {
    /// Returns the place of `mount`, which lies on `parent`.
    pub(crate) fn of(mount: &MountInfo, parent: &MountInfo) -> Option<Place> {
        let below = mount.path.strip_prefix(&parent.path).ok()?;
        Some(Place {
            device: parent.device,
            directory: Path::new(&parent.root).join(below),
            shared: parent.shared,
            master: parent.master,
        })
    }

    /// Returns the part of the place that two copies of a mount have in common.
    pub(crate) fn key(&self) -> PlaceKey {
        (self.device, self.directory.clone())
    }
}

/// Device of the parent mount, and mount point within its file system.
pub(crate) type PlaceKey = (u64, PathBuf);

/// Peer groups, and the groups that are their slaves.
#[derive(Debug, Default)]
pub struct PeerGroups {
    /// Slave groups of each master group.
    slaves: HashMap<u64, HashSet<u64>>,
}

impl PeerGroups {
    /// Adds the peer groups of this mount.
    pub(crate) fn add(&mut self, mount: &MountInfo) {
        if let (Some(shared), Some(master)) = (mount.shared, mount.master) {
            self.slaves.entry(master).or_default().insert(shared);
        }
    }

    /// Returns true if an unmount at `from` propagates to `to`.
    pub(crate) fn propagate(&self, from: &Place, to: &Place) -> bool {
        let Some(first) = from.shared else { return false };
        if from.device != to.device || from.directory != to.directory {
            return false;
        }
        let (mut reached, mut pending) = (HashSet::from([first]), vec![first]);
        while let Some(group) = pending.pop() {
            if to.shared == Some(group) || to.master == Some(group) {
                return true;
            }
            let slaves = self.slaves.get(&group).into_iter().flatten();
            pending.extend(slaves.copied().filter(|group| reached.insert(*group)));
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
    fn unmounts_propagate_to_slaves_and_peers_but_not_to_private_mounts() {
        let ours = place(STICK, ROOT);
        let slave = place(STICK, b"71 70 8:1 / / rw master:1 - ext4 /dev/sda1 rw");
        let peer = place(STICK, b"71 70 8:1 / / rw shared:1 - ext4 /dev/sda1 rw");
        let private = place(STICK, b"71 70 8:1 / / rw - ext4 /dev/sda1 rw");
        let groups = PeerGroups::default();
        assert!(groups.propagate(&ours, &slave));
        assert!(groups.propagate(&ours, &peer));
        assert!(!groups.propagate(&ours, &private));
        assert!(!groups.propagate(&private, &ours));
        assert!(!groups.propagate(&slave, &ours), "never from slave to master");
    }

    #[test]
    fn unmounts_propagate_through_a_chain_of_slave_groups() {
        let mut groups = PeerGroups::default();
        groups.add(&line(b"3 2 8:1 / / rw shared:40 master:1 - ext4 /dev/sda1 rw"));
        groups.add(&line(b"5 4 8:1 / / rw shared:41 master:40 - ext4 /dev/sda1 rw"));
        let far = place(STICK, b"71 70 8:1 / / rw master:41 - ext4 /dev/sda1 rw");
        assert!(groups.propagate(&place(STICK, ROOT), &far));
    }

    #[test]
    fn places_compare_equal_across_namespaces() {
        let inside = place(
            b"90 80 8:17 / /host/stick rw - ext4 /dev/sdb1 rw",
            b"80 70 8:1 /media /host rw master:1 - ext4 /dev/sda1 rw",
        );
        assert!(PeerGroups::default().propagate(&place(STICK, ROOT), &inside));
        let other = place(
            b"90 80 8:17 / /host/other rw - ext4 /dev/sdb1 rw",
            b"80 70 8:1 /media /host rw master:1 - ext4 /dev/sda1 rw",
        );
        assert!(!PeerGroups::default().propagate(&place(STICK, ROOT), &other));
    }
}
