//! Processes by number: which program it is.
//!
//! Made from the Win32 documentation of `OpenProcess` and `QueryFullProcessImageNameW`.

use super::wide::narrow;
use std::ffi::OsString;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW,
};

/// The path of a process's program; `None` for processes of others that we may not look at.
pub(super) fn program(pid: u32) -> Option<OsString> {
    // SAFETY: takes numbers only.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return None;
    }
    // SAFETY: the handle is ours alone, from just now, and not null.
    let process = unsafe { OwnedHandle::from_raw_handle(process) };
    let mut units = vec![0u16; 32_768];
    let mut length = units.len() as u32;
    // SAFETY: the process is open; `units` is `length` units long.
    let ok = unsafe {
        QueryFullProcessImageNameW(
            process.as_raw_handle(),
            PROCESS_NAME_WIN32,
            units.as_mut_ptr(),
            &mut length,
        )
    };
    (ok != 0).then(|| narrow(&units))
}
