//! udev's database of block devices in `/run/udev/data`, where udev runs.
//!
//! One line a property, `E:ID_FS_LABEL_ENC=…`; the `_ENC` values escape what is not a plain character
//! as `\x20` (systemd, udev's `encode_devnode_name`).

use crate::platform::linux::sys::content::Content;
use crate::platform::linux::sys::pseudo_file::{read_proc, read_proc_at};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};

/// Directory of the database.
const DIRECTORY: &str = "/run/udev/data";

/// The open database; empty where udev does not run.
#[derive(Debug)]
pub struct Database {
    directory: Option<OwnedFd>,
}

impl Database {
    /// Opens the database.
    pub fn open() -> Database {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Database { directory: openat(CWD, DIRECTORY, flags, Mode::empty()).ok() }
    }

    /// Returns true where udev does not run.
    pub fn is_empty(&self) -> bool {
        self.directory.is_none()
    }

    /// Returns the content of this volume, as udev read it last.
    pub fn content(&self, device: u64) -> Option<Content> {
        let name = format!("b{}:{}", device >> 32, device & 0xffff_ffff);
        parse(&read_proc_at(self.directory.as_ref()?, name).ok()?)
    }
}

/// Entry of the partition table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PartitionEntry {
    pub uuid: Option<String>,
    pub name: Option<String>,
}

/// Returns the partition's entry in the partition table, as udev read it.
///
/// Without udev, the kernel has the name (`PARTNAME`), and since Linux 6.11 the UUID (`PARTUUID`).
pub fn partition_entry(device: u64) -> PartitionEntry {
    let (major, minor) = (device >> 32, device & 0xffff_ffff);
    let udev = read_proc(format!("{DIRECTORY}/b{major}:{minor}")).unwrap_or_default();
    let kernel = read_proc(format!("/sys/dev/block/{major}:{minor}/uevent")).unwrap_or_default();
    parse_entry(&udev, &kernel)
}

fn parse_entry(udev: &[u8], kernel: &[u8]) -> PartitionEntry {
    let (udev, kernel) = (String::from_utf8_lossy(udev), String::from_utf8_lossy(kernel));
    let of_kernel = |name: &str| {
        let mut lines = kernel.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
    };
    PartitionEntry {
        uuid: property(&udev, "ID_PART_ENTRY_UUID").or_else(|| of_kernel("PARTUUID")),
        name: property(&udev, "ID_PART_ENTRY_NAME").or_else(|| of_kernel("PARTNAME")),
    }
}

fn property(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("E:"))
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| decode(value))
        .filter(|value| !value.is_empty())
}

pub fn parse(text: &[u8]) -> Option<Content> {
    let text = String::from_utf8_lossy(text);
    let property = |name: &str| property(&text, name);
    Some(Content {
        kind: property("ID_FS_TYPE")?,
        label: property("ID_FS_LABEL_ENC"),
        uuid: property("ID_FS_UUID_ENC"),
    })
}

pub fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = match tail {
            [b'x', high, low, ..] if first == b'\\' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_labels_come_back() {
        let text = b"S:disk/by-label/x\nE:ID_FS_LABEL_ENC=My\\x20Stick\nE:ID_FS_TYPE=vfat\nE:ID_FS_UUID_ENC=12AB-34CD\n";
        let content = parse(text).unwrap();
        assert_eq!(content.label.as_deref(), Some("My Stick"));
        assert_eq!((&*content.kind, content.uuid.as_deref()), ("vfat", Some("12AB-34CD")));
    }

    #[test]
    fn the_entry_of_a_partition_is_udevs_or_the_kernels() {
        let udev = b"E:ID_PART_ENTRY_UUID=aa-01\nE:ID_PART_ENTRY_NAME=my\\x20part\n";
        let kernel = b"MAJOR=8\nPARTN=1\nPARTNAME=plain\nPARTUUID=bb-01\n";
        let entry = |uuid: &str, name: &str| PartitionEntry {
            uuid: Some(uuid.into()),
            name: Some(name.into()),
        };
        assert_eq!(parse_entry(udev, kernel), entry("aa-01", "my part"));
        assert_eq!(parse_entry(b"", kernel), entry("bb-01", "plain"));
        assert_eq!(parse_entry(b"", b""), PartitionEntry::default());
    }

    proptest! {
        #[test]
        fn any_database_is_survived(text in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&text);
            parse_entry(&text, &text);
            decode(&String::from_utf8_lossy(&text));
        }
    }
}
