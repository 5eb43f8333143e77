//! Volumes and their mounts.

#[cfg(feature = "serde")]
use crate::model::serialize;
use std::path::PathBuf;

/// Something with a file system on it, or that holds other volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Volume {
    /// Short name: `sdb1`, `dm-0`, `E:`.
    pub name: String,
    /// Path in the system: `/dev/sdb1`, `\\?\Volume{…}`.
    #[cfg_attr(feature = "serde", serde(flatten, serialize_with = "serialize::path"))]
    pub path: PathBuf,
    /// Device number, as in [`DriveId::device`](crate::DriveId::device).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub device: u64,
    /// Number that changes with the content of the device, as in [`DriveId::generation`](crate::DriveId::generation).
    ///
    /// 0 if the system has none.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub generation: u64,
    /// Kind of the volume.
    pub kind: VolumeKind,
    /// Names of the drive or the volumes that this volume lies on (sysfs: `slaves`).
    ///
    /// A mapping or an array over several drives names the parts on the other drives too.
    #[cfg_attr(feature = "serde", serde(rename = "on"))]
    pub parents: Vec<String>,
    /// Names of the other volumes of a file system over several devices (btrfs).
    ///
    /// They may be on this drive or on others.
    #[cfg_attr(feature = "serde", serde(rename = "spans"))]
    pub other_members: Vec<String>,
    /// Process IDs of the programs that serve the volume (Linux: FUSE, nbd).
    ///
    /// They end when it is unmounted or disconnected, and are not to be ended before.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub servers: Vec<u32>,
    /// Swap in use: the device of the volume, or files on it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::lossy_list"))]
    pub swaps: Vec<PathBuf>,
    /// File system label. Text from a stranger.
    pub label: Option<String>,
    /// UUID or serial number of the file system, in its own notation.
    pub uuid: Option<String>,
    /// Type of the file system or other content: `ext4`, `vfat`, `iso9660`, `crypto_LUKS`, `swap`, …
    pub file_system: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// True if nothing can be written to the volume.
    pub read_only: bool,
    /// Bytes in the cache that are not on the drive yet.
    ///
    /// `None` if the system does not report them.
    pub unwritten: Option<u64>,
    /// Mounts of the volume.
    pub mounts: Vec<Mount>,
}

impl Volume {
    /// Returns a volume of which nothing more is known.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, kind: VolumeKind) -> Self {
        Volume {
            name: name.into(),
            path: path.into(),
            device: 0,
            generation: 0,
            kind,
            parents: Vec::new(),
            other_members: Vec::new(),
            servers: Vec::new(),
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

/// Kind of a volume.
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
    /// An overlay file system with a layer on the drive (Linux).
    ///
    /// Other layers may lie on other drives. Unmounting the overlay does not affect them.
    Overlay,
    /// A FUSE file system whose server has a file or a device of the drive open (Linux).
    Fuse,
    /// An nbd device whose server has a file or a device of the drive open (Linux).
    Nbd,
    /// A stacked device of another kind, which is not taken down (bcache, DRBD).
    Other,
}

impl VolumeKind {
    /// Returns true if a program carries the volume, which is lost if that program ends.
    pub fn is_served(self) -> bool {
        matches!(self, VolumeKind::Fuse | VolumeKind::Nbd)
    }

    /// Returns true if the volume lies on files of the volumes below it, or may.
    ///
    /// It keeps their mounts busy then.
    pub fn lies_on_files(self) -> bool {
        self == VolumeKind::Loop || self.is_served()
    }

    /// Returns true if the volume has a device node of its own.
    pub fn has_node(self) -> bool {
        !matches!(self, VolumeKind::Overlay | VolumeKind::Fuse)
    }
}

impl VolumeKind {
    /// Returns the name of the kind in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            VolumeKind::Disk => "disk",
            VolumeKind::Partition => "partition",
            VolumeKind::Crypt => "crypt",
            VolumeKind::Lvm => "lvm",
            VolumeKind::Raid => "raid",
            VolumeKind::Mapping => "mapping",
            VolumeKind::Loop => "loop",
            VolumeKind::Overlay => "overlay",
            VolumeKind::Fuse => "fuse",
            VolumeKind::Nbd => "nbd",
            VolumeKind::Other => "other",
        }
    }
}

/// A mount of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Mount {
    /// Mount point, drive letter, or mount folder.
    #[cfg_attr(feature = "serde", serde(flatten, serialize_with = "serialize::path"))]
    pub path: PathBuf,
    /// Directory of the file system that is mounted: `/`, or another for a bind mount.
    #[cfg_attr(feature = "serde", serde(flatten, serialize_with = "serialize::root"))]
    pub root: PathBuf,
    /// File system type, as mounted.
    pub file_system: String,
    /// True if mounted read-only.
    pub read_only: bool,
    /// Mount ID (Linux: field 1 of mountinfo, proc(5)).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub id: u64,
    /// Mount ID of the parent mount (Linux: field 2 of mountinfo).
    ///
    /// 0 if the system has none.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub parent: u64,
    /// Mounts on the root of this one, or on a directory of its path.
    ///
    /// This mount cannot be reached before they are unmounted.
    #[cfg_attr(feature = "serde", serde(skip))]
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
