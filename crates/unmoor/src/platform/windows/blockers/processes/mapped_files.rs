//! Files mapped into the memory of a process: programs, libraries, data files.
//!
//! Win32: pages of `VirtualQueryEx` and `GetMappedFileNameW` (here by the name it
//! has in kernel32 since Windows 7). The names come from the kernel, not from the process's own lists,
//! which it could have changed; and data files are in no list.

use crate::platform::stuck_pool::Heartbeat;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use windows_sys::Win32::System::Memory::{
    MEM_IMAGE, MEM_MAPPED, MEMORY_BASIC_INFORMATION, VirtualQueryEx,
};
use windows_sys::Win32::System::ProcessStatus::K32GetMappedFileNameW;

/// Calls `found` with the kernel's name of every file mapped by the process, as it goes. The process
/// must be open with PROCESS_QUERY_INFORMATION and PROCESS_VM_READ.
pub(crate) fn mapped_files(
    process: &OwnedHandle,
    pulse: &Heartbeat,
    mut found: impl FnMut(&[u16]),
) {
    let mut units = vec![0u16; 32_768];
    let mut at = 0usize;
    let mut last = 0usize;
    loop {
        pulse.beat();
        let mut region = MEMORY_BASIC_INFORMATION::default();
        let size = size_of::<MEMORY_BASIC_INFORMATION>();
        // SAFETY: the process is open; an address is only asked about; `region` is as long as said.
        let told =
            unsafe { VirtualQueryEx(process.as_raw_handle(), at as *const _, &mut region, size) };
        if told == 0 {
            return;
        }
        let base = region.AllocationBase as usize;
        if matches!(region.Type, MEM_IMAGE | MEM_MAPPED) && base != last {
            last = base;
            // SAFETY: the process is open; `units` is as long as said.
            let length = unsafe {
                K32GetMappedFileNameW(
                    process.as_raw_handle(),
                    region.AllocationBase,
                    units.as_mut_ptr(),
                    units.len() as u32,
                )
            };
            // Memory that is shared but belongs to no file has no name.
            if length != 0 {
                found(&units[..units.len().min(length as usize)]);
            }
        }
        let Some(next) = (region.BaseAddress as usize).checked_add(region.RegionSize) else {
            return;
        };
        if next <= at {
            return;
        }
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::windows::sys::process::open;
    use windows_sys::Win32::System::Threading::{PROCESS_QUERY_INFORMATION, PROCESS_VM_READ};

    #[test]
    fn this_program_and_its_libraries_are_mapped() {
        let rights = PROCESS_QUERY_INFORMATION | PROCESS_VM_READ;
        let process = open(std::process::id(), rights).unwrap();
        let mut names = Vec::new();
        mapped_files(&process, &Heartbeat::default(), |name| {
            names.push(String::from_utf16_lossy(name).to_lowercase())
        });
        let program = std::env::current_exe().unwrap();
        let program = program.file_name().unwrap().to_string_lossy().to_lowercase();
        assert!(names.iter().any(|name| name.ends_with(&program)), "{names:?}");
        assert!(names.iter().any(|name| name.ends_with(r"\kernel32.dll")), "{names:?}");
    }
}
