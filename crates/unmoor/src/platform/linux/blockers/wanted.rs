//! What the walk over the processes looks for: asked once for each descriptor, so it is quick.

use super::sockets::Sockets;
use super::survey::{Survey, Which};
use crate::platform::linux::procfs::Seen;
use std::path::PathBuf;

/// The devices and mounts of a drive.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Block devices, as a file on them and as a node of theirs tell the number.
    nodes: Vec<(u64, Which)>,
    /// Devices as the kernel numbers the mounted file systems.
    systems: Vec<(u64, Which)>,
    /// Mounts, sorted.
    mounts: Vec<(u64, Which)>,
    /// Devices of what is mounted on those.
    upon: Vec<u64>,
    /// Mounts that must not be looked into, sorted.
    slow: Vec<u64>,
    /// Sockets that are bound on those devices.
    sockets: Sockets,
}

impl Wanted {
    /// These devices, and what the mount tables say of them.
    pub(super) fn new(nodes: Vec<(u64, Which)>, survey: &Survey) -> Wanted {
        let mut wanted = Wanted { nodes, ..Wanted::default() };
        for hit in &survey.hits {
            wanted.systems.push((hit.device, hit.on));
            wanted.mounts.push((hit.id, hit.on));
        }
        // Who uses what lies on the drive's mounts keeps those busy, too.
        wanted.mounts.extend(survey.on_top.iter().map(|top| (top.id, top.on)));
        wanted.mounts.extend(survey.overlays.iter().map(|overlay| (overlay.id, overlay.on)));
        wanted.upon.extend(survey.on_top.iter().map(|top| top.device));
        wanted.upon.extend(survey.overlays.iter().map(|overlay| overlay.device));
        wanted.upon.sort_unstable();
        wanted.upon.dedup();
        wanted.systems.sort_unstable();
        wanted.systems.dedup();
        wanted.mounts.sort_unstable();
        wanted.mounts.dedup();
        wanted.slow = survey.slow_mounts.clone();
        wanted.slow.sort_unstable();
        wanted
    }

    /// Looks for these sockets too.
    pub(super) fn with(self, sockets: Sockets) -> Wanted {
        Wanted { sockets, ..self }
    }

    /// Which of the devices this socket is bound on, and the name it was bound to.
    pub(super) fn socket(&self, seen: &Seen) -> Option<(Which, PathBuf)> {
        self.sockets.find(seen).map(|(on, name)| (on, name.clone()))
    }

    /// The devices of every file system that a wanted file can be on; others' may be among them.
    pub(super) fn every_system(&self) -> impl Iterator<Item = u64> {
        self.nodes
            .iter()
            .chain(&self.systems)
            .map(|(device, _)| *device)
            .chain(self.upon.iter().copied())
            .chain(self.sockets.device())
    }

    /// The block devices themselves.
    pub(super) fn every_node(&self) -> impl Iterator<Item = u64> {
        self.nodes.iter().map(|(device, _)| *device)
    }

    /// Is there any mount whose files may not be looked at.
    pub(super) fn is_careful(&self) -> bool {
        !self.slow.is_empty()
    }

    /// May a look at a file on this mount wait for another machine.
    pub(super) fn is_slow(&self, mount: u64) -> bool {
        self.slow.binary_search(&mount).is_ok()
    }

    /// Which of the devices this file lies on.
    ///
    /// By device, so that files on a mount that is detached already are found too. A file system that
    /// makes its own device numbers (btrfs has one for each subvolume) is known by the mount.
    pub(super) fn file(&self, seen: &Seen) -> Option<Which> {
        let by_device = self.system(seen.device);
        by_device.or_else(|| {
            let at = self.mounts.binary_search_by_key(&seen.mount?, |(id, _)| *id).ok()?;
            Some(self.mounts[at].1)
        })
    }

    /// Is this the device of something that is mounted on the drive's mounts. It may be mounted elsewhere,
    /// too.
    pub(super) fn is_upon(&self, device: u64) -> bool {
        self.upon.binary_search(&device).is_ok()
    }

    /// Which of the devices is mounted with this number.
    pub(super) fn system(&self, device: u64) -> Option<Which> {
        let mut all = self.nodes.iter().chain(&self.systems);
        all.find(|(wanted, _)| *wanted == device).map(|(_, on)| *on)
    }

    /// Which of the devices this block device node is.
    pub(super) fn node(&self, seen: &Seen) -> Option<Which> {
        let node = seen.node?;
        self.nodes.iter().find(|(wanted, _)| *wanted == node).map(|(_, on)| *on)
    }
}
