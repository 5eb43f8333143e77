//! Types that the parts of a mount scan share.

use crate::platform::linux::blockers::mounts::ns_members::NsMember;
use crate::platform::linux::blockers::mounts::propagation::Place;
use crate::platform::linux::sys::mountinfo::MountInfo;
use std::path::PathBuf;

/// Index of a device among those that the caller scans for.
pub(crate) type DeviceIndex = usize;

/// Mount namespace, by what leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// Namespace of this process.
    Ours,
    /// Namespace of another process or thread: the one with the lowest number, mostly its creator.
    Member(NsMember),
    /// Namespace without a process, by its index among the pinned ones of the scan.
    Pinned(usize),
}

impl Namespace {
    /// Returns true if this is the namespace of this process.
    pub fn is_ours(self) -> bool {
        self == Namespace::Ours
    }
}

/// Mount of one of the drive's file systems, in any namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveMount {
    pub index: DeviceIndex,
    pub id: u64,
    pub(crate) parent: u64,
    pub device: u64,
    pub namespace: Namespace,
    pub(crate) path: PathBuf,
    /// True if mount propagation unmounts it together with our mount.
    pub propagates: bool,
    /// Place of the mount, in terms that hold in every namespace.
    pub(crate) place: Option<Place>,
}

/// Mount of another file system on one of the drive's mounts, or over one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NestedMount {
    pub(crate) index: DeviceIndex,
    /// Position in the mount table, in which a mount comes after the mount that it lies on.
    pub(crate) position: usize,
    pub id: u64,
    pub(crate) device: u64,
    pub namespace: Namespace,
    pub(crate) path: PathBuf,
    pub(crate) file_system: String,
    /// True if it hides the drive's mount without lying on it.
    pub(crate) hides: bool,
}

impl NestedMount {
    pub(crate) fn new(
        line: &MountInfo,
        index: DeviceIndex,
        position: usize,
        namespace: Namespace,
        hides: bool,
    ) -> Self {
        NestedMount {
            index,
            position,
            id: line.id,
            device: line.device,
            namespace,
            path: line.path.clone(),
            file_system: line.file_system.clone(),
            hides,
        }
    }
}
