//! Blockers: the processes and kernel users that keep a volume busy, and how to remove them.

#[cfg(feature = "serde")]
use crate::model::serialize;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// A process with all its uses of a drive, or a user in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocker {
    /// Kind of the blocker.
    pub kind: BlockerKind,
    /// The process, for a blocker that is one.
    pub process: Option<Process>,
    /// Role of the process in the system.
    pub role: Role,
    /// Uses of the drive: one for each file, directory and mapping.
    pub uses: Vec<Usage>,
    /// Description in one line. May contain text from strangers: escape it for a terminal.
    pub description: String,
    /// Remedy in words.
    pub remedy: Option<String>,
    /// Shell command that removes the blocker, ready to run.
    ///
    /// `None` if only the user can remove it, or if a name in the command cannot be quoted.
    pub command: Option<String>,
}

impl Blocker {
    /// Returns a blocker that is not a process.
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

    /// Adds a use of the drive.
    #[must_use]
    pub fn with_usage(mut self, used: Usage) -> Self {
        self.uses.push(used);
        self
    }

    /// Sets the remedy and its command.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>, command: Option<String>) -> Self {
        self.remedy = Some(remedy.into());
        self.command = command;
        self
    }
}

/// Kind of a blocker.
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
    /// An NFS export, or a file that an NFS client has open.
    Export,
    /// A file or device that another part of the kernel has open (Linux).
    ///
    /// Examples are binfmt_misc, an uprobe, a SCSI target, a USB gadget, and zram.
    Kernel,
    /// A user that was not found, although the system reports the drive as busy.
    Unknown,
}

impl BlockerKind {
    /// Returns the name of the kind in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            BlockerKind::Process => "process",
            BlockerKind::Mount => "mount",
            BlockerKind::Namespace => "namespace",
            BlockerKind::Loop => "loop",
            BlockerKind::Swap => "swap",
            BlockerKind::Mapping => "mapping",
            BlockerKind::MultiDevice => "raid",
            BlockerKind::Overlay => "overlay",
            BlockerKind::Export => "export",
            BlockerKind::Kernel => "kernel",
            BlockerKind::Unknown => "unknown",
        }
    }
}

/// Role of a process in the system.
///
/// It decides whether a release may terminate the process ([`Blocker::check_terminable`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Role {
    /// Unknown to the system, or not a process.
    #[default]
    Unknown,
    /// A program that a user started.
    Program,
    /// A process of a service, which [`Blocker::command`] stops properly.
    Service,
    /// A process of a container, which [`Blocker::command`] stops properly.
    Container,
    /// A process that others depend on: the first process, the manager of a user's services.
    Manager,
    /// A process that serves a mounted file system or a block device (Linux: FUSE, nbd, ublk).
    ///
    /// What was written through it is lost if it is ended.
    Server,
    /// This program, or an ancestor of it.
    Caller,
    /// A thread of the kernel.
    Kernel,
}

impl Role {
    /// Returns the name of the role in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Role::Unknown => "unknown",
            Role::Program => "program",
            Role::Service => "service",
            Role::Container => "container",
            Role::Manager => "manager",
            Role::Server => "server",
            Role::Caller => "caller",
            Role::Kernel => "kernel",
        }
    }
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Process {
    /// Process ID.
    pub pid: u32,
    /// Name. Text from a stranger.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::lossy"))]
    pub name: OsString,
    /// Command line. Text from a stranger.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::lossy_list"))]
    pub command_line: Vec<OsString>,
    /// Name or number of the user that the process runs as.
    pub user: Option<String>,
    /// Systemd unit, container or Windows service that started the process.
    pub unit: Option<String>,
    /// Start time, which identifies one process together with the process ID.
    ///
    /// Linux: clock ticks since boot. Windows: units of 100 ns since 1601.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Usage {
    /// Kind of the use.
    pub kind: UsageKind,
    /// File or directory. Text from a stranger.
    #[cfg_attr(feature = "serde", serde(flatten, serialize_with = "serialize::optional_path"))]
    pub path: Option<PathBuf>,
    /// File descriptor or handle.
    pub fd: Option<u64>,
    /// Name of the volume.
    pub volume: String,
    /// True if data can be written through this use.
    pub writing: bool,
    /// True if the file is deleted. The path is the one it had.
    pub deleted: bool,
    /// Thread, for a use that the other threads of the process do not share.
    pub thread: Option<u32>,
}

impl Usage {
    /// Returns a use of the volume of this name.
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

    /// Sets the file or directory.
    #[must_use]
    pub fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// Kind of a use of a volume, what may lose data first.
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

impl UsageKind {
    /// Returns the name of the kind in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            UsageKind::OpenForWriting => "open-for-writing",
            UsageKind::OpenFile => "open-file",
            UsageKind::Directory => "directory",
            UsageKind::DeletedFile => "deleted-file",
            UsageKind::WorkingDirectory => "cwd",
            UsageKind::Root => "root",
            UsageKind::Executable => "exe",
            UsageKind::MappedFile => "mmap",
            UsageKind::Device => "device",
            UsageKind::MountPoint => "mount",
            UsageKind::Kernel => "kernel",
        }
    }
}

/// Result of a scan for blockers, and how complete it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BlockerScan {
    /// Blockers, what to close first in front.
    pub blockers: Vec<Blocker>,
    /// Processes that read the device itself, past its file systems.
    ///
    /// They do not block a release, and lose access by it.
    #[cfg_attr(feature = "serde", serde(rename = "bystanders"))]
    pub readers: Vec<Blocker>,
    /// True if everything was scanned within the time.
    ///
    /// If false, an empty list means "unknown", never "nothing".
    pub complete: bool,
    /// Number of processes that could not be inspected (permission denied).
    #[cfg_attr(feature = "serde", serde(rename = "unseen_processes"))]
    pub inaccessible_processes: usize,
    /// Limits of the scan, in words.
    pub notes: Vec<String>,
}

impl BlockerScan {
    /// Returns a scan that saw everything and found these.
    pub fn complete(blockers: Vec<Blocker>) -> Self {
        BlockerScan { blockers, complete: true, ..BlockerScan::default() }
    }
}

/// Reason why a blocker is not terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotTerminable {
    /// Not a process: a mount, swap, a mapping. The command of the blocker removes it.
    NoProcess,
    /// Part of a service, which would restart the process or depend on it.
    Service,
    /// Part of a container.
    Container,
    /// Needed by other processes: the first process, a session's manager.
    Manager,
    /// Serves a mounted file system or a block device.
    Server,
    /// This program, or an ancestor of it.
    Caller,
    /// A thread of the kernel.
    Kernel,
    /// Of unknown role.
    Unknown,
}

impl NotTerminable {
    /// Returns the reason as a phrase that follows "was not ended: it".
    pub fn reason(self) -> &'static str {
        match self {
            NotTerminable::NoProcess => "is not a program",
            NotTerminable::Service => "belongs to a service",
            NotTerminable::Container => "runs in a container",
            NotTerminable::Manager => "is what other programs depend on",
            NotTerminable::Server => "serves a mounted file system or a block device",
            NotTerminable::Caller => "is this program, or what started it",
            NotTerminable::Kernel => "is a part of the kernel",
            NotTerminable::Unknown => "is not known well enough",
        }
    }
}

impl Blocker {
    /// Returns the process if a release may terminate it: a program that a user started.
    ///
    /// # Errors
    /// The reason why it may not.
    pub fn check_terminable(&self) -> Result<&Process, NotTerminable> {
        let process = match (&self.process, self.kind) {
            (Some(process), BlockerKind::Process) => process,
            _ => return Err(NotTerminable::NoProcess),
        };
        match self.role {
            // Without the first process there is no system, whatever its role says.
            _ if process.pid <= 1 => Err(NotTerminable::Manager),
            Role::Program => Ok(process),
            Role::Service => Err(NotTerminable::Service),
            Role::Container => Err(NotTerminable::Container),
            Role::Manager => Err(NotTerminable::Manager),
            Role::Server => Err(NotTerminable::Server),
            Role::Caller => Err(NotTerminable::Caller),
            Role::Kernel => Err(NotTerminable::Kernel),
            Role::Unknown => Err(NotTerminable::Unknown),
        }
    }
}

impl Blocker {
    /// Returns the process if it serves one service alone, which its command stops.
    pub(crate) fn sole_service(&self) -> Option<&Process> {
        let is_sole = self.role == Role::Service && self.command.is_some();
        self.process.as_ref().filter(|_| is_sole)
    }
}

/// Returns true if there are blockers and a release may terminate all of them.
pub fn all_terminable(blockers: &[Blocker]) -> bool {
    !blockers.is_empty() && blockers.iter().all(|blocker| blocker.check_terminable().is_ok())
}

/// Sorts the blockers: programs before what they run on, top before bottom.
pub(crate) fn sort(blockers: &mut [Blocker]) {
    for blocker in blockers.iter_mut() {
        blocker.uses.sort_by_key(|used| (!used.writing, used.kind));
    }
    // The sort is stable, so that the order of a stack is kept.
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
        // These nest in any order.
        BlockerKind::Overlay | BlockerKind::Mount => 2,
        BlockerKind::Export | BlockerKind::Kernel => 4,
        BlockerKind::Swap => 5,
        // These stack in any order.
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
            (Role::Server, Some(NotTerminable::Server)),
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
    fn a_blocker_that_is_no_process_is_never_ended() {
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
    fn killing_is_offered_only_where_nothing_else_would_be_left() {
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
