//! Texts for and from the wide (UTF-16) half of the Win32 interface.

use std::ffi::{OsStr, OsString};
use std::os::windows::ffi::{OsStrExt, OsStringExt};

use crate::platform::win32_parse;

/// NUL-terminated units of a text. Targets hold no NUL: [`crate::Target::parse`] refuses them.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// The text before the first NUL.
pub(crate) fn narrow(units: &[u16]) -> OsString {
    OsString::from_wide(win32_parse::sz(units))
}

/// As [`narrow`], with U+FFFD for what is not valid UTF-16.
pub(crate) fn lossy(units: &[u16]) -> String {
    String::from_utf16_lossy(win32_parse::sz(units))
}
