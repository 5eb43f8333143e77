//! Scan of the mount tables of all mount namespaces.
//!
//! Costs one link and one check for threads per process, and one file per namespace. No call touches a file system
//! that may wait for a server.

use crate::platform::linux::blockers::mounts::ns_members::{NsMember, threads_in_other_ns};
use crate::platform::linux::blockers::mounts::overlay::Overlay;
use crate::platform::linux::blockers::mounts::pinned_ns::PinnedNs;
use crate::platform::linux::blockers::mounts::propagation::{PeerGroups, Place};
use crate::platform::linux::blockers::mounts::types::{
    DeviceIndex, DriveMount, Namespace, NestedMount,
};
use crate::platform::linux::blockers::mounts::{ns_reader, overlay, pinned_ns, remote_fs};
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::sys::mountinfo;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::procfs::{
    Proc, ProcPath, Result, dir_buf, is_gone, namespace_number, parse, stat_at,
};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Findings in the mount tables.
#[derive(Debug, Default)]
pub(crate) struct MountScan {
    /// Mounts of the drive's file systems.
    pub(crate) drive_mounts: Vec<DriveMount>,
    /// Mounts of other file systems on those.
    pub(crate) nested_mounts: Vec<NestedMount>,
    /// Overlays with a layer on the drive.
    pub(crate) overlays: Vec<Overlay>,
    /// Mounts on which stat(2) may block.
    pub(crate) remote_mounts: Vec<u64>,
    /// Namespaces without a process that a mount of ours pins.
    pub(crate) pinned: Vec<PinnedNs>,
    /// Number of processes whose namespace could not be read.
    pub(crate) unreadable: usize,
    /// True if the time ran out.
    pub(crate) timed_out: bool,
}

impl MountScan {
    /// Scans the namespace of each of these processes for mounts of these block devices.
    pub(crate) fn run(
        proc: &Proc,
        pids: &[u32],
        nodes: &[(u64, DeviceIndex)],
        deadline: &ScanDeadline,
    ) -> MountScan {
        let mut scan = MountScan::default();
        let mut walk = NamespaceWalk::new(proc, nodes);
        walk.read_own(&mut scan);
        let mut pids = pids.to_vec();
        pids.sort_unstable();
        let (mut buf, mut tids) = (dir_buf(), Vec::new());
        'walk: for pid in pids {
            threads_in_other_ns(proc, pid, &mut buf, &mut tids);
            let threads = tids.iter().map(|tid| NsMember::thread(pid, *tid));
            for member in std::iter::once(NsMember::process(pid)).chain(threads) {
                if deadline.has_passed() {
                    scan.timed_out = true;
                    break 'walk;
                }
                walk.read_of_member(member, &mut scan);
            }
        }
        walk.read_pinned(&mut scan);
        scan.mark_propagated(&walk.groups);
        scan
    }

    /// Adds the mount table of one namespace.
    pub(crate) fn add_table(
        &mut self,
        lines: &[MountInfo],
        namespace: Namespace,
        nodes: &[(u64, DeviceIndex)],
        groups: &mut PeerGroups,
    ) {
        let first = self.drive_mounts.len();
        for line in lines {
            groups.add(line);
            if remote_fs::stat_may_block(&line.file_system) {
                self.remote_mounts.push(line.id);
            }
            if let Some(index) = device_of(line, nodes) {
                self.drive_mounts.push(DriveMount {
                    index,
                    id: line.id,
                    parent: line.parent,
                    device: line.device,
                    namespace,
                    path: line.path.clone(),
                    propagates: false,
                    place: None,
                });
            }
        }
        let first_overlay = self.overlays.len();
        overlay::find(lines, namespace, &self.drive_mounts[first..], &mut self.overlays);
        self.add_nested(lines, (first, first_overlay), namespace);
    }

    /// Adds the mounts that lie on the mounts and overlays just found, and sets the place of each.
    fn add_nested(
        &mut self,
        lines: &[MountInfo],
        (first, first_overlay): (usize, usize),
        namespace: Namespace,
    ) {
        let mounts = self.drive_mounts[first..].iter().map(|mount| (mount.id, mount.index));
        let overlays =
            self.overlays[first_overlay..].iter().map(|overlay| (overlay.id, overlay.index));
        let mut below: Vec<(u64, DeviceIndex)> = mounts.chain(overlays).collect();
        if below.is_empty() {
            return;
        }
        if namespace.is_ours() {
            self.add_hiding(lines, first, &mut below);
        }
        // A mount comes after its parent, except when it was moved; the second round finds those.
        for _ in 0..2 {
            for (position, line) in lines.iter().enumerate() {
                let Some(&(_, index)) = below.iter().find(|(id, _)| *id == line.parent) else {
                    continue;
                };
                if below.iter().any(|(id, _)| *id == line.id) {
                    continue;
                }
                below.push((line.id, index));
                self.nested_mounts.push(NestedMount::new(line, index, position, namespace, false));
            }
        }
        for mount in &mut self.drive_mounts[first..] {
            let Some(own) = lines.iter().find(|l| l.id == mount.id) else { continue };
            let parent = lines.iter().find(|l| l.id == mount.parent);
            mount.place = parent.and_then(|parent| Place::of(own, parent));
        }
    }

    /// Adds the mounts that hide the mounts just found without lying on them.
    ///
    /// A hiding mount has to be unmounted first, with all mounts on it.
    fn add_hiding(
        &mut self,
        lines: &[MountInfo],
        first: usize,
        below: &mut Vec<(u64, DeviceIndex)>,
    ) {
        for mount in &self.drive_mounts[first..] {
            let own = lines.iter().find(|line| line.id == mount.id);
            for line in own.into_iter().flat_map(|own| own.covered_by(lines)) {
                if line.parent == mount.id || below.iter().any(|(id, _)| *id == line.id) {
                    continue;
                }
                let position =
                    lines.iter().position(|other| other.id == line.id).unwrap_or_default();
                below.push((line.id, mount.index));
                let nested = NestedMount::new(line, mount.index, position, Namespace::Ours, true);
                self.nested_mounts.push(nested);
            }
        }
    }

    /// Marks the mounts in other namespaces that are unmounted together with ours.
    pub(crate) fn mark_propagated(&mut self, groups: &PeerGroups) {
        let ours: Vec<Place> = self
            .drive_mounts
            .iter()
            .filter(|mount| mount.namespace.is_ours())
            .filter_map(|mount| mount.place.clone())
            .collect();
        for mount in self.drive_mounts.iter_mut().filter(|mount| !mount.namespace.is_ours()) {
            let place = mount.place.as_ref();
            mount.propagates =
                place.is_some_and(|p| ours.iter().any(|our| groups.propagate(our, p)));
        }
    }
}

/// Walk over all namespaces.
struct NamespaceWalk<'w> {
    proc: &'w Proc,
    nodes: &'w [(u64, DeviceIndex)],
    groups: PeerGroups,
    /// Namespaces whose tables were read.
    known: HashSet<u64>,
    /// IDs of all mounts in those; no two namespaces share one.
    mounts: HashSet<u64>,
    text: Vec<u8>,
}

impl<'w> NamespaceWalk<'w> {
    fn new(proc: &'w Proc, nodes: &'w [(u64, DeviceIndex)]) -> NamespaceWalk<'w> {
        NamespaceWalk {
            proc,
            nodes,
            groups: PeerGroups::default(),
            known: HashSet::new(),
            mounts: HashSet::new(),
            text: Vec::new(),
        }
    }

    fn read_own(&mut self, scan: &mut MountScan) {
        if self.proc.read(c"self/mountinfo", &mut self.text).is_ok() {
            let table = std::mem::take(&mut self.text);
            self.add_table(&table, Namespace::Ours, scan);
            scan.pinned.extend(mountinfo::parse(&table).iter().filter_map(pinned_ns::from_mount));
            self.text = table;
        }
        self.known.extend(our_namespace(self.proc, &mut self.text));
    }

    /// Reads the namespace of this member, unless it was read before.
    fn read_of_member(&mut self, member: NsMember, scan: &mut MountScan) {
        let link = ProcPath::below(member.proc_entry(), "/ns/mnt");
        match self.proc.link(link.as_c_str(), &mut self.text) {
            Ok(()) => {
                let Some(number) = namespace_number(&self.text) else { return };
                let read = self.read_once(number, |walk| walk.read_from_root(member, number));
                self.add_read(read, member, scan);
            }
            Err(errno) if is_gone(errno) => {}
            // Without permission for the link, a known mount ID identifies the namespace.
            Err(_) => match first_mount(self.proc, member) {
                Some(first) if self.mounts.contains(&first) => {}
                Some(_) => {
                    let read = self.read_as_member(member);
                    self.add_read(Some(read), member, scan);
                }
                None => scan.unreadable += 1,
            },
        }
    }

    /// Reads the table of this namespace, unless it was read before.
    ///
    /// When the member has exited before the read, the next member shows the namespace.
    fn read_once(
        &mut self,
        number: u64,
        read: impl FnOnce(&mut Self) -> Result<Vec<u8>>,
    ) -> Option<Result<Vec<u8>>> {
        if self.known.contains(&number) {
            return None;
        }
        let read = read(self);
        if read.is_ok() {
            self.known.insert(number);
        }
        Some(read)
    }

    /// Reads the table from the root of the namespace where that is allowed, else as the member sees it.
    fn read_from_root(&mut self, member: NsMember, number: u64) -> Result<Vec<u8>> {
        let path = PathBuf::from(format!("/proc/{}/ns/mnt", member.proc_entry()));
        match ns_reader::mountinfo(move || pinned_ns::open(&path, number)) {
            Err(errno) if !is_gone(errno) && errno != Errno::STALE => self.read_as_member(member),
            result => result,
        }
    }

    /// Reads the table as this member sees it, from its own root.
    fn read_as_member(&self, member: NsMember) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = ProcPath::below(member.proc_entry(), "/mountinfo");
        self.proc.read(file.as_c_str(), &mut text).map(|()| text)
    }

    fn add_read(&mut self, read: Option<Result<Vec<u8>>>, member: NsMember, scan: &mut MountScan) {
        match read {
            Some(Ok(text)) => self.add_table(&text, Namespace::Member(member), scan),
            // It has exited, or is in another namespace by now, or is exiting (EINVAL, `mounts_open_common`).
            Some(Err(errno)) if is_gone(errno) => {}
            None | Some(Err(Errno::STALE | Errno::INVAL)) => {}
            Some(Err(_)) => scan.unreadable += 1,
        }
    }

    /// Reads the pinned namespaces that have no process.
    fn read_pinned(&mut self, scan: &mut MountScan) {
        scan.pinned.retain(|pinned| self.known.insert(pinned.number));
        for position in 0..scan.pinned.len() {
            if let Ok(text) = pinned_ns::mountinfo(&scan.pinned[position]) {
                scan.pinned[position].was_read = true;
                self.add_table(&text, Namespace::Pinned(position), scan);
            }
        }
    }

    fn add_table(&mut self, text: &[u8], namespace: Namespace, scan: &mut MountScan) {
        let lines = mountinfo::parse(text);
        self.mounts.extend(lines.iter().map(|line| line.id));
        scan.add_table(&lines, namespace, self.nodes, &mut self.groups);
    }
}

/// Returns the device that this is a mount of.
///
/// Some file systems (btrfs, overlay) make their own device number. Only the source of the mount leads to the device
/// then.
fn device_of(line: &MountInfo, nodes: &[(u64, DeviceIndex)]) -> Option<DeviceIndex> {
    let find = |device| nodes.iter().find(|(node, _)| *node == device).map(|(_, index)| *index);
    if line.device >> 32 != 0 {
        return find(line.device);
    }
    // Of those, only overlays are scanned for by their number.
    if line.file_system == "overlay" {
        return find(line.device);
    }
    if !mountinfo::source_is_device(line) {
        return None;
    }
    let source = CString::new(line.source.as_bytes()).ok()?;
    find(stat_at(&source).ok()?.node?)
}

fn our_namespace(proc: &Proc, text: &mut Vec<u8>) -> Option<u64> {
    proc.link(c"self/ns/mnt", text).ok()?;
    namespace_number(text)
}

/// Returns the ID of the first mount that this member sees.
fn first_mount(proc: &Proc, member: NsMember) -> Option<u64> {
    let mut head = [0; 24];
    let len = proc
        .read_prefix(ProcPath::below(member.proc_entry(), "/mountinfo").as_c_str(), &mut head)
        .ok()?;
    parse(head[..len].split(|b| *b == b' ').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_whose_first_member_exited_is_read_through_the_next() {
        let proc = Proc::open().unwrap();
        let mut walk = NamespaceWalk::new(&proc, &[]);
        assert_eq!(walk.read_once(7, |_| Err(Errno::SRCH)), Some(Err(Errno::SRCH)));
        assert_eq!(walk.read_once(7, |_| Ok(Vec::new())), Some(Ok(Vec::new())));
        assert_eq!(walk.read_once(7, |_| unreachable!("the namespace is known")), None);
    }
}
