//! List of running processes (`CreateToolhelp32Snapshot`).

use crate::platform::win32_parse::Code;
use crate::platform::windows::sys::cancellable_io::last;
use crate::platform::windows::sys::utf16::narrow;
use std::ffi::OsString;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};

/// Process in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) pid: u32,
    /// Parent process. It may have ended, and its number may have been given to another one.
    pub(crate) parent: u32,
    /// File name of the program.
    pub(crate) name: OsString,
}

/// Returns all processes.
///
/// # Errors
/// What the system says.
pub(crate) fn all() -> Result<Vec<Listed>, Code> {
    // SAFETY: takes numbers only.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Err(last());
    }
    // SAFETY: the handle is ours alone, from just now, and valid.
    let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
    let mut entry =
        PROCESSENTRY32W { dwSize: size_of::<PROCESSENTRY32W>() as u32, ..Default::default() };
    let mut all = Vec::new();
    // SAFETY: the snapshot is open; `entry` has its size set and outlives the call.
    let mut more = unsafe { Process32FirstW(snapshot.as_raw_handle(), &mut entry) } != 0;
    while more {
        all.push(Listed {
            pid: entry.th32ProcessID,
            parent: entry.th32ParentProcessID,
            name: narrow(&entry.szExeFile),
        });
        // SAFETY: as above.
        more = unsafe { Process32NextW(snapshot.as_raw_handle(), &mut entry) } != 0;
    }
    Ok(all)
}

/// Returns true if this process descends from the one of that number.
pub(crate) fn is_ancestor(list: &[Listed], pid: u32) -> bool {
    let parent = |of: u32| list.iter().find(|one| one.pid == of).map(|one| one.parent);
    let mut at = std::process::id();
    // Deeper than any real family; numbers that were given out again could make a ring.
    for _ in 0..64 {
        match parent(at) {
            Some(next) if next == pid => return true,
            Some(next) if next != at && next != 0 => at = next,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_listed_by_its_name() {
        let all = all().unwrap();
        let me = all.iter().find(|one| one.pid == std::process::id()).unwrap();
        let program = std::env::current_exe().unwrap();
        let wanted = program.file_name().unwrap().to_string_lossy().to_lowercase();
        assert_eq!(me.name.to_string_lossy().to_lowercase(), wanted);
    }

    #[test]
    fn a_ring_of_parents_ends() {
        let one = |pid, parent| Listed { pid, parent, name: OsString::new() };
        let me = std::process::id();
        let ring = [one(me, me + 1), one(me + 1, me)];
        assert!(is_ancestor(&ring, me + 1));
        assert!(!is_ancestor(&ring, me + 9));
    }
}
