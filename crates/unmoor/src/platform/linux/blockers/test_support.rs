//! Drives of loop devices that tests made.

use crate::model::drive::{Bus, Drive, DriveId, DriveKind, Medium};
use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::procfs::stat_at;
use std::ffi::CString;
use std::path::PathBuf;
pub(crate) use unmoor_test_support::{Holder, LoopImage, ok};

/// Makes an image with ext4.
pub(crate) fn image() -> LoopImage {
    LoopImage::new("unmoor-unit")
}

/// Returns the device number.
pub(crate) fn number(image: &LoopImage) -> u64 {
    let path = CString::new(&*image.device).unwrap();
    stat_at(&path).unwrap().node.unwrap()
}

/// Describes the drive as the platform would.
pub(crate) fn drive(image: &LoopImage) -> Drive {
    let device = PathBuf::from(&image.device);
    let name = device.file_name().unwrap().to_string_lossy().into_owned();
    let table = MountTable::read_self().unwrap();
    let mounts: Vec<Mount> =
        table.iter().filter(|l| l.source == device).map(|l| table.to_mount(l)).collect();
    let volume = Volume {
        path: device.clone(),
        device: number(image),
        kind: VolumeKind::Disk,
        mounts,
        ..crate::model::drive::tests::volume(&name, &name)
    };
    Drive {
        id: DriveId { device: number(image), generation: 0 },
        name,
        path: device.clone(),
        kind: DriveKind::Loop,
        bus: Bus::Virtual,
        medium: Medium::Present,
        volumes: vec![volume],
        ..crate::model::drive::tests::drive()
    }
}
