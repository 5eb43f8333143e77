//! What the mount tables of the whole system say of a drive: one pass over every mount namespace.
//!
//! Costs one link per process and one file per namespace. Nothing here touches a file system that may
//! wait for a server.

use super::kept::{self, Kept};
use super::overlay::{self, Overlay};
use super::patience::Patience;
use super::propagation::{Groups, Place};
use crate::platform::linux::mountinfo::{self, Line};
use crate::platform::linux::procfs::{Name, Proc, is_gone, parse, seen_at};
use std::collections::HashSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Which of the drive's devices a thing is on: an index that the caller gave with the device.
pub(super) type Which = usize;

/// A mount namespace, and what leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Namespace {
    /// That of this process.
    Ours,
    /// Some process in it: the one with the lowest number, which is mostly the one that made it.
    Of(u32),
    /// No process is in it: the mount that keeps it, in [`Survey::kept`].
    Kept(usize),
}

impl Namespace {
    /// Is it the namespace of this process.
    pub(super) fn is_ours(self) -> bool {
        self == Namespace::Ours
    }
}

/// One mount of the drive, in any namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) on: Which,
    pub(super) id: u64,
    pub(super) parent: u64,
    pub(super) device: u64,
    pub(super) namespace: Namespace,
    pub(super) path: PathBuf,
    /// It goes away by itself when ours does: mount propagation carries the unmounting there.
    pub(super) follows: bool,
    place: Option<Place>,
}

/// A mount of something else that lies on one of the drive's mounts, or hides one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OnTop {
    pub(super) on: Which,
    /// Its place in the mount table: what lies on another mount comes after that one.
    pub(super) at: usize,
    pub(super) id: u64,
    pub(super) device: u64,
    pub(super) namespace: Namespace,
    pub(super) path: PathBuf,
    pub(super) file_system: String,
    /// It does not lie on it: it is mounted above it.
    pub(super) hides: bool,
}

impl OnTop {
    fn new(line: &Line, on: Which, at: usize, namespace: Namespace, hides: bool) -> Self {
        OnTop {
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
pub(super) struct Survey {
    pub(super) hits: Vec<Hit>,
    pub(super) on_top: Vec<OnTop>,
    pub(super) overlays: Vec<Overlay>,
    /// Types of file system that may ask a server even when told not to.
    pub(super) slow: Vec<String>,
    /// The mounts of those.
    pub(super) slow_mounts: Vec<u64>,
    /// Namespaces that are kept by a mount of ours, those without a process among them.
    pub(super) kept: Vec<Kept>,
    /// Processes whose namespace could not be told.
    pub(super) unseen: usize,
    /// The time ran out.
    pub(super) cut_short: bool,
}

impl Survey {
    /// Looks at every namespace that has a process. `nodes` are the block devices to look for.
    pub(super) fn take(proc: &Proc, nodes: &[(u64, Which)], patience: &Patience) -> Survey {
        let mut survey = Survey::default();
        let mut groups = Groups::default();
        let mut text = Vec::new();
        if proc.read(c"self/mountinfo", &mut text).is_ok() {
            let lines = mountinfo::parse(&text);
            survey.kept.extend(lines.iter().filter_map(kept::by));
            survey.read(&lines, Namespace::Ours, nodes, &mut groups);
        }
        let ours = our_namespace(proc, &mut text);
        let mut known: HashSet<u64> = ours.into_iter().collect();
        let mut first_mounts: HashSet<u64> =
            first_mount(proc, std::process::id()).into_iter().collect();
        let mut pids = Vec::new();
        if proc.pids(|pid| pids.push(pid)).is_err() {
            survey.cut_short = true;
        }
        pids.sort_unstable();
        for pid in pids {
            if patience.is_over() {
                survey.cut_short = true;
                break;
            }
            let new = match proc.link(Name::below(pid, "/ns/mnt").as_c_str(), &mut text) {
                Ok(()) => namespace_number(&text).is_some_and(|n| known.insert(n)),
                Err(errno) if is_gone(errno) => false,
                // Whose namespace may not be asked for can still be told by the first mount in it.
                Err(_) => match first_mount(proc, pid) {
                    Some(first) => first_mounts.insert(first),
                    None => {
                        survey.unseen += 1;
                        false
                    }
                },
            };
            if new && proc.read(Name::below(pid, "/mountinfo").as_c_str(), &mut text).is_ok() {
                let lines = mountinfo::parse(&text);
                first_mounts.extend(lines.first().map(|m| m.id));
                survey.read(&lines, Namespace::Of(pid), nodes, &mut groups);
            }
        }
        survey.read_kept(&mut known, nodes, &mut groups);
        survey.follow(&groups);
        survey
    }

    /// Takes in the namespaces that no process has shown.
    fn read_kept(&mut self, known: &mut HashSet<u64>, nodes: &[(u64, Which)], groups: &mut Groups) {
        self.kept.retain(|kept| known.insert(kept.number));
        for at in 0..self.kept.len() {
            if let Ok(text) = kept::mountinfo(&self.kept[at]) {
                self.kept[at].seen = true;
                self.read(&mountinfo::parse(&text), Namespace::Kept(at), nodes, groups);
            }
        }
    }

    /// Takes in the mount table of one namespace.
    pub(super) fn read(
        &mut self,
        lines: &[Line],
        namespace: Namespace,
        nodes: &[(u64, Which)],
        groups: &mut Groups,
    ) {
        let first = self.hits.len();
        for line in lines {
            groups.add(line);
            self.note_type(line);
            if let Some(on) = device_of(line, nodes) {
                self.hits.push(Hit {
                    on,
                    id: line.id,
                    parent: line.parent,
                    device: line.device,
                    namespace,
                    path: line.path.clone(),
                    follows: false,
                    place: None,
                });
            }
        }
        let layered = self.overlays.len();
        overlay::find(lines, namespace, &self.hits[first..], &mut self.overlays);
        self.look_around(lines, (first, layered), namespace);
    }

    /// What lies on the mounts and overlays just found, and what those lie on themselves.
    fn look_around(
        &mut self,
        lines: &[Line],
        (first, layered): (usize, usize),
        namespace: Namespace,
    ) {
        let hits = self.hits[first..].iter().map(|hit| (hit.id, hit.on));
        let overlays = self.overlays[layered..].iter().map(|overlay| (overlay.id, overlay.on));
        let mut below: Vec<(u64, Which)> = hits.chain(overlays).collect();
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
                self.on_top.push(OnTop::new(line, on, at, namespace, false));
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
    fn hidden_by(&mut self, lines: &[Line], first: usize, below: &mut Vec<(u64, Which)>) {
        for hit in &self.hits[first..] {
            let own = lines.iter().find(|line| line.id == hit.id);
            for line in own.into_iter().flat_map(|own| own.covered_by(lines)) {
                if line.parent == hit.id || below.iter().any(|(id, _)| *id == line.id) {
                    continue;
                }
                let at = lines.iter().position(|other| other.id == line.id).unwrap_or_default();
                below.push((line.id, hit.on));
                self.on_top.push(OnTop::new(line, hit.on, at, Namespace::Ours, true));
            }
        }
    }

    /// Finds out which mounts elsewhere go away together with ours.
    pub(super) fn follow(&mut self, groups: &Groups) {
        let ours: Vec<Place> = self
            .hits
            .iter()
            .filter(|hit| hit.namespace.is_ours())
            .filter_map(|hit| hit.place.clone())
            .collect();
        for hit in self.hits.iter_mut().filter(|hit| !hit.namespace.is_ours()) {
            let place = hit.place.as_ref();
            hit.follows = place.is_some_and(|p| ours.iter().any(|our| groups.carry(our, p)));
        }
    }

    fn note_type(&mut self, line: &Line) {
        if super::slow::may_ask_a_server(&line.file_system) {
            self.slow_mounts.push(line.id);
            if !self.slow.contains(&line.file_system) {
                self.slow.push(line.file_system.clone());
            }
        }
    }
}

/// Which of the wanted devices this is a mount of.
///
/// Some file systems (btrfs, overlay) have a device number of their own making; what they are mounted
/// from is then the only trace of the device.
fn device_of(line: &Line, nodes: &[(u64, Which)]) -> Option<Which> {
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
    find(seen_at(&source).ok()?.node?)
}

fn our_namespace(proc: &Proc, text: &mut Vec<u8>) -> Option<u64> {
    proc.link(c"self/ns/mnt", text).ok()?;
    namespace_number(text)
}

/// `mnt:[4026531841]`
pub(super) fn namespace_number(link: &[u8]) -> Option<u64> {
    parse(link.strip_prefix(b"mnt:[")?.strip_suffix(b"]")?)
}

/// The number of the first mount that this process sees: no two namespaces share a mount.
fn first_mount(proc: &Proc, pid: u32) -> Option<u64> {
    let mut head = [0; 24];
    let len = proc.begin(Name::below(pid, "/mountinfo").as_c_str(), &mut head).ok()?;
    parse(head[..len].split(|b| *b == b' ').next()?)
}
