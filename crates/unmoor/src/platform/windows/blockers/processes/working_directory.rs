//! Handle of the current directory of a process, read from the memory of the process.
//!
//! Windows keeps a current directory open like any other directory; which of a process's handles it is
//! stands in its parameters (`PEB.ProcessParameters.CurrentDirectory.Handle` of `winternl.h`; the
//! offsets are the same in every Windows since XP). A wrong number is harmless: it names a directory
//! "open" instead of "current".

use crate::platform::win32_parse::untagged;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use windows_sys::Wdk::System::Threading::{
    NtQueryInformationProcess, PROCESSINFOCLASS, ProcessBasicInformation, ProcessWow64Information,
};
use windows_sys::Win32::System::Diagnostics::Debug::ReadProcessMemory;

/// Offsets in `PEB` and `RTL_USER_PROCESS_PARAMETERS`, for programs of one pointer size.
struct Layout {
    parameters: usize,
    handle: usize,
    pointer: usize,
}

const LAYOUT_64: Layout = Layout { parameters: 0x20, handle: 0x48, pointer: 8 };
const LAYOUT_32: Layout = Layout { parameters: 0x10, handle: 0x2c, pointer: 4 };

/// Returns the handles of the current directory: two, if a 32-bit program runs on a 64-bit Windows. The
/// process must be open with PROCESS_QUERY_INFORMATION and PROCESS_VM_READ.
pub(crate) fn handles(process: &OwnedHandle) -> Vec<u64> {
    let own = if size_of::<usize>() == 8 { LAYOUT_64 } else { LAYOUT_32 };
    // PROCESS_BASIC_INFORMATION: six words of pointer size, the second is the address of the block.
    let mut basic = [0usize; 6];
    let mut found = Vec::new();
    if ask(process, ProcessBasicInformation, &mut basic) {
        found.extend(handle(process, basic[1], &own));
    }
    // The address of the other, 32-bit block; 0 where there is none.
    let mut wow64 = 0usize;
    if size_of::<usize>() == 8 && ask(process, ProcessWow64Information, &mut wow64) && wow64 != 0 {
        found.extend(handle(process, wow64, &LAYOUT_32));
    }
    found
}

/// Returns true for a 32-bit program on a 64-bit Windows, which sees only part of the memory of others.
pub(crate) fn sees_half() -> bool {
    let mut wow64 = 0usize;
    let process = crate::platform::windows::sys::process::open(
        std::process::id(),
        windows_sys::Win32::System::Threading::PROCESS_QUERY_LIMITED_INFORMATION,
    );
    size_of::<usize>() == 4
        && process.is_ok_and(|process| ask(&process, ProcessWow64Information, &mut wow64))
        && wow64 != 0
}

fn handle(process: &OwnedHandle, block: usize, layout: &Layout) -> Option<u64> {
    let parameters = word(process, block.checked_add(layout.parameters)?, layout.pointer)?;
    let parameters = usize::try_from(parameters).ok().filter(|&at| at != 0)?;
    word(process, parameters.checked_add(layout.handle)?, layout.pointer).and_then(untagged)
}

/// Returns a word of pointer size from the memory of the process.
fn word(process: &OwnedHandle, at: usize, pointer: usize) -> Option<u64> {
    let mut bytes = [0u8; 8];
    let mut read = 0usize;
    // SAFETY: the process is open; its memory is only read, and at most `pointer` bytes, which is 4 or
    // 8, are written to `bytes`.
    let ok = unsafe {
        ReadProcessMemory(
            process.as_raw_handle(),
            at as *const _,
            bytes.as_mut_ptr().cast(),
            pointer,
            &mut read,
        )
    };
    (ok != 0 && read == pointer).then(|| u64::from_le_bytes(bytes))
}

/// `NtQueryInformationProcess` of a class whose answer is a `T`.
fn ask<T: Copy>(process: &OwnedHandle, class: PROCESSINFOCLASS, answer: &mut T) -> bool {
    let size = size_of::<T>() as u32;
    let mut returned = 0;
    // SAFETY: the process is open; `answer` is as long as said, and plain numbers.
    let status = unsafe {
        NtQueryInformationProcess(
            process.as_raw_handle(),
            class,
            std::ptr::from_mut(answer).cast(),
            size,
            &mut returned,
        )
    };
    status == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::windows::blockers::processes::duplicate;
    use crate::platform::windows::sys::process;
    use windows_sys::Win32::System::Threading::{PROCESS_QUERY_INFORMATION, PROCESS_VM_READ};

    #[test]
    fn the_current_directory_of_this_process_is_one_of_its_handles() {
        let rights = PROCESS_QUERY_INFORMATION
            | PROCESS_VM_READ
            | windows_sys::Win32::System::Threading::PROCESS_DUP_HANDLE;
        let process = process::open(std::process::id(), rights).unwrap();
        let handles = handles(&process);
        assert_eq!(handles.len(), 1, "{handles:?}");
        let copy = duplicate::duplicate(&process, handles[0]).unwrap();
        assert!(duplicate::sort(&copy).directory);
    }
}
