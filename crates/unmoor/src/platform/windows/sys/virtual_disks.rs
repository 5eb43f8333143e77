//! Virtual disks and discs, and the image files they lie in.
//!
//! Made from the Win32 documentation of `GetStorageDependencyInformation` (Windows 7). Every disk is
//! asked: a real one answers that it lies in no file. `GetAllAttachedVirtualDiskPhysicalPaths` would say
//! which ones to ask, but not before Windows 8. The library is loaded when it is needed.

use crate::platform::win32_parse;
use crate::platform::win32_parse::{DeviceNumber, ImageFile};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::devnode;
use crate::platform::windows::sys::dynamic_library::Library;
use std::os::windows::io::AsRawHandle;
use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, HANDLE};
use windows_sys::Win32::Storage::Vhd::{
    GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE, GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES,
    STORAGE_DEPENDENCY_INFO_VERSION_2,
};

type Ask = unsafe extern "system" fn(HANDLE, i32, u32, *mut core::ffi::c_void, *mut u32) -> u32;

/// A virtual disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VirtualDisk {
    /// Its device number.
    pub(crate) number: DeviceNumber,
    /// The files it lies in: several for a differencing disk.
    pub(crate) files: Vec<ImageFile>,
}

/// Every virtual disk that is attached.
pub(crate) fn all() -> Vec<VirtualDisk> {
    let Some(library) = Library::load("virtdisk.dll") else { return Vec::new() };
    // SAFETY: the function has this signature in `virtdisk.h`; the library is never unloaded.
    let ask = unsafe { library.function::<Ask>(c"GetStorageDependencyInformation") };
    let Some(ask) = ask else { return Vec::new() };
    let disks = devnode::disks().into_iter();
    let one = |disk: devnode::Disk| {
        // Some drivers want to see that the asker may read.
        let opened = [Access::Query, Access::Read].into_iter();
        let mut answers = opened.filter_map(|access| {
            let device = Device::open(&disk.path, access).ok()?;
            files(ask, &device)
        });
        let files = answers.find(|files| !files.is_empty())?;
        Some(VirtualDisk { number: disk.number, files })
    };
    disks.filter_map(one).collect()
}

fn files(ask: Ask, device: &Device) -> Option<Vec<ImageFile>> {
    let mut room = 8192usize;
    while room <= 1 << 20 {
        let mut answer = vec![0u64; room / 8];
        answer[0] = STORAGE_DEPENDENCY_INFO_VERSION_2 as u64;
        let mut used = 0u32;
        // SAFETY: the handle is open; `answer` is `room` bytes long, aligned for pointers, and begins
        // with the version that is asked for.
        let status = unsafe {
            ask(
                device.file().as_raw_handle(),
                GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES | GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE,
                room as u32,
                answer.as_mut_ptr().cast(),
                &mut used,
            )
        };
        match status {
            0 => {
                let base = answer.as_ptr() as usize as u64;
                let bytes: Vec<u8> = answer.iter().flat_map(|word| word.to_ne_bytes()).collect();
                return Some(win32_parse::image_files(&bytes, base, size_of::<usize>()));
            }
            ERROR_INSUFFICIENT_BUFFER => room = (used as usize).max(room * 2).next_multiple_of(8),
            _ => return None,
        }
    }
    None
}
