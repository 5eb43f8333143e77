//! Duplicates of handles of other processes, and the files behind them.
//!
//! Win32: pages of `DuplicateHandle`, `GetFileType`,
//! `GetFileInformationByHandleEx` and `NtQueryObject`. Any of them may wait for as long as the file is
//! kept by the request of another program: they are asked on a thread that can be left behind.

use crate::platform::win32_parse::{Code, PointedAnswer};
use crate::platform::windows::sys::cancellable_io::last;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;
use windows_sys::Wdk::Foundation::NtQueryObject;
use windows_sys::Win32::Foundation::{DUPLICATE_SAME_ACCESS, DuplicateHandle};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_STANDARD_INFO, FILE_TYPE_DISK, FileStandardInfo, GetFileInformationByHandleEx, GetFileType,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

/// `DuplicateHandle`, with the rights that the other one has.
///
/// # Errors
/// ERROR_INVALID_HANDLE where it was closed meanwhile.
pub(crate) fn duplicate(process: &OwnedHandle, value: u64) -> Result<OwnedHandle, Code> {
    let mut copy = null_mut();
    // SAFETY: the process is open with PROCESS_DUP_HANDLE; a value that is no handle there is refused;
    // `copy` outlives the call.
    let ok = unsafe {
        DuplicateHandle(
            process.as_raw_handle(),
            value as usize as *mut _,
            GetCurrentProcess(),
            &mut copy,
            0,
            0,
            DUPLICATE_SAME_ACCESS,
        )
    };
    match ok == 0 || copy.is_null() {
        true => Err(last()),
        // SAFETY: the handle is ours alone, from just now, and not null.
        false => Ok(unsafe { OwnedHandle::from_raw_handle(copy) }),
    }
}

/// `GetFileType`: is it a file on a disk, not a pipe, a console or a socket, whose names are never
/// asked for: a pipe answers that only when its other end has nothing more to say.
pub(crate) fn is_on_disk(file: &OwnedHandle) -> bool {
    // SAFETY: the handle is open.
    unsafe { GetFileType(file.as_raw_handle()) == FILE_TYPE_DISK }
}

/// `NtQueryObject(ObjectNameInformation)`: `\Device\HarddiskVolume5\letter.txt`.
pub(crate) fn name(file: &OwnedHandle) -> Option<Vec<u16>> {
    /// `ObjectNameInformation` of `ntifs.h`.
    const OBJECT_NAME: i32 = 1;
    // The longest name, with the structure in front.
    let mut answer = vec![0u64; (32_768 * 2 + 32) / 8];
    let size = answer.len() * 8;
    let mut returned = 0;
    // SAFETY: the handle is open; `answer` is `size` bytes long, aligned for pointers, and outlives the
    // call.
    let status = unsafe {
        NtQueryObject(
            file.as_raw_handle(),
            OBJECT_NAME,
            answer.as_mut_ptr().cast(),
            size as u32,
            &mut returned,
        )
    };
    if status != 0 {
        return None;
    }
    let base = answer.as_ptr() as usize as u64;
    let length = size.min(returned as usize).div_ceil(8);
    let bytes: Vec<u8> = answer[..length].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let name = PointedAnswer::new(&bytes, base, size_of::<usize>()).counted(0)?;
    (!name.is_empty()).then_some(name)
}

/// Type of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) directory: bool,
    /// The file is deleted when its last handle closes.
    pub(crate) deleted: bool,
}

/// `GetFileInformationByHandleEx(FileStandardInfo)`; the default where it does not tell.
pub(crate) fn sort(file: &OwnedHandle) -> Sort {
    let mut info = FILE_STANDARD_INFO::default();
    let size = size_of::<FILE_STANDARD_INFO>() as u32;
    // SAFETY: the handle is open; `info` is as long as said.
    let ok = unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            FileStandardInfo,
            (&raw mut info).cast(),
            size,
        )
    };
    match ok {
        0 => Sort::default(),
        _ => Sort { directory: info.Directory, deleted: info.DeletePending },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::windows::sys::process::open;
    use std::fs::File;
    use windows_sys::Win32::System::Threading::PROCESS_DUP_HANDLE;

    fn own(value: &impl AsRawHandle) -> OwnedHandle {
        let process = open(std::process::id(), PROCESS_DUP_HANDLE).unwrap();
        duplicate(&process, value.as_raw_handle() as usize as u64).unwrap()
    }

    #[test]
    fn a_duplicate_tells_what_it_is_of() {
        let program = std::env::current_exe().unwrap();
        let copy = own(&File::open(&program).unwrap());
        assert!(is_on_disk(&copy));
        assert_eq!(sort(&copy), Sort::default());
        let name = String::from_utf16_lossy(&name(&copy).unwrap()).to_lowercase();
        let file = program.file_name().unwrap().to_string_lossy().to_lowercase();
        assert!(name.ends_with(&file), "{name}");
    }

    #[test]
    fn a_pipe_is_no_file_on_a_disk() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(!is_on_disk(&own(&reader)));
    }

    #[test]
    fn an_invalid_handle_cannot_be_duplicated() {
        let process = open(std::process::id(), PROCESS_DUP_HANDLE).unwrap();
        assert!(duplicate(&process, 0xfff_fff0).is_err());
        assert!(open(0x7fff_fff0, PROCESS_DUP_HANDLE).is_err());
    }
}
