//! `/proc/PID/mountinfo` (proc(5)): every mount of a mount namespace, as far as our root reaches.

use crate::platform::linux::sys::device_number;
use crate::platform::linux::sys::pseudo_file::read_proc;
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountInfo {
    /// Mount ID, and the parent's (fields 1 and 2).
    pub id: u64,
    /// The ID of the mount it lies on.
    pub parent: u64,
    /// `st_dev` of its files: `major << 32 | minor`. Major 0 is an anonymous number (btrfs, overlay, …).
    pub device: u64,
    /// Directory of the file system that is the root of this mount.
    pub root: OsString,
    /// Where it is attached, seen from our root.
    pub path: PathBuf,
    /// Options of this mount: `ro`, `nosuid`, ….
    pub options: String,
    /// Peer group if it is shared (optional field `shared:N`, mount_namespaces(7)).
    pub shared: Option<u64>,
    /// Peer group it receives from (optional field `master:N`).
    pub master: Option<u64>,
    /// File system type, with its subtype: `ext4`, `fuse.sshfs`.
    pub file_system: String,
    /// Source that was given to mount: a device path, or anything.
    pub source: OsString,
    /// Options of the file system itself, still escaped.
    ///
    /// That tells a comma in a value from one between two options.
    pub super_options: Vec<u8>,
}

/// Returns the mounts of this process's namespace.
pub fn read_self() -> Result<Vec<MountInfo>, Errno> {
    Ok(parse(&read_proc("/proc/self/mountinfo")?))
}

/// Reads the text of a mountinfo file. A line that cannot be understood is left out.
pub fn parse(text: &[u8]) -> Vec<MountInfo> {
    text.split(|&b| b == b'\n').filter_map(parse_line).collect()
}

fn parse_line(text: &[u8]) -> Option<MountInfo> {
    let mut fields = text.split(|&b| b == b' ');
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = device_number::parse(std::str::from_utf8(fields.next()?).ok()?)?;
    let root = unescape(fields.next()?);
    let path = PathBuf::from(unescape(fields.next()?));
    let options = String::from_utf8_lossy(fields.next()?).into_owned();
    let (mut shared, mut master) = (None, None);
    loop {
        let field = fields.next()?;
        if field == b"-" {
            break;
        }
        if let Some(group) = field.strip_prefix(b"shared:") {
            shared = number(group);
        } else if let Some(group) = field.strip_prefix(b"master:") {
            master = number(group);
        }
    }
    let file_system = String::from_utf8_lossy(fields.next()?).into_owned();
    let source = unescape(fields.next().unwrap_or_default());
    let super_options = fields.next().unwrap_or_default().to_vec();
    Some(MountInfo {
        id,
        parent,
        device,
        root,
        path,
        options,
        shared,
        master,
        file_system,
        source,
        super_options,
    })
}

/// Undoes the kernel's escapes: `\040` for a space, and so on (`mangle()`; three octal digits).
pub fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'\\').then(|| tail.get(..3)).flatten().and_then(octal);
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

fn octal(digits: &[u8]) -> Option<u8> {
    let value = digits.iter().try_fold(0u32, |sum, digit| match digit {
        b'0'..=b'7' => Some(sum * 8 + u32::from(digit - b'0')),
        _ => None,
    })?;
    u8::try_from(value).ok()
}

/// Returns true if the source of this mount is the node of a block device.
///
/// That is so for file systems over several devices, which have anonymous numbers. The source of any other may be
/// a word that a user chose, such as a path into a file system that does not answer.
pub fn source_is_device(line: &MountInfo) -> bool {
    let several = matches!(&*line.file_system, "btrfs" | "bcachefs");
    several && line.source.as_bytes().starts_with(b"/dev/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_with_optional_fields_and_a_space_in_its_path() {
        let text = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n";
        let lines = parse(text);
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!((line.id, line.parent, line.device), (36, 35, 98 << 32));
        assert_eq!(line.path, PathBuf::from("/mnt 2"));
        assert_eq!((line.master, line.shared), (Some(1), Some(7)));
        assert_eq!((&*line.file_system, line.source.to_str()), ("ext3", Some("/dev/root")));
    }

    #[test]
    fn a_source_is_believed_only_of_file_systems_that_have_devices() {
        let of = |kind: &str| {
            source_is_device(
                &parse(format!("1 0 0:9 / /m rw - {kind} /dev/shm/x rw\n").as_bytes())[0],
            )
        };
        assert!(of("btrfs"));
        for kind in ["fuse", "fuse.sshfs", "tmpfs", "overlay", "9p"] {
            assert!(!of(kind), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in prop::collection::vec(any::<u8>(), 0..300)) {
            parse(&text);
        }

        #[test]
        fn escapes_of_the_kernel_are_decoded(path in prop::collection::vec(1u8.., 0..40)) {
            let escaped: Vec<u8> = path.iter().flat_map(|&b| match b {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{b:03o}").into_bytes(),
                other => vec![other],
            }).collect();
            prop_assert_eq!(unescape(&escaped).into_vec(), path);
        }
    }
}
