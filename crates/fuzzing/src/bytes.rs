//! Bytes of an input, taken as what a parser wants.

use std::ffi::OsString;

/// Returns the bytes as the system gives an argument to a program.
#[cfg(unix)]
pub(crate) fn os(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

/// Returns the bytes as the system gives an argument to a program.
#[cfg(windows)]
pub(crate) fn os(bytes: &[u8]) -> OsString {
    std::os::windows::ffi::OsStringExt::from_wide(&units(bytes))
}

/// Returns the bytes as UTF-16 units. An odd byte at the end is left out.
pub(crate) fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Removes the first bytes and returns them, with zeros for those that are missing.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let (head, rest) = bytes.split_at(N.min(bytes.len()));
    taken[..head.len()].copy_from_slice(head);
    *bytes = rest;
    taken
}
