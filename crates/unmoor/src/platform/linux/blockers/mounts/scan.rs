//! What the mount tables of the whole system say of a drive: one pass over every mount namespace.
//!
//! Costs one link and one look for threads per process, and one file per namespace. Nothing here touches a
//! file system that may wait for a server.

use crate::platform::linux::blockers::mounts::ns_members::{NsMember, threads_in_other_ns};
use crate::platform::linux::blockers::mounts::ns_reader::NsReader;
use crate::platform::linux::blockers::mounts::overlay::Overlay;
use crate::platform::linux::blockers::mounts::pinned_ns::PinnedNs;
use crate::platform::linux::blockers::mounts::propagation::{Groups, Place};
use crate::platform::linux::blockers::mounts::{overlay, pinned_ns};
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::sys::mountinfo;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::procfs::{
    Proc, ProcPath, Result, dir_buf, is_gone, parse, stat_at,
};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Which of the drive's devices a thing is on: an index that the caller gave with the device.
pub(crate) type DeviceIndex = usize;

/// A mount namespace, and what leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Namespace {
    /// That of this process.
    Ours,
    /// Some process in it: the one with the lowest number, which is mostly the one that made it.
    Of(NsMember),
    /// No process is in it: the mount that keeps it, in [`MountScan::kept`].
    Kept(usize),
}

impl Namespace {
    /// Is it the namespace of this process.
    pub(crate) fn is_ours(self) -> bool {
        self == Namespace::Ours
    }
}

/// One mount of the drive, in any namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DriveMount {
    pub(crate) on: DeviceIndex,
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) device: u64,
    pub(crate) namespace: Namespace,
    pub(crate) path: PathBuf,
    /// It goes away by itself when ours does: mount propagation carries the unmounting there.
    pub(crate) propagates: bool,
    place: Option<Place>,
}

/// A mount of something else that lies on one of the drive's mounts, or hides one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NestedMount {
    pub(crate) on: DeviceIndex,
    /// Its place in the mount table: what lies on another mount comes after that one.
    pub(crate) at: usize,
    pub(crate) id: u64,
    pub(crate) device: u64,
    pub(crate) namespace: Namespace,
    pub(crate) path: PathBuf,
    pub(crate) file_system: String,
    /// It does not lie on it: it is mounted above it.
    pub(crate) hides: bool,
}

impl NestedMount {
    fn new(
        line: &MountInfo,
        on: DeviceIndex,
        at: usize,
        namespace: Namespace,
        hides: bool,
    ) -> Self {
        NestedMount {
            on,
            at,
            id: line.id,
            device: line.device,
            namespace,
            path: line.path.clone(),
            file_system: line.file_system.clone(),
            hides,
        }
    }
}

/// What the mount tables say.
#[derive(Debug, Default)]
pub(crate) struct MountScan {
    pub(crate) hits: Vec<DriveMount>,
    pub(crate) on_top: Vec<NestedMount>,
    pub(crate) overlays: Vec<Overlay>,
    /// Types of file system that may ask a server even when told not to.
    pub(crate) slow: Vec<String>,
    /// The mounts of those.
    pub(crate) slow_mounts: Vec<u64>,
    /// Namespaces that are kept by a mount of ours, those without a process among them.
    pub(crate) kept: Vec<PinnedNs>,
    /// Processes whose namespace could not be told.
    pub(crate) unseen: usize,
    /// The time ran out.
    pub(crate) timed_out: bool,
}

impl MountScan {
    /// Looks at every namespace that one of these processes is in. `nodes` are the block devices to look for.
    pub(crate) fn run(
        proc: &Proc,
        pids: &[u32],
        nodes: &[(u64, DeviceIndex)],
        patience: &ScanDeadline,
    ) -> MountScan {
        let mut survey = MountScan::default();
        let mut walk = NamespaceWalk::new(proc, nodes);
        walk.ours(&mut survey);
        let mut pids = pids.to_vec();
        pids.sort_unstable();
        let (mut room, mut tids) = (dir_buf(), Vec::new());
        'walk: for pid in pids {
            threads_in_other_ns(proc, pid, &mut room, &mut tids);
            let threads = tids.iter().map(|tid| NsMember::thread(pid, *tid));
            for resident in std::iter::once(NsMember::process(pid)).chain(threads) {
                if patience.has_passed() {
                    survey.timed_out = true;
                    break 'walk;
                }
                walk.resident(resident, &mut survey);
            }
        }
        walk.kept(&mut survey);
        survey.follow(&walk.groups);
        survey
    }

    /// Takes in the mount table of one namespace.
    pub(crate) fn read(
        &mut self,
        lines: &[MountInfo],
        namespace: Namespace,
        nodes: &[(u64, DeviceIndex)],
        groups: &mut Groups,
    ) {
        let first = self.hits.len();
        for line in lines {
            groups.add(line);
            self.note_type(line);
            if let Some(on) = device_of(line, nodes) {
                self.hits.push(DriveMount {
                    on,
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
        let layered = self.overlays.len();
        overlay::find(lines, namespace, &self.hits[first..], &mut self.overlays);
        self.read_namespaces(lines, (first, layered), namespace);
    }

    /// What lies on the mounts and overlays just found, and what those lie on themselves.
    fn read_namespaces(
        &mut self,
        lines: &[MountInfo],
        (first, layered): (usize, usize),
        namespace: Namespace,
    ) {
        let hits = self.hits[first..].iter().map(|hit| (hit.id, hit.on));
        let overlays = self.overlays[layered..].iter().map(|overlay| (overlay.id, overlay.on));
        let mut below: Vec<(u64, DeviceIndex)> = hits.chain(overlays).collect();
        if below.is_empty() {
            return;
        }
        if namespace.is_ours() {
            self.hidden_by(lines, first, &mut below);
        }
        // Parents come before their children, except after a move: twice round finds those.
        for _ in 0..2 {
            for (at, line) in lines.iter().enumerate() {
                let Some(&(_, on)) = below.iter().find(|(id, _)| *id == line.parent) else {
                    continue;
                };
                if below.iter().any(|(id, _)| *id == line.id) {
                    continue;
                }
                below.push((line.id, on));
                self.on_top.push(NestedMount::new(line, on, at, namespace, false));
            }
        }
        for hit in &mut self.hits[first..] {
            let Some(own) = lines.iter().find(|l| l.id == hit.id) else { continue };
            let parent = lines.iter().find(|l| l.id == hit.parent);
            hit.place = parent.and_then(|parent| Place::of(own, parent));
        }
    }

    /// What hides the mounts just found without lying on them. It has to go first, with all that lies on
    /// it.
    fn hidden_by(
        &mut self,
        lines: &[MountInfo],
        first: usize,
        below: &mut Vec<(u64, DeviceIndex)>,
    ) {
        for hit in &self.hits[first..] {
            let own = lines.iter().find(|line| line.id == hit.id);
            for line in own.into_iter().flat_map(|own| own.covered_by(lines)) {
                if line.parent == hit.id || below.iter().any(|(id, _)| *id == line.id) {
                    continue;
                }
                let at = lines.iter().position(|other| other.id == line.id).unwrap_or_default();
                below.push((line.id, hit.on));
                self.on_top.push(NestedMount::new(line, hit.on, at, Namespace::Ours, true));
            }
        }
    }

    /// Finds out which mounts elsewhere go away together with ours.
    pub(crate) fn follow(&mut self, groups: &Groups) {
        let ours: Vec<Place> = self
            .hits
            .iter()
            .filter(|hit| hit.namespace.is_ours())
            .filter_map(|hit| hit.place.clone())
            .collect();
        for hit in self.hits.iter_mut().filter(|hit| !hit.namespace.is_ours()) {
            let place = hit.place.as_ref();
            hit.propagates = place.is_some_and(|p| ours.iter().any(|our| groups.carry(our, p)));
        }
    }

    fn note_type(&mut self, line: &MountInfo) {
        if crate::platform::linux::blockers::mounts::remote_fs::stat_may_block(&line.file_system) {
            self.slow_mounts.push(line.id);
            if !self.slow.contains(&line.file_system) {
                self.slow.push(line.file_system.clone());
            }
        }
    }
}

/// The way through all the namespaces.
struct NamespaceWalk<'w> {
    proc: &'w Proc,
    nodes: &'w [(u64, DeviceIndex)],
    groups: Groups,
    /// The namespaces whose tables were read.
    known: HashSet<u64>,
    /// The mounts in those: no two namespaces share one.
    mounts: HashSet<u64>,
    visitor: NsReader,
    text: Vec<u8>,
}

impl<'w> NamespaceWalk<'w> {
    fn new(proc: &'w Proc, nodes: &'w [(u64, DeviceIndex)]) -> NamespaceWalk<'w> {
        NamespaceWalk {
            proc,
            nodes,
            groups: Groups::default(),
            known: HashSet::new(),
            mounts: HashSet::new(),
            visitor: NsReader::default(),
            text: Vec::new(),
        }
    }

    fn ours(&mut self, survey: &mut MountScan) {
        if self.proc.read(c"self/mountinfo", &mut self.text).is_ok() {
            let table = std::mem::take(&mut self.text);
            self.table(&table, Namespace::Ours, survey);
            survey.kept.extend(mountinfo::parse(&table).iter().filter_map(pinned_ns::from_mount));
            self.text = table;
        }
        self.known.extend(our_namespace(self.proc, &mut self.text));
    }

    /// Looks where this one lives, unless that has been seen.
    fn resident(&mut self, resident: NsMember, survey: &mut MountScan) {
        let link = ProcPath::below(resident.entry(), "/ns/mnt");
        match self.proc.link(link.as_c_str(), &mut self.text) {
            Ok(()) => {
                let Some(number) = namespace_number(&self.text) else { return };
                let read = self.read_once(number, |walk| walk.read(resident, number));
                self.take_in(read, resident, survey);
            }
            Err(errno) if is_gone(errno) => {}
            // Whose namespace may not be asked for can still be told by the mounts in it.
            Err(_) => match first_mount(self.proc, resident) {
                Some(first) if self.mounts.contains(&first) => {}
                Some(_) => {
                    let read = self.seen_by(resident);
                    self.take_in(Some(read), resident, survey);
                }
                None => survey.unseen += 1,
            },
        }
    }

    /// Reads the table of this namespace, unless that was done. One whose inhabitant left meanwhile is not
    /// known by that: the next one shows it.
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

    /// The table of the namespace of this number, from its root where that is allowed.
    fn read(&mut self, resident: NsMember, number: u64) -> Result<Vec<u8>> {
        let path = PathBuf::from(format!("/proc/{}/ns/mnt", resident.entry()));
        match self.visitor.mountinfo(move || pinned_ns::open(&path, number)) {
            Err(errno) if !is_gone(errno) && errno != Errno::STALE => self.seen_by(resident),
            answer => answer,
        }
    }

    /// The table as this one sees it, from its own root.
    fn seen_by(&self, resident: NsMember) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = ProcPath::below(resident.entry(), "/mountinfo");
        self.proc.read(file.as_c_str(), &mut text).map(|()| text)
    }

    fn take_in(
        &mut self,
        read: Option<Result<Vec<u8>>>,
        resident: NsMember,
        survey: &mut MountScan,
    ) {
        match read {
            Some(Ok(text)) => self.table(&text, Namespace::Of(resident), survey),
            // It has left, or has gone elsewhere, or ends (EINVAL, `mounts_open_common`).
            Some(Err(errno)) if is_gone(errno) => {}
            None | Some(Err(Errno::STALE | Errno::INVAL)) => {}
            Some(Err(_)) => survey.unseen += 1,
        }
    }

    /// Takes in the namespaces that no process has shown.
    fn kept(&mut self, survey: &mut MountScan) {
        survey.kept.retain(|kept| self.known.insert(kept.number));
        for at in 0..survey.kept.len() {
            if let Ok(text) = pinned_ns::mountinfo(&survey.kept[at], &mut self.visitor) {
                survey.kept[at].seen = true;
                self.table(&text, Namespace::Kept(at), survey);
            }
        }
    }

    fn table(&mut self, text: &[u8], namespace: Namespace, survey: &mut MountScan) {
        let lines = mountinfo::parse(text);
        self.mounts.extend(lines.iter().map(|line| line.id));
        survey.read(&lines, namespace, self.nodes, &mut self.groups);
    }
}

/// Which of the wanted devices this is a mount of.
///
/// Some file systems (btrfs, overlay) have a device number of their own making; what they are mounted
/// from is then the only trace of the device.
fn device_of(line: &MountInfo, nodes: &[(u64, DeviceIndex)]) -> Option<DeviceIndex> {
    let find = |device| nodes.iter().find(|(node, _)| *node == device).map(|(_, on)| *on);
    if line.device >> 32 != 0 {
        return find(line.device);
    }
    // Of those, only overlays are looked for by their number.
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

/// `mnt:[4026531841]`
pub(crate) fn namespace_number(link: &[u8]) -> Option<u64> {
    parse(link.strip_prefix(b"mnt:[")?.strip_suffix(b"]")?)
}

/// The number of the first mount that this one sees.
fn first_mount(proc: &Proc, resident: NsMember) -> Option<u64> {
    let mut head = [0; 24];
    let len = proc
        .read_prefix(ProcPath::below(resident.entry(), "/mountinfo").as_c_str(), &mut head)
        .ok()?;
    parse(head[..len].split(|b| *b == b' ').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_whose_first_inhabitant_left_meanwhile_is_read_by_the_next() {
        let proc = Proc::open().unwrap();
        let mut walk = NamespaceWalk::new(&proc, &[]);
        assert_eq!(walk.read_once(7, |_| Err(Errno::SRCH)), Some(Err(Errno::SRCH)));
        assert_eq!(walk.read_once(7, |_| Ok(Vec::new())), Some(Ok(Vec::new())));
        assert_eq!(walk.read_once(7, |_| unreachable!("it is known")), None);
    }
}
