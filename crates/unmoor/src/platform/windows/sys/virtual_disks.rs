//! Virtual disks and discs, and the image files they lie in.
//!
//! Win32: `GetStorageDependencyInformation`, `OpenVirtualDisk`, `DetachVirtualDisk` (Windows 7). Disks on a
//! virtual bus are asked. The library is loaded when it is needed: small editions lack it.

use crate::model::drive::Bus;
use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, DeviceNumber, ImageFile};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::dynamic_library::Library;
use crate::platform::windows::sys::utf16::wide;
use crate::platform::windows::sys::{devnode, storage};
use std::ffi::OsStr;
use std::os::windows::io::AsRawHandle;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, ERROR_NOT_SUPPORTED, HANDLE};
use windows_sys::Win32::Storage::Vhd::{
    GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE, GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES,
    STORAGE_DEPENDENCY_INFO_VERSION_2, VIRTUAL_DISK_ACCESS_DETACH, VIRTUAL_DISK_ACCESS_READ,
    VIRTUAL_STORAGE_TYPE,
};
use windows_sys::core::PCWSTR;

type Open = unsafe extern "system" fn(
    *const VIRTUAL_STORAGE_TYPE,
    PCWSTR,
    i32,
    i32,
    *const core::ffi::c_void,
    *mut HANDLE,
) -> u32;
type Detach = unsafe extern "system" fn(HANDLE, i32, u32) -> u32;
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
        // Opening a real disk to read could spin it up.
        let query = Device::open(&disk.path, Access::Query).ok()?;
        storage::descriptor(&query).filter(|known| known.bus == Bus::Virtual)?;
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

/// `OpenVirtualDisk`, `DetachVirtualDisk`: detaches the virtual disk or disc of this image file.
///
/// # Errors
/// ERROR_NOT_SUPPORTED on an edition without the library; what the calls return.
pub(crate) fn detach(image: &OsStr) -> Result<(), Code> {
    let library = Library::load("virtdisk.dll").ok_or(ERROR_NOT_SUPPORTED)?;
    // SAFETY: the functions have these signatures in `virtdisk.h`; the library is never unloaded.
    let functions = unsafe {
        library
            .function::<Open>(c"OpenVirtualDisk")
            .zip(library.function::<Detach>(c"DetachVirtualDisk"))
    };
    let (open, detach) = functions.ok_or(ERROR_NOT_SUPPORTED)?;
    let image = wide(image);
    // Type and vendor unknown: Windows finds out from the file.
    let storage_type = VIRTUAL_STORAGE_TYPE::default();
    let mut result = Err(ERROR_NOT_SUPPORTED);
    // Disc images want the whole of the read access, of which detaching is a part.
    for access in [VIRTUAL_DISK_ACCESS_DETACH, VIRTUAL_DISK_ACCESS_READ] {
        let mut handle: HANDLE = std::ptr::null_mut();
        // SAFETY: `image` ends in a NUL; type and handle outlive the call; parameters may be null.
        let status = unsafe {
            open(&storage_type, image.as_ptr(), access, 0, std::ptr::null(), &mut handle)
        };
        if status != 0 {
            result = Err(status);
            continue;
        }
        // SAFETY: the handle is ours alone, from just now.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        // SAFETY: the handle is open; no flags.
        return match unsafe { detach(handle.as_raw_handle(), 0, 0) } {
            0 => Ok(()),
            status => Err(status),
        };
    }
    result
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
