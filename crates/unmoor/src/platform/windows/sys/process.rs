//! One process: its program, start time and command line.
//!
//! Win32: pages of `OpenProcess`, `QueryFullProcessImageNameW`, `GetProcessTimes`,
//! `ProcessIdToSessionId` and `NtQueryInformationProcess`, whose `ProcessCommandLineInformation`
//! (Windows 8.1) has the kernel copy the command line: nothing is read from the process's own memory.
//! All of them want PROCESS_QUERY_LIMITED_INFORMATION at most.

use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, PointedAnswer};
use crate::platform::windows::sys::cancellable_io::last;
use crate::platform::windows::sys::utf16::narrow;
use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use windows_sys::Wdk::System::Threading::{
    NtQueryInformationProcess, ProcessCommandLineInformation,
};
use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::RemoteDesktop::ProcessIdToSessionId;
use windows_sys::Win32::System::Threading::{
    GetProcessTimes, OpenProcess, PROCESS_ACCESS_RIGHTS, PROCESS_NAME_NATIVE, PROCESS_NAME_WIN32,
    QueryFullProcessImageNameW,
};

/// `OpenProcess`.
///
/// # Errors
/// ERROR_ACCESS_DENIED for processes of others and protected ones, ERROR_INVALID_PARAMETER for one that
/// has ended.
pub(crate) fn open(pid: u32, rights: PROCESS_ACCESS_RIGHTS) -> Result<OwnedHandle, Code> {
    // SAFETY: takes numbers only.
    let process = unsafe { OpenProcess(rights, 0, pid) };
    match process.is_null() {
        true => Err(last()),
        // SAFETY: the handle is ours alone, from just now, and not null.
        false => Ok(unsafe { OwnedHandle::from_raw_handle(process) }),
    }
}

/// Returns the path of the program: `C:\Windows\notepad.exe`.
pub(crate) fn program(process: &OwnedHandle) -> Option<OsString> {
    image_name(process, PROCESS_NAME_WIN32).map(|units| narrow(&units))
}

/// Returns the kernel's path of the program: `\Device\HarddiskVolume3\Windows\notepad.exe`.
pub(crate) fn kernel_program(process: &OwnedHandle) -> Option<Vec<u16>> {
    image_name(process, PROCESS_NAME_NATIVE)
}

fn image_name(process: &OwnedHandle, form: u32) -> Option<Vec<u16>> {
    let mut units = vec![0u16; 32_768];
    let mut length = units.len() as u32;
    // SAFETY: the process is open; `units` is `length` units long.
    let ok = unsafe {
        QueryFullProcessImageNameW(process.as_raw_handle(), form, units.as_mut_ptr(), &mut length)
    };
    units.truncate(length as usize);
    (ok != 0 && !units.is_empty()).then_some(units)
}

/// Returns the start time as a `FILETIME` (100 ns since 1601); 0 if it is not known.
pub(crate) fn started(process: &OwnedHandle) -> u64 {
    let mut times = [FILETIME::default(); 4];
    let [began, ended, kernel, user] = &mut times;
    // SAFETY: the process is open; the times outlive the call.
    let ok = unsafe { GetProcessTimes(process.as_raw_handle(), began, ended, kernel, user) };
    match ok {
        0 => 0,
        _ => u64::from(began.dwHighDateTime) << 32 | u64::from(began.dwLowDateTime),
    }
}

/// Returns the words of the command line; empty if the system does not report them.
pub(crate) fn command_line(process: &OwnedHandle) -> Vec<OsString> {
    // The longest command line has 32,767 units; the structure stands in front.
    let mut answer = vec![0u64; (32_768 * 2 + 32) / 8];
    let size = answer.len() * 8;
    let mut returned = 0;
    // SAFETY: the process is open; `answer` is `size` bytes long, aligned for pointers, and outlives
    // the call.
    let status = unsafe {
        NtQueryInformationProcess(
            process.as_raw_handle(),
            ProcessCommandLineInformation,
            answer.as_mut_ptr().cast(),
            size as u32,
            &mut returned,
        )
    };
    if status != 0 {
        return Vec::new();
    }
    let base = answer.as_ptr() as usize as u64;
    let bytes: Vec<u8> = answer.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let line = PointedAnswer::new(&bytes, base, size_of::<usize>()).counted(0);
    let words = win32_parse::words(&line.unwrap_or_default());
    words.iter().map(|word| OsString::from_wide(word)).collect()
}

/// Returns the session: 0 for services, others for users that are logged on.
pub(crate) fn session(pid: u32) -> Option<u32> {
    let mut session = 0;
    // SAFETY: `session` outlives the call.
    (unsafe { ProcessIdToSessionId(pid, &mut session) } != 0).then_some(session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use windows_sys::Win32::System::Threading::PROCESS_QUERY_LIMITED_INFORMATION;

    #[test]
    fn this_process_is_known() {
        let me = open(std::process::id(), PROCESS_QUERY_LIMITED_INFORMATION).unwrap();
        let wanted = std::env::current_exe().unwrap();
        let lower = |path: &std::ffi::OsStr| path.to_string_lossy().to_lowercase();
        assert_eq!(lower(&program(&me).unwrap()), lower(wanted.as_os_str()));
        assert!(started(&me) > 0);
        let words = command_line(&me);
        // Before Windows 8.1 there is no answer.
        if !words.is_empty() {
            let expected: Vec<OsString> = std::env::args_os().collect();
            assert_eq!(words[1..], expected[1..]);
        }
    }
}
