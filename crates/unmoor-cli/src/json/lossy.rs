//! File names in JSON, whose strings must be Unicode: invalid parts become U+FFFD, with the true bytes
//! beside.

use std::ffi::OsStr;
use std::fmt::Write;

/// Returns the name as a JSON string can hold it.
pub fn plain(name: impl AsRef<OsStr>) -> String {
    name.as_ref().to_string_lossy().into_owned()
}

/// Returns the true bytes in hexadecimal if [`plain`] changed something. Windows: UTF-16 units,
/// little-endian.
pub fn bytes_of(name: impl AsRef<OsStr>) -> Option<String> {
    let name = name.as_ref();
    if name.to_str().is_some() {
        return None;
    }
    let mut out = String::new();
    for byte in true_bytes(name) {
        _ = write!(out, "{byte:02x}");
    }
    Some(out)
}

#[cfg(unix)]
fn true_bytes(name: &OsStr) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(name).to_vec()
}

#[cfg(windows)]
fn true_bytes(name: &OsStr) -> Vec<u8> {
    std::os::windows::ffi::OsStrExt::encode_wide(name).flat_map(u16::to_le_bytes).collect()
}
