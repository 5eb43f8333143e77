//! Table of every handle of every process.
//!
//! `NtQuerySystemInformation` is in the Win32 documentation; the class `SystemExtendedHandleInformation`
//! is not, but stands still since Windows XP. Everybody may ask it.

use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, Handle};
use crate::platform::windows::sys::device::code;
use std::fs::File;
use std::os::windows::io::AsRawHandle;
use windows_sys::Wdk::System::SystemInformation::NtQuerySystemInformation;
use windows_sys::Win32::Foundation::{
    ERROR_NOT_SUPPORTED, ERROR_OUTOFMEMORY, STATUS_INFO_LENGTH_MISMATCH,
};

/// `SystemExtendedHandleInformation`.
const EXTENDED_HANDLES: i32 = 64;
/// Room for about 25,000 handles: small machines need no second call.
const FIRST_ROOM: usize = 1 << 20;
/// Six million handles; a system with more has other worries.
const MOST_ROOM: usize = 1 << 28;

/// Returns the handles of files of all processes.
///
/// # Errors
/// ERROR_NOT_SUPPORTED if the system gives no table, or one without this program's own handle.
pub(crate) fn files() -> Result<Vec<Handle>, Code> {
    // What type of object a file is has another number in each Windows: a file of our own tells it.
    let program = std::env::current_exe().and_then(File::open).map_err(|e| code(&e))?;
    let table = table()?;
    let own = program.as_raw_handle() as usize as u64;
    win32_parse::files_like(&table, std::process::id(), own).ok_or(ERROR_NOT_SUPPORTED)
}

fn table() -> Result<Vec<Handle>, Code> {
    let mut room = FIRST_ROOM;
    while room <= MOST_ROOM {
        let mut answer = vec![0u64; room / 8];
        let mut needed = 0u32;
        // SAFETY: `answer` is `room` bytes long, aligned for pointers, and outlives the call.
        let status = unsafe {
            NtQuerySystemInformation(
                EXTENDED_HANDLES,
                answer.as_mut_ptr().cast(),
                room as u32,
                &mut needed,
            )
        };
        match status {
            0 => {
                let bytes: &[u8] = {
                    let length = room.min(needed as usize);
                    // SAFETY: `answer` is `room` bytes long, all of them written at least as zeros;
                    // any byte is a valid `u8`, and the slice does not outlive `answer`.
                    unsafe { std::slice::from_raw_parts(answer.as_ptr().cast(), length) }
                };
                return Ok(win32_parse::handle_table(bytes, size_of::<usize>()));
            }
            STATUS_INFO_LENGTH_MISMATCH => {
                // Handles are opened between two calls: a little more than was needed just now.
                let wished = (needed as usize).saturating_add(needed as usize / 8);
                room = wished.max(room * 2).next_multiple_of(8);
            }
            _ => return Err(ERROR_NOT_SUPPORTED),
        }
    }
    Err(ERROR_OUTOFMEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_this_process_is_in_the_table_with_its_rights() {
        let program = File::open(std::env::current_exe().unwrap()).unwrap();
        let own = program.as_raw_handle() as usize as u64;
        let files = files().unwrap();
        let me = std::process::id();
        let found = files.iter().find(|h| h.pid == me && h.value == own).unwrap();
        assert!(win32_parse::may_touch(found.access) && !win32_parse::may_write(found.access));
    }
}
