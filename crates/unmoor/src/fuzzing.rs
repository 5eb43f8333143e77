//! Every reader of foreign text and bytes, as a function that takes any bytes at all (docs/fuzzing.md).
//!
//! What is promised of each reader is asserted here, not only that it survives: what is written down
//! comes back, nothing points outside of what was given, and a length that lies costs nothing. A text
//! that cannot be read is no fault; a broken promise is a panic, which is what a fuzzer looks for.

use crate::model::error::ErrorKind;
use crate::model::target::Target;

#[cfg(target_os = "linux")]
pub use crate::platform::linux::fuzzing::*;
pub use crate::platform::win32_parse::fuzzing::*;

/// A reader's name, and the function that feeds it.
pub type Parser = (&'static str, fn(&[u8]));

/// All of them, by the names of their seeds' directories.
pub const PARSERS: &[Parser] = &[
    ("target", target),
    ("windows_answers", windows_answers),
    ("windows_errors", windows_errors),
    ("windows_names", windows_names),
    ("windows_tables", windows_tables),
    #[cfg(target_os = "linux")]
    ("btf", btf),
    #[cfg(target_os = "linux")]
    ("cgroup", cgroup),
    #[cfg(target_os = "linux")]
    ("device_numbers", device_numbers),
    #[cfg(target_os = "linux")]
    ("mount_tables", mount_tables),
    #[cfg(target_os = "linux")]
    ("mountinfo", mountinfo),
    #[cfg(target_os = "linux")]
    ("overlay", overlay),
    #[cfg(target_os = "linux")]
    ("proc_maps", proc_maps),
    #[cfg(target_os = "linux")]
    ("proc_process", proc_process),
    #[cfg(target_os = "linux")]
    ("proc_tables", proc_tables),
    #[cfg(target_os = "linux")]
    ("remedies", remedies),
    #[cfg(target_os = "linux")]
    ("sense", sense),
    #[cfg(target_os = "linux")]
    ("superblock", superblock),
    #[cfg(target_os = "linux")]
    ("sysfs", sysfs),
    #[cfg(target_os = "linux")]
    ("udev", udev),
    #[cfg(target_os = "linux")]
    ("unix_sockets", unix_sockets),
];

/// What a user may name: [`Target::parse`].
///
/// What a target says of itself means the same target when it is typed again.
pub fn target(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for given in [given(bytes), text.as_ref().into()] {
        match Target::parse(&given) {
            Ok(target) => {
                let shown = target.to_string();
                let exact = given.to_str().is_some();
                if exact {
                    assert_eq!(Target::parse(&shown).ok(), Some(target), "{shown:?}");
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidTarget);
                assert!(error.to_string().chars().count() < 200, "too long to repeat");
            }
        }
    }
}

/// As the system gives an argument to a program.
#[cfg(unix)]
fn given(bytes: &[u8]) -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(windows)]
fn given(bytes: &[u8]) -> std::ffi::OsString {
    std::os::windows::ffi::OsStringExt::from_wide(&units(bytes))
}

/// Bytes as UTF-16 units.
pub(crate) fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Takes the first bytes off, zeros where there are none left.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let (head, rest) = bytes.split_at(N.min(bytes.len()));
    taken[..head.len()].copy_from_slice(head);
    *bytes = rest;
    taken
}
