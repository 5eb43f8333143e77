//! Volumes and their mounts.

use std::path::PathBuf;

/// Something with a file system on it, or that holds other volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Volume {
    /// Short name: `sdb1`, `dm-0`, `E:`.
    pub name: String,
    /// Where the system keeps it: `/dev/sdb1`, `\\?\Volume{…}`.
    pub path: PathBuf,
    /// The device number, as in [`DriveId::device`](crate::DriveId::device).
    pub device: u64,
    /// What it is.
    pub kind: VolumeKind,
    /// Names of what it lies on: the drive's, or other volumes'. A mapping or an array over several
    /// drives names the other drives' parts too.
    pub parents: Vec<String>,
    /// Names of the other volumes that its file system lies on too (btrfs over several devices), of
    /// this drive or of others.
    pub other_members: Vec<String>,
    /// Swap in use: its own device, or files on it.
    pub swaps: Vec<PathBuf>,
    /// File system label. Text from a stranger.
    pub label: Option<String>,
    /// File system UUID or serial number, as the file system writes it.
    pub uuid: Option<String>,
    /// File system or other content: `ext4`, `vfat`, `iso9660`, `crypto_LUKS`, `swap`, …
    pub file_system: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Nothing can be written to it.
    pub read_only: bool,
    /// Bytes in the cache that the drive does not have yet, where the system tells.
    pub unwritten: Option<u64>,
    /// Where it is attached.
    pub mounts: Vec<Mount>,
}

impl Volume {
    /// Returns a volume of which nothing more is known.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, kind: VolumeKind) -> Self {
        Volume {
            name: name.into(),
            path: path.into(),
            device: 0,
            kind,
            parents: Vec::new(),
            other_members: Vec::new(),
            swaps: Vec::new(),
            label: None,
            uuid: None,
            file_system: None,
            size: None,
            read_only: false,
            unwritten: None,
            mounts: Vec::new(),
        }
    }
}

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VolumeKind {
    /// The whole drive, without a partition table.
    Disk,
    /// A partition.
    Partition,
    /// An opened LUKS or other dm-crypt mapping.
    Crypt,
    /// An LVM logical volume.
    Lvm,
    /// An md array.
    Raid,
    /// Any other device-mapper mapping.
    Mapping,
    /// A loop device over an image that lies on the drive.
    Loop,
    /// An overlay file system with a layer on the drive (Linux). Other layers may lie elsewhere: nothing
    /// of them is lost when it is unmounted.
    Overlay,
}

/// A place where a volume is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mount {
    /// Mount point, drive letter, or mount folder.
    pub path: PathBuf,
    /// The directory of the file system that is attached there: `/`, or another for a bind mount.
    pub root: PathBuf,
    /// File system type, as mounted.
    pub file_system: String,
    /// Mounted read-only.
    pub read_only: bool,
    /// The system's number for this mount (Linux: mount ID, `proc(5)` mountinfo field 1).
    pub id: u64,
    /// The number of the mount it lies on (Linux: mountinfo field 2); 0 where the system has none.
    pub parent: u64,
    /// The mounts that hide it: on its own root, or on a directory on the way to it. It cannot be reached
    /// before they are gone.
    pub covered_by: Vec<u64>,
}

impl Mount {
    /// Returns a writable mount of a whole file system.
    pub fn new(path: impl Into<PathBuf>, file_system: impl Into<String>, id: u64) -> Self {
        Mount {
            path: path.into(),
            root: "/".into(),
            file_system: file_system.into(),
            read_only: false,
            id,
            parent: 0,
            covered_by: Vec::new(),
        }
    }
}
