//! What keeps a volume busy, who it is, and what would move it.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// One thing in the way: a process with all its uses of the drive, or something in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocker {
    /// What sort of thing it is.
    pub kind: BlockerKind,
    /// Who it is, for a process.
    pub process: Option<Process>,
    /// What that process is to the system.
    pub role: Role,
    /// How it uses the drive; one entry for each file, directory, mapping.
    pub uses: Vec<Usage>,
    /// One line that says what it is. May hold text from strangers: escape it before it is shown.
    pub description: String,
    /// What would move it, in words.
    pub remedy: Option<String>,
    /// A command that moves it when a shell runs it as it stands; `None` where only the user can, or
    /// where the name of something cannot be written in a command.
    pub command: Option<String>,
}

impl Blocker {
    /// Something in the way that is not a process.
    pub fn new(kind: BlockerKind, description: impl Into<String>) -> Self {
        Blocker {
            kind,
            process: None,
            role: Role::Unknown,
            uses: Vec::new(),
            description: description.into(),
            remedy: None,
            command: None,
        }
    }

    /// Adds a use.
    #[must_use]
    pub fn with_usage(mut self, used: Usage) -> Self {
        self.uses.push(used);
        self
    }

    /// Says what would move it, and with which command.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>, command: Option<String>) -> Self {
        self.remedy = Some(remedy.into());
        self.command = command;
        self
    }
}

/// What sort of thing is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BlockerKind {
    /// A process.
    Process,
    /// A mount nested in the volume's, or a bind mount of it elsewhere.
    Mount,
    /// The same volume mounted in another mount namespace: a container, a service, a session.
    Namespace,
    /// A loop device over a file on the volume; Windows: an attached VHD, VHDX or ISO.
    Loop,
    /// A swap file or partition in use; Windows: a page file.
    Swap,
    /// A device-mapper mapping (LUKS, LVM, …).
    Mapping,
    /// An md array or a file system over several devices.
    MultiDevice,
    /// An overlay mount whose layer lies on the volume.
    Overlay,
    /// An NFS export.
    Export,
    /// The system says busy, and nothing was found.
    Unknown,
}

/// What a process is to the system: it decides whether it may be ended for the sake of a release
/// ([`Blocker::check_terminable`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Role {
    /// The system does not say, or it is no process.
    #[default]
    Unknown,
    /// A program that somebody started.
    Program,
    /// A part of a service: [`Blocker::command`] stops that properly.
    Service,
    /// A part of a container: [`Blocker::command`] stops that properly.
    Container,
    /// Others depend on it: the first process, the manager of a user's services.
    Manager,
    /// This program, or one that it descends from.
    Caller,
    /// A thread of the kernel.
    Kernel,
}

impl Role {
    /// Its name, as in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Role::Unknown => "unknown",
            Role::Program => "program",
            Role::Service => "service",
            Role::Container => "container",
            Role::Manager => "manager",
            Role::Caller => "caller",
            Role::Kernel => "kernel",
        }
    }
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name. Text from a stranger.
    pub name: OsString,
    /// Its command line. Text from a stranger.
    pub command_line: Vec<OsString>,
    /// The user it runs as: a name, or a number where there is none.
    pub user: Option<String>,
    /// What started it: a systemd unit, a container, a Windows service.
    pub unit: Option<String>,
    /// When it started, in the system's own measure; tells it from the next one of the same number.
    pub started: u64,
}

impl Process {
    /// Returns the process of this number and name.
    pub fn new(pid: u32, name: impl Into<OsString>) -> Self {
        Process {
            pid,
            name: name.into(),
            command_line: Vec::new(),
            user: None,
            unit: None,
            started: 0,
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name.to_string_lossy(), self.pid)
    }
}

/// One use that a blocker makes of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// How.
    pub kind: UsageKind,
    /// Which file or directory. Text from a stranger.
    pub path: Option<PathBuf>,
    /// File descriptor or handle.
    pub fd: Option<u64>,
    /// Name of the volume.
    pub volume: String,
    /// Something can be written through it.
    pub writing: bool,
    /// The file has no name any more; the path is the one it had.
    pub deleted: bool,
    /// The thread, where it uses what its process as a whole does not.
    pub thread: Option<u32>,
}

impl Usage {
    /// This use of the volume of that name.
    pub fn new(kind: UsageKind, volume: impl Into<String>) -> Self {
        Usage {
            kind,
            path: None,
            fd: None,
            volume: volume.into(),
            writing: kind == UsageKind::OpenForWriting,
            deleted: kind == UsageKind::DeletedFile,
            thread: None,
        }
    }

    /// Says which file or directory.
    #[must_use]
    pub fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// How a volume is used. The order is the one in which a person looks at it: what may lose data comes
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UsageKind {
    /// A file open for writing.
    OpenForWriting,
    /// A file open for reading only.
    OpenFile,
    /// A directory open.
    Directory,
    /// A deleted file open.
    DeletedFile,
    /// The working directory.
    WorkingDirectory,
    /// The root directory.
    Root,
    /// The program that runs.
    Executable,
    /// A mapped file.
    MappedFile,
    /// The block device itself, held open.
    Device,
    /// A mount point.
    MountPoint,
    /// Used by the kernel.
    Kernel,
}

/// What a search for blockers found, and how far it could see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockerScan {
    /// What is in the way; what to close first comes first.
    pub blockers: Vec<Blocker>,
    /// Who looks at the drive itself (reads its device, past the file systems): not in the way of a
    /// release, but cut off by it.
    pub readers: Vec<Blocker>,
    /// Everything was looked at, within the time given. When this is false, an empty list means
    /// "not known", never "nothing".
    pub complete: bool,
    /// How many processes could not be inspected (permission denied).
    pub inaccessible_processes: usize,
    /// What was not visible, and why.
    pub notes: Vec<String>,
}

impl BlockerScan {
    /// Returns a scan that saw everything and found these.
    pub fn complete(blockers: Vec<Blocker>) -> Self {
        BlockerScan { blockers, complete: true, ..BlockerScan::default() }
    }
}

/// Why something in the way is not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotTerminable {
    /// It is no process: a mount, swap, a mapping. Its command undoes it.
    NoProcess,
    /// It belongs to a service, which would start it again, or miss it.
    Service,
    /// It runs in a container.
    Container,
    /// Others depend on it: the first process, a session's manager.
    Manager,
    /// It is this program, or what started it: nobody would be left to go on.
    Caller,
    /// It is a part of the kernel.
    Kernel,
    /// The system does not say what it is.
    Unknown,
}

impl NotTerminable {
    /// Why, after the words "was not ended: it".
    pub fn reason(self) -> &'static str {
        match self {
            NotTerminable::NoProcess => "is not a program",
            NotTerminable::Service => "belongs to a service",
            NotTerminable::Container => "runs in a container",
            NotTerminable::Manager => "is what other programs depend on",
            NotTerminable::Caller => "is this program, or what started it",
            NotTerminable::Kernel => "is a part of the kernel",
            NotTerminable::Unknown => "is not known well enough",
        }
    }
}

impl Blocker {
    /// May this be ended for the sake of a release: a program that somebody started, and nothing else.
    ///
    /// # Errors
    /// Why not.
    pub fn check_terminable(&self) -> Result<&Process, NotTerminable> {
        let process = match (&self.process, self.kind) {
            (Some(process), BlockerKind::Process) => process,
            _ => return Err(NotTerminable::NoProcess),
        };
        match self.role {
            // Whatever else is said of it: without this one there is no system.
            _ if process.pid <= 1 => Err(NotTerminable::Manager),
            Role::Program => Ok(process),
            Role::Service => Err(NotTerminable::Service),
            Role::Container => Err(NotTerminable::Container),
            Role::Manager => Err(NotTerminable::Manager),
            Role::Caller => Err(NotTerminable::Caller),
            Role::Kernel => Err(NotTerminable::Kernel),
            Role::Unknown => Err(NotTerminable::Unknown),
        }
    }
}

/// Would ending programs clear the way: there are some, and nothing else is in it.
pub fn all_terminable(blockers: &[Blocker]) -> bool {
    !blockers.is_empty() && blockers.iter().all(|blocker| blocker.check_terminable().is_ok())
}

/// Sorts: programs before what they run on, top before bottom.
pub(crate) fn sort(blockers: &mut [Blocker]) {
    for blocker in blockers.iter_mut() {
        blocker.uses.sort_by_key(|used| (!used.writing, used.kind));
    }
    // The sort is stable: what was found in the order of a stack stays so.
    blockers.sort_by_key(|blocker| {
        let writing = blocker.uses.iter().any(|used| used.writing);
        let kind = blocker.uses.iter().map(|used| used.kind).min();
        let pid = blocker.process.as_ref().map_or(0, |process| process.pid);
        (display_rank(blocker.kind), !writing, kind.unwrap_or(UsageKind::Kernel), pid)
    });
}

fn display_rank(kind: BlockerKind) -> u8 {
    match kind {
        BlockerKind::Process => 0,
        BlockerKind::Namespace => 1,
        // These lie on each other in any order.
        BlockerKind::Overlay | BlockerKind::Mount => 2,
        BlockerKind::Export => 4,
        BlockerKind::Swap => 5,
        // These stand on each other in any order.
        BlockerKind::Loop | BlockerKind::Mapping | BlockerKind::MultiDevice => 6,
        BlockerKind::Unknown => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocker(kind: BlockerKind, pid: u32, role: Role) -> Blocker {
        let mut blocker = Blocker::new(kind, "");
        blocker.role = role;
        blocker.process = Some(Process {
            pid,
            name: "x".into(),
            command_line: Vec::new(),
            user: None,
            unit: None,
            started: 7,
        });
        blocker
    }

    #[test]
    fn only_programs_are_ended() {
        for (role, spared) in [
            (Role::Program, None),
            (Role::Service, Some(NotTerminable::Service)),
            (Role::Container, Some(NotTerminable::Container)),
            (Role::Manager, Some(NotTerminable::Manager)),
            (Role::Caller, Some(NotTerminable::Caller)),
            (Role::Kernel, Some(NotTerminable::Kernel)),
            (Role::Unknown, Some(NotTerminable::Unknown)),
        ] {
            let one = blocker(BlockerKind::Process, 4312, role);
            assert_eq!(one.check_terminable().err(), spared, "{role:?}");
        }
    }

    #[test]
    fn the_first_process_is_never_ended_whatever_is_said_of_it() {
        for pid in [0, 1] {
            let first = blocker(BlockerKind::Process, pid, Role::Program);
            assert_eq!(first.check_terminable(), Err(NotTerminable::Manager));
        }
    }

    #[test]
    fn what_is_no_process_is_never_ended_though_one_is_named_with_it() {
        for kind in [BlockerKind::Namespace, BlockerKind::Mount, BlockerKind::Unknown] {
            assert_eq!(
                blocker(kind, 9, Role::Program).check_terminable(),
                Err(NotTerminable::NoProcess)
            );
        }
        let swap = Blocker::new(BlockerKind::Swap, "");
        assert_eq!(swap.check_terminable(), Err(NotTerminable::NoProcess));
    }

    #[test]
    fn it_is_offered_only_where_nothing_else_would_be_left() {
        let program = || blocker(BlockerKind::Process, 9, Role::Program);
        assert!(!all_terminable(&[]));
        assert!(all_terminable(&[program(), program()]));
        let service = blocker(BlockerKind::Process, 9, Role::Service);
        assert!(!all_terminable(&[program(), service]));
        assert!(!all_terminable(&[program(), Blocker::new(BlockerKind::Swap, "")]));
    }
}

#[cfg(test)]
mod order_tests {
    use super::*;
    use crate::model::blocker::Usage;

    #[test]
    fn writers_come_first_and_what_they_write_to_last() {
        let of = |kind, used| Blocker::new(kind, "").with_usage(Usage::new(used, "sdb1"));
        let mut blockers = vec![
            of(BlockerKind::Loop, UsageKind::Kernel),
            of(BlockerKind::Mount, UsageKind::MountPoint),
            of(BlockerKind::Process, UsageKind::WorkingDirectory),
            of(BlockerKind::Process, UsageKind::OpenForWriting),
        ];
        sort(&mut blockers);
        let kinds: Vec<_> = blockers.iter().map(|b| b.uses[0].kind).collect();
        let expected = [
            UsageKind::OpenForWriting,
            UsageKind::WorkingDirectory,
            UsageKind::MountPoint,
            UsageKind::Kernel,
        ];
        assert_eq!(kinds, expected);
    }
}
