//! UTF-16 texts of the Win32 interface.

use std::ffi::{OsStr, OsString};
use std::os::windows::ffi::{OsStrExt, OsStringExt};

use crate::platform::win32_parse;

/// Returns the text as NUL-terminated units. Targets hold no NUL: [`crate::Target::parse`] refuses them.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// Returns the text before the first NUL.
pub(crate) fn narrow(units: &[u16]) -> OsString {
    OsString::from_wide(win32_parse::sz(units))
}

/// Returns the text before the first NUL, with U+FFFD for what is not valid UTF-16.
pub(crate) fn lossy(units: &[u16]) -> String {
    String::from_utf16_lossy(win32_parse::sz(units))
}
