//! Scan of the mount tables of all mount namespaces.
//!
//! Costs one link and one check for threads per process, and one file per namespace. No call touches a file system
//! that may wait for a server.

use crate::platform::linux::blockers::mounts::ns_members::{NsMember, threads_in_other_ns};
use crate::platform::linux::blockers::mounts::overlay::Overlay;
use crate::platform::linux::blockers::mounts::pinned_ns::PinnedNs;
use crate::platform::linux::blockers::mounts::propagation::{PeerGroups, Place, PlaceKey};
use crate::platform::linux::blockers::mounts::types::{
    DeviceIndex, DriveMount, Namespace, NestedMount,
};
use crate::platform::linux::blockers::mounts::{ns_reader, overlay, pinned_ns, remote_fs};
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::sys::fuse::is_fuse;
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::mountinfo::{self, MountInfo};
use crate::platform::linux::sys::overlay_options::has_layers;
use crate::platform::linux::sys::procfs::{
    Proc, ProcPath, Result, dir_buf, is_gone, namespace_number, parse, stat_at,
};
use rustix::io::Errno;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Findings in the mount tables.
#[derive(Debug, Default)]
pub struct MountScan {
    /// Mounts of the drive's file systems.
    pub drive_mounts: Vec<DriveMount>,
    /// Mounts of other file systems on those.
    pub nested_mounts: Vec<NestedMount>,
    /// Mount table of this process.
    pub(crate) own_table: MountTable,
    /// Overlays with a layer on the drive.
    pub overlays: Vec<Overlay>,
    /// Device numbers of the file systems that are mounted outside of all those mounts, in any namespace.
    pub(crate) outside: HashSet<u64>,
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
        let mut walk = NamespaceWalk::begin(proc, nodes);
        walk.read_of_processes(pids, deadline);
        walk.finish()
    }

    /// Adds the mount table of one namespace.
    pub fn add_table(
        &mut self,
        table: &MountTable,
        namespace: Namespace,
        nodes: &[(u64, DeviceIndex)],
        groups: &mut PeerGroups,
    ) {
        // Index of the device below each mount of the drive, and below each mount on those.
        let mut below: HashMap<u64, DeviceIndex> = HashMap::new();
        let first = self.drive_mounts.len();
        for line in table.iter() {
            groups.add(line);
            if remote_fs::stat_may_block(&line.file_system) {
                self.remote_mounts.push(line.id);
            }
            if let Some(index) = device_of(line, nodes) {
                below.insert(line.id, index);
                self.drive_mounts.push(DriveMount {
                    index,
                    id: line.id,
                    parent: line.parent,
                    device: line.device,
                    namespace,
                    path: line.path.clone(),
                    propagates: false,
                    place: table.get(line.parent).and_then(|parent| Place::of(line, parent)),
                });
            }
        }
        let first_overlay = self.overlays.len();
        overlay::find(table, namespace, &self.drive_mounts[first..], &mut self.overlays);
        let overlays = &self.overlays[first_overlay..];
        below.extend(overlays.iter().map(|overlay| (overlay.id, overlay.index)));
        if !below.is_empty() {
            if namespace.is_ours() {
                self.add_hiding(table, first, &mut below);
            }
            self.add_nested(table, namespace, &mut below);
        }
        let outside = table.iter().filter(|line| !below.contains_key(&line.id));
        self.outside.extend(outside.map(|line| line.device));
    }

    /// Adds the mounts that lie on these mounts, and those that lie on them in turn.
    fn add_nested(
        &mut self,
        table: &MountTable,
        namespace: Namespace,
        below: &mut HashMap<u64, DeviceIndex>,
    ) {
        // A mount comes after its parent, except when it was moved; the second round finds those.
        for _ in 0..2 {
            for (position, line) in table.iter().enumerate() {
                let Some(&index) = below.get(&line.parent) else { continue };
                if let Entry::Vacant(entry) = below.entry(line.id) {
                    entry.insert(index);
                    let nested = NestedMount::new(line, index, position, namespace, false);
                    self.nested_mounts.push(nested);
                }
            }
        }
    }

    /// Adds the mounts that hide the mounts just found without lying on them.
    ///
    /// A hiding mount has to be unmounted first, with all mounts on it.
    fn add_hiding(
        &mut self,
        table: &MountTable,
        first: usize,
        below: &mut HashMap<u64, DeviceIndex>,
    ) {
        for mount in &self.drive_mounts[first..] {
            let own = table.get(mount.id);
            for line in own.into_iter().flat_map(|own| table.covered_by(own)) {
                if line.parent == mount.id || below.contains_key(&line.id) {
                    continue;
                }
                below.insert(line.id, mount.index);
                let position = table.position(line.id).unwrap_or_default();
                let nested = NestedMount::new(line, mount.index, position, Namespace::Ours, true);
                self.nested_mounts.push(nested);
            }
        }
    }

    /// Marks the mounts in other namespaces that are unmounted together with ours.
    pub fn mark_propagated(&mut self, groups: &PeerGroups) {
        let mut ours: HashMap<PlaceKey, Vec<Place>> = HashMap::new();
        for mount in self.drive_mounts.iter().filter(|mount| mount.namespace.is_ours()) {
            if let Some(place) = &mount.place {
                ours.entry(place.key()).or_default().push(place.clone());
            }
        }
        for mount in self.drive_mounts.iter_mut().filter(|mount| !mount.namespace.is_ours()) {
            let Some(place) = &mount.place else { continue };
            let same_place = ours.get(&place.key()).map_or(&[][..], Vec::as_slice);
            mount.propagates = same_place.iter().any(|our| groups.propagate(our, place));
        }
    }
}

/// Walk over all namespaces.
pub(crate) struct NamespaceWalk<'w> {
    proc: &'w Proc,
    nodes: &'w [(u64, DeviceIndex)],
    scan: MountScan,
    groups: PeerGroups,
    /// Namespace of this process.
    own: Option<u64>,
    /// Namespaces whose tables were read.
    known: HashSet<u64>,
    /// IDs of all mounts in those; no two namespaces share one.
    mounts: HashSet<u64>,
    text: Vec<u8>,
}

impl<'w> NamespaceWalk<'w> {
    /// Reads the namespace of this process.
    pub(crate) fn begin(proc: &'w Proc, nodes: &'w [(u64, DeviceIndex)]) -> NamespaceWalk<'w> {
        let mut walk = NamespaceWalk {
            proc,
            nodes,
            scan: MountScan::default(),
            groups: PeerGroups::default(),
            own: None,
            known: HashSet::new(),
            mounts: HashSet::new(),
            text: Vec::new(),
        };
        walk.read_own();
        walk
    }

    /// Returns the findings so far.
    pub(crate) fn scan(&self) -> &MountScan {
        &self.scan
    }

    /// Returns the number of the namespace of this process.
    pub(crate) fn own_namespace(&self) -> Option<u64> {
        self.own
    }

    /// Reads the namespaces of these processes and their threads.
    pub(crate) fn read_of_processes(&mut self, pids: &[u32], deadline: &ScanDeadline) {
        let mut pids = pids.to_vec();
        pids.sort_unstable();
        let (mut buf, mut tids) = (dir_buf(), Vec::new());
        for pid in pids {
            threads_in_other_ns(self.proc, pid, &mut buf, &mut tids);
            let threads = tids.iter().map(|tid| NsMember::thread(pid, *tid));
            for member in std::iter::once(NsMember::process(pid)).chain(threads) {
                if deadline.has_passed() {
                    self.scan.timed_out = true;
                    return;
                }
                self.read_of_member(member);
            }
        }
    }

    /// Reads the namespaces with these numbers, each through a member of it.
    pub(crate) fn read_namespaces(&mut self, members: &[(u64, NsMember)], deadline: &ScanDeadline) {
        for (number, member) in members {
            if deadline.has_passed() {
                self.scan.timed_out = true;
                return;
            }
            let read = self.read_once(*number, |walk| walk.read_from_root(*member, *number));
            self.add_read(read, *member);
        }
    }

    /// Adds the mount namespaces that these processes have an open descriptor of.
    ///
    /// Those that are known by other ways are left out in [`finish`](NamespaceWalk::finish).
    pub(crate) fn add_kept_by_descriptors(&mut self, pids: &[u32], deadline: &ScanDeadline) {
        let Ok(own) = self.proc.stat(c"self/ns/mnt") else { return };
        let (mut buf, mut fds) = (dir_buf(), Vec::new());
        for pid in pids {
            fds.clear();
            let dir = ProcPath::below(*pid, "/fd");
            let listed = self.proc.numbers(dir.as_c_str(), &mut buf, |fd| fds.push(fd));
            if listed.is_err() || deadline.has_passed() {
                continue;
            }
            for fd in &fds {
                let Ok(name) = CString::new(format!("{pid}/fd/{fd}")) else { continue };
                let is_namespace =
                    self.proc.stat(&name).is_ok_and(|stat| stat.device == own.device);
                if is_namespace && self.proc.link(&name, &mut self.text).is_ok() {
                    let path = PathBuf::from(format!("/proc/{pid}/fd/{fd}"));
                    self.scan.pinned.extend(pinned_ns::from_link(&self.text, path));
                }
            }
        }
    }

    /// Reads the pinned namespaces, and returns the findings.
    pub(crate) fn finish(mut self) -> MountScan {
        self.read_pinned();
        self.scan.mark_propagated(&self.groups);
        self.scan
    }

    fn read_own(&mut self) {
        if self.proc.read(c"self/mountinfo", &mut self.text).is_ok() {
            let table = std::mem::take(&mut self.text);
            self.add_table(&table, Namespace::Ours);
            self.text = table;
        }
        self.own = our_namespace(self.proc, &mut self.text);
        self.known.extend(self.own);
    }

    /// Reads the namespace of this member, unless it was read before.
    fn read_of_member(&mut self, member: NsMember) {
        let link = ProcPath::below(member.proc_entry(), "/ns/mnt");
        match self.proc.link(link.as_c_str(), &mut self.text) {
            Ok(()) => {
                let Some(number) = namespace_number(&self.text) else { return };
                let read = self.read_once(number, |walk| walk.read_from_root(member, number));
                self.add_read(read, member);
            }
            Err(errno) if is_gone(errno) => {}
            // Without permission for the link, a known mount ID identifies the namespace.
            Err(_) => match first_mount(self.proc, member) {
                Some(first) if self.mounts.contains(&first) => {}
                Some(_) => {
                    let read = self.read_as_member(member);
                    self.add_read(Some(read), member);
                }
                None => self.scan.unreadable += 1,
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

    fn add_read(&mut self, read: Option<Result<Vec<u8>>>, member: NsMember) {
        match read {
            Some(Ok(text)) => self.add_table(&text, Namespace::Member(member)),
            // It has exited, or is in another namespace by now, or is exiting (EINVAL, `mounts_open_common`).
            Some(Err(errno)) if is_gone(errno) => {}
            None | Some(Err(Errno::STALE | Errno::INVAL)) => {}
            Some(Err(_)) => self.scan.unreadable += 1,
        }
    }

    /// Reads the pinned namespaces that have no process.
    fn read_pinned(&mut self) {
        let known = &mut self.known;
        self.scan.pinned.retain(|pinned| known.insert(pinned.number));
        for position in 0..self.scan.pinned.len() {
            if let Ok(text) = pinned_ns::mountinfo(&self.scan.pinned[position]) {
                self.scan.pinned[position].was_read = true;
                self.add_table(&text, Namespace::Pinned(position));
            }
        }
    }

    fn add_table(&mut self, text: &[u8], namespace: Namespace) {
        let table = MountTable::new(mountinfo::parse(text));
        self.mounts.extend(table.iter().map(|line| line.id));
        if namespace.is_ours() {
            self.scan.pinned.extend(table.iter().filter_map(pinned_ns::from_mount));
        }
        self.scan.add_table(&table, namespace, self.nodes, &mut self.groups);
        if namespace.is_ours() {
            self.scan.own_table = table;
        }
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
    // Of those, only overlays, eCryptfs and FUSE file systems are scanned for by their number.
    if has_layers(&line.file_system) || is_fuse(&line.file_system) {
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
        let mut walk = NamespaceWalk::begin(&proc, &[]);
        assert_eq!(walk.read_once(7, |_| Err(Errno::SRCH)), Some(Err(Errno::SRCH)));
        assert_eq!(walk.read_once(7, |_| Ok(Vec::new())), Some(Ok(Vec::new())));
        assert_eq!(walk.read_once(7, |_| unreachable!("the namespace is known")), None);
    }

    /// A comparison of each mount with each other one would take hours.
    #[test]
    fn tables_with_a_hundred_thousand_mounts_and_overlays_are_scanned_in_one_pass() {
        const COUNT: u64 = 100_000;
        let mut text = String::from("1 0 8:1 / / rw shared:1 - ext4 a rw\n");
        for id in 2..COUNT {
            text += &match id % 2 {
                0 => format!("{id} 1 8:17 /d /b/{id} rw - ext4 /dev/sdb1 rw\n"),
                _ => format!("{id} 1 0:{id} / /o/{id} rw - overlay o rw,lowerdir=/b/{}\n", id - 1),
            };
        }
        let table = MountTable::new(mountinfo::parse(text.as_bytes()));
        let (mut scan, mut groups) = (MountScan::default(), PeerGroups::default());
        let nodes = [(8 << 32 | 17, 1)];
        scan.add_table(&table, Namespace::Ours, &nodes, &mut groups);
        let elsewhere = Namespace::Member(NsMember::process(7));
        scan.add_table(&table, elsewhere, &nodes, &mut groups);
        scan.mark_propagated(&groups);
        let elsewhere = scan.drive_mounts.iter().filter(|mount| !mount.namespace.is_ours());
        assert_eq!(elsewhere.filter(|mount| mount.propagates).count() as u64, COUNT / 2 - 1);
        assert_eq!(scan.overlays.len() as u64, COUNT / 2 - 1);
    }
}
