//! What keeps a volume busy, who it is, and what would move it.

use std::ffi::OsString;
use std::path::PathBuf;

/// One thing in the way: a process with all its uses of the drive, or something in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// What sort of thing it is.
    pub kind: BlockerKind,
    /// Who it is, for a process.
    pub process: Option<Process>,
    /// How it uses the drive; one entry for each file, directory, mapping.
    pub uses: Vec<Use>,
    /// One line that says what it is. May hold text from strangers: escape it before it is shown.
    pub description: String,
    /// What would move it: a command, or an action of the user.
    pub remedy: Option<String>,
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
    /// A loop device over a file on the volume.
    Loop,
    /// A swap file or partition in use.
    Swap,
    /// A device-mapper mapping (LUKS, LVM, …).
    Mapping,
    /// An md array or a file system over several devices.
    Raid,
    /// An overlay mount whose layer lies on the volume.
    Overlay,
    /// An NFS export.
    Export,
    /// The system says busy, and nothing was found.
    Unknown,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// One use that a blocker makes of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// How.
    pub kind: UseKind,
    /// Which file or directory. Text from a stranger.
    pub path: Option<PathBuf>,
    /// File descriptor or handle.
    pub fd: Option<u64>,
    /// Name of the volume.
    pub volume: String,
}

/// How a volume is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UseKind {
    /// A file open for writing.
    OpenForWriting,
    /// A file or directory open.
    OpenFile,
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
pub struct Scan {
    /// What is in the way; what to close first comes first.
    pub blockers: Vec<Blocker>,
    /// Everything was looked at, within the time given. When this is false, an empty list means
    /// "not known", never "nothing".
    pub complete: bool,
    /// How many processes could not be looked into for want of permission.
    pub unseen_processes: usize,
    /// What was not visible, and why.
    pub notes: Vec<String>,
}
