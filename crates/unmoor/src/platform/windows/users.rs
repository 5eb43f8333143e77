//! Which processes use a volume: the file system's own answer.
//!
//! `NtQueryInformationFile` with `FileProcessIdsUsingFileInformation` (Windows Vista), as the Windows
//! driver documentation of `FILE_INFORMATION_CLASS` has it. Asked of a volume, it names every process
//! that has anything on it open; no administrator's right is needed.

use super::control::Device;
use crate::platform::win_parse;
use std::mem::size_of;
use std::os::windows::io::AsRawHandle;
use windows_sys::Wdk::Storage::FileSystem::{
    FileProcessIdsUsingFileInformation, NtQueryInformationFile,
};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;

/// The processes that use this volume; `Err` with the NTSTATUS where the file system does not tell.
pub(super) fn processes(volume: &Device) -> Result<Vec<u32>, i32> {
    let mut answer = vec![0usize; 8192];
    let size = answer.len() * size_of::<usize>();
    let mut status = IO_STATUS_BLOCK::default();
    // SAFETY: the handle is open; the status and the answer outlive the call, which is synchronous
    // because the handle is; the answer is as long as said and aligned for pointers.
    let result = unsafe {
        NtQueryInformationFile(
            volume.file().as_raw_handle(),
            &mut status,
            answer.as_mut_ptr().cast(),
            size as u32,
            FileProcessIdsUsingFileInformation,
        )
    };
    if result != 0 {
        return Err(result);
    }
    let length = status.Information.min(size);
    let bytes: Vec<u8> = answer.iter().flat_map(|w| w.to_ne_bytes()).take(length).collect();
    let mut pids = win_parse::process_ids(&bytes, size_of::<usize>()).unwrap_or_default();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}
