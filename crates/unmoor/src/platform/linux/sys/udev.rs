//! udev's database of block devices in `/run/udev/data`, where udev runs.
//!
//! One line a property, `E:ID_FS_LABEL_ENC=…`; the `_ENC` values escape what is not a plain character
//! as `\x20` (systemd, udev's `encode_devnode_name`).

use crate::platform::linux::sys::content::Content;
use crate::platform::linux::sys::pseudo_file::read_proc;

/// Returns the content of this volume, as udev read it last.
pub fn content(device: u64) -> Option<Content> {
    let path = format!("/run/udev/data/b{}:{}", device >> 32, device & 0xffff_ffff);
    parse(&read_proc(path).ok()?)
}

pub(crate) fn parse(text: &[u8]) -> Option<Content> {
    let text = String::from_utf8_lossy(text);
    let property = |name: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix("E:"))
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| decode(value))
            .filter(|value| !value.is_empty())
    };
    Some(Content {
        kind: property("ID_FS_TYPE")?,
        label: property("ID_FS_LABEL_ENC"),
        uuid: property("ID_FS_UUID_ENC"),
    })
}

pub(crate) fn decode(value: &str) -> String {
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

    proptest! {
        #[test]
        fn any_database_is_survived(text in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&text);
            decode(&String::from_utf8_lossy(&text));
        }
    }
}
