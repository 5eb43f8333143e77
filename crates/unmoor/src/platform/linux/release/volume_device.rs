//! Device node of a volume, opened by its name and compared with what was described.

use crate::deadline::Deadline;
use crate::model::volume::Volume;
use crate::platform::linux::helper::{CallResult, Device, Helper};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Opens the volume for reading without waiting for a medium.
///
/// # Errors
/// `ENODEV` if the name belongs to another device by now, or the device has another content. The outer error is that
/// of [`Helper::open`].
pub fn open(
    volume: &Volume,
    more: OFlags,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> CallResult<Device> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | more;
    let opened = helper.open(&volume.path, flags, deadline)?;
    Ok(opened.and_then(|device| match is_same(volume, device.number, device.diskseq) {
        true => Ok(device),
        false => Err(Errno::NODEV),
    }))
}

/// Returns true if a device with this number and `diskseq` is the volume. A `diskseq` of 0 is not known.
pub fn is_same(volume: &Volume, number: u64, diskseq: u64) -> bool {
    let same_content = diskseq == 0 || volume.generation == 0 || diskseq == volume.generation;
    number == volume.device && same_content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::volume::VolumeKind;
    use crate::platform::linux::sys::clock::within;
    use std::time::Duration;

    #[test]
    fn a_device_of_the_same_name_or_number_is_another_one_with_other_content() {
        let mut volume = Volume::new("loop7", "/dev/loop7", VolumeKind::Loop);
        (volume.device, volume.generation) = (7 << 32 | 7, 41);
        assert!(is_same(&volume, 7 << 32 | 7, 41));
        assert!(is_same(&volume, 7 << 32 | 7, 0), "before Linux 5.15");
        assert!(!is_same(&volume, 7 << 32 | 7, 42));
        assert!(!is_same(&volume, 7 << 32 | 8, 41));
    }

    #[test]
    fn a_name_that_leads_to_another_node_is_refused() {
        let mut volume = Volume::new("null", "/dev/null", VolumeKind::Disk);
        volume.device = 8 << 32;
        let opened = within(Duration::from_secs(60), |deadline| {
            open(&volume, OFlags::empty(), &Helper::new(), deadline).unwrap()
        });
        assert_eq!(opened.err(), Some(Errno::NODEV));
    }
}
