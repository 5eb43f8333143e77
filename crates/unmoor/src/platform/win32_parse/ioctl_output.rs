//! The structures that `DeviceIoControl` fills in.

use crate::model::drive::Bus;
use crate::platform::win32_parse::bytes::Bytes;

/// `STORAGE_DEVICE_NUMBER`: which device, and which partition of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceNumber {
    /// `FILE_DEVICE_DISK`, `FILE_DEVICE_CD_ROM`, …
    pub kind: u32,
    pub number: u32,
    /// Partition; `None` for a whole device, which drivers number 0 or -1.
    pub partition: Option<u32>,
}

/// `FILE_DEVICE_CD_ROM` of `winioctl.h`.
pub(crate) const FILE_DEVICE_CD_ROM: u32 = 0x02;
/// `FILE_DEVICE_DISK`.
pub(crate) const FILE_DEVICE_DISK: u32 = 0x07;
/// `FILE_DEVICE_DVD`.
pub(crate) const FILE_DEVICE_DVD: u32 = 0x33;

/// Reads the answer to `IOCTL_STORAGE_GET_DEVICE_NUMBER`.
pub fn device_number(answer: &[u8]) -> Option<DeviceNumber> {
    let b = Bytes(answer);
    let partition = b.u32(8)?;
    Some(DeviceNumber {
        kind: b.u32(0)?,
        number: b.u32(4)?,
        partition: (partition != 0 && partition != u32::MAX).then_some(partition),
    })
}

/// Reads the answer to `IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS`.
///
/// Returns the numbers of the disks that a volume lies on, each once. `VOLUME_DISK_EXTENTS` is a count, padding to 8, then records of 24 bytes.
pub fn disk_extents(answer: &[u8]) -> Option<Vec<u32>> {
    let b = Bytes(answer);
    let count = b.u32(0)? as usize;
    let mut disks: Vec<u32> = b.records(8, 24, count).filter_map(|extent| extent.u32(0)).collect();
    disks.sort_unstable();
    disks.dedup();
    Some(disks)
}

/// Properties of a device: `STORAGE_DEVICE_DESCRIPTOR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    pub removable_media: bool,
    pub vendor: Option<String>,
    pub product: Option<String>,
    pub serial: Option<String>,
    pub bus: Bus,
    /// The bus is made for devices that come and go: USB, IEEE 1394, SD.
    pub hotplug_bus: bool,
}

/// Reads the answer to `IOCTL_STORAGE_QUERY_PROPERTY` for `StorageDeviceProperty`. An offset of 0
/// means "not given"; offsets count from the start of the answer.
pub fn device_descriptor(answer: &[u8]) -> Option<Descriptor> {
    let b = Bytes(answer);
    let text = |at| b.u32(at).filter(|&o| o != 0 && o != u32::MAX).and_then(|o| b.text(o as usize));
    let number = b.u32(28)?;
    Some(Descriptor {
        removable_media: b.u8(10)? != 0,
        vendor: text(12),
        product: text(16),
        serial: text(24),
        bus: bus(number),
        hotplug_bus: matches!(number, 4 | 7 | 12),
    })
}

/// `STORAGE_BUS_TYPE`.
fn bus(number: u32) -> Bus {
    match number {
        1 | 6 | 9 | 10 => Bus::Scsi,
        2 | 3 | 11 => Bus::Ata,
        7 => Bus::Usb,
        12 | 13 => Bus::Mmc,
        14..=16 => Bus::Virtual,
        17 => Bus::Nvme,
        _ => Bus::Other,
    }
}

/// `STORAGE_HOTPLUG_INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hotplug {
    pub media_removable: bool,
    pub device_hotplug: bool,
}

/// Reads the answer to `IOCTL_STORAGE_GET_HOTPLUG_INFO`.
pub fn hotplug(answer: &[u8]) -> Option<Hotplug> {
    let b = Bytes(answer);
    Some(Hotplug { media_removable: b.u8(4)? != 0, device_hotplug: b.u8(6)? != 0 })
}

/// Reads the size from the answer to `IOCTL_DISK_GET_DRIVE_GEOMETRY_EX`.
///
/// `DISK_GEOMETRY_EX` is 24 bytes of geometry, then the size of the disk.
pub fn disk_size(answer: &[u8]) -> Option<u64> {
    Bytes(answer).size(24).filter(|&n| n != 0)
}

/// Reads the bytes written since start-up from the answer to `IOCTL_DISK_PERFORMANCE`.
///
/// `DISK_PERFORMANCE` begins with bytes read and bytes written.
pub fn bytes_written(answer: &[u8]) -> Option<u64> {
    Bytes(answer).size(8)
}

/// Reads the answer to `IOCTL_STORAGE_CHECK_VERIFY` with room for it: the media change count.
pub(crate) fn media_change_count(answer: &[u8]) -> Option<u32> {
    Bytes(answer).u32(0)
}

/// Reads the program that has a CD drive in exclusive access (`CDROM_EXCLUSIVE_LOCK_STATE` of
/// `ntddcdrm.h`: a flag, then a name of at most 64 characters); `None` if the drive is free.
pub(crate) fn exclusive_program(answer: &[u8]) -> Option<String> {
    let b = Bytes(answer);
    let name = || b.text(1).unwrap_or_default().chars().take(64).collect();
    (b.u8(0)? != 0).then(name)
}

/// Reads the answer to `IOCTL_DISK_GET_DISK_ATTRIBUTES`: returns true if Windows keeps the disk offline.
/// `GET_DISK_ATTRIBUTES` is a version, a reserved number and 64 bits, of which bit 0 is
/// DISK_ATTRIBUTE_OFFLINE.
pub(crate) fn disk_offline(answer: &[u8]) -> bool {
    Bytes(answer).u32(8).is_some_and(|attributes| attributes & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    #[test]
    fn a_device_number_is_read_and_a_whole_device_has_no_partition() {
        let read = |p| device_number(&words(&[FILE_DEVICE_DISK, 2, p])).unwrap();
        assert_eq!(read(1), DeviceNumber { kind: 7, number: 2, partition: Some(1) });
        assert_eq!(read(0).partition, None);
        assert_eq!(read(u32::MAX).partition, None);
        assert_eq!(device_number(&[7, 0, 0, 0]), None);
    }

    #[test]
    fn each_disk_of_a_spanned_volume_is_named_once() {
        let extent = |disk| [disk, 0, 0, 0, 1 << 20, 0];
        let mut answer = words(&[3, 0]);
        for disk in [2, 1, 2] {
            answer.extend(words(&extent(disk)));
        }
        assert_eq!(disk_extents(&answer), Some(vec![1, 2]));
        assert_eq!(disk_extents(&[]), None);
    }

    #[test]
    fn more_extents_promised_than_sent_are_not_made_up() {
        let mut answer = words(&[u32::MAX, 0, 5, 0, 0, 0, 1, 0]);
        answer.extend([1, 2, 3]);
        assert_eq!(disk_extents(&answer), Some(vec![5]));
    }

    #[test]
    fn a_descriptor_is_read_and_its_texts_trimmed() {
        let mut answer = vec![0; 36];
        answer[10] = 1;
        answer[12..16].copy_from_slice(&36u32.to_le_bytes());
        answer[16..20].copy_from_slice(&45u32.to_le_bytes());
        answer[28..32].copy_from_slice(&7u32.to_le_bytes());
        answer.extend(b"ACME    \0Stick 3.0\0");
        let read = device_descriptor(&answer).unwrap();
        assert!(read.removable_media);
        assert_eq!(read.vendor.as_deref(), Some("ACME"));
        assert_eq!(read.product.as_deref(), Some("Stick 3.0"));
        assert_eq!((read.serial, read.bus, read.hotplug_bus), (None, Bus::Usb, true));
    }

    #[test]
    fn only_usb_1394_and_sd_are_buses_that_drives_come_and_go_on() {
        let of = |bus: u32| {
            let mut answer = vec![0; 36];
            answer[28..32].copy_from_slice(&bus.to_le_bytes());
            device_descriptor(&answer).unwrap().hotplug_bus
        };
        let hotplug: Vec<u32> = (0..20).filter(|&bus| of(bus)).collect();
        assert_eq!(hotplug, [4, 7, 12]);
    }

    #[test]
    fn sizes_and_flags_are_at_their_places() {
        let mut geometry = vec![0; 32];
        geometry[24..].copy_from_slice(&(1u64 << 33).to_le_bytes());
        assert_eq!(disk_size(&geometry), Some(1 << 33));
        geometry[24..].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(disk_size(&geometry), None);
        let info = hotplug(&[8, 0, 0, 0, 1, 0, 1, 0]).unwrap();
        assert!(info.media_removable && info.device_hotplug);
    }

    #[test]
    fn counts_names_and_flags_are_read_and_short_answers_say_nothing() {
        assert_eq!(media_change_count(&[7, 0, 0, 0]), Some(7));
        assert_eq!(media_change_count(&[7, 0, 0]), None);
        assert_eq!(exclusive_program(b"\x01Burner\0\0").as_deref(), Some("Burner"));
        assert_eq!(exclusive_program(&[1]).as_deref(), Some(""));
        assert_eq!(exclusive_program(b"\x00Burner\0"), None);
        assert_eq!(exclusive_program(&[]), None);
        assert!(disk_offline(&[16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
        assert!(!disk_offline(&[16, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]) && !disk_offline(&[1; 8]));
    }

    proptest! {
        #[test]
        fn no_answer_makes_a_reader_panic(
            answer in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = device_number(&answer);
            let _ = device_descriptor(&answer);
            let _ = hotplug(&answer);
            let _ = disk_size(&answer);
            let _ = bytes_written(&answer);
            let _ = media_change_count(&answer);
            let _ = disk_offline(&answer);
            prop_assert!(exclusive_program(&answer).unwrap_or_default().chars().count() <= 64);
            prop_assert!(disk_extents(&answer).unwrap_or_default().len() <= answer.len() / 24);
        }

        #[test]
        fn written_records_are_read_back(
            kind: u32, number: u32, disks in proptest::collection::vec(any::<u32>(), 0..9),
        ) {
            let read = device_number(&words(&[kind, number, 3])).unwrap();
            prop_assert_eq!((read.kind, read.number, read.partition), (kind, number, Some(3)));
            let mut answer = words(&[disks.len() as u32, 0]);
            for disk in &disks {
                answer.extend(words(&[*disk, 0, 0, 0, 0, 0]));
            }
            let mut expected = disks;
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(disk_extents(&answer), Some(expected));
        }
    }
}
