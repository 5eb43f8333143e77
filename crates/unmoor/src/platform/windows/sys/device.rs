//! Handles of devices and volumes: `CreateFileW`, `DeviceIoControl`, `FlushFileBuffers`.
//!
//! Win32: "Physical Disks and Volumes" on the page of `CreateFileW`; `DeviceIoControl`.

use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::sys::dynamic_library::Library;
use crate::platform::windows::sys::error_mode::quiet;
use crate::platform::windows::sys::utf16::wide;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::ptr::{null, null_mut};
use std::sync::{Arc, OnceLock};
use windows_sys::Win32::Foundation::{ERROR_GEN_FAILURE, GENERIC_READ, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_READ, FILE_SHARE_WRITE};
use windows_sys::Win32::System::IO::DeviceIoControl;

/// Access of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// No data access: enough for queries, open to every user, and mounts no file system.
    Query,
    /// Reading: enough to lock, dismount and eject, if the file system lets this user.
    Read,
    /// Reading and writing: needed to flush and to take a volume offline.
    Write,
    /// Reading, while no other handle may write: refused with ERROR_SHARING_VIOLATION if one does.
    ReadExclusive,
}

/// Open device or volume. Clones share the handle, which closes with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Device(Arc<File>);

impl Device {
    /// `CreateFileW` on a name of the Win32 device namespace: `\\.\E:`, `\\?\Volume{…}`.
    pub(crate) fn open(path: impl AsRef<OsStr>, access: Access) -> Result<Device, Code> {
        let rights = match access {
            Access::Query => 0,
            Access::Read | Access::ReadExclusive => GENERIC_READ,
            Access::Write => GENERIC_READ | GENERIC_WRITE,
        };
        let sharing = match access {
            Access::ReadExclusive => FILE_SHARE_READ,
            _ => FILE_SHARE_READ | FILE_SHARE_WRITE,
        };
        let _quiet = quiet();
        load_last_status();
        OpenOptions::new()
            .access_mode(rights)
            .share_mode(sharing)
            .open(path.as_ref())
            .map(|file| Device(Arc::new(file)))
            .map_err(|e| win32_parse::refined(code(&e), last_status()))
    }

    /// `FlushFileBuffers`.
    pub(crate) fn flush(&self) -> Result<(), Code> {
        self.0.sync_all().map_err(|e| code(&e))
    }

    /// `DeviceIoControl` without output.
    pub(crate) fn ioctl_in(&self, request: u32, input: &[u8]) -> Result<(), Code> {
        self.ioctl(request, input, 0).map(drop)
    }

    /// `DeviceIoControl`: returns what the driver wrote, at most `room` bytes.
    pub(crate) fn ioctl(&self, request: u32, input: &[u8], room: usize) -> Result<Vec<u8>, Code> {
        // Answers hold 64-bit numbers, and some drivers insist on aligned room for them.
        let mut answer = vec![0u64; room.div_ceil(8)];
        let size = u32::try_from(room).unwrap_or(u32::MAX);
        let input_size = u32::try_from(input.len()).unwrap_or(u32::MAX);
        let mut returned = 0u32;
        let _quiet = quiet();
        // SAFETY: the handle lives as long as `self`; both buffers are as long as said, and outlive
        // the call, which is synchronous because the handle was opened without FILE_FLAG_OVERLAPPED.
        let ok = unsafe {
            DeviceIoControl(
                self.0.as_raw_handle(),
                request,
                if input.is_empty() { null() } else { input.as_ptr().cast() },
                input_size,
                if room == 0 { null_mut() } else { answer.as_mut_ptr().cast() },
                size,
                &mut returned,
                null_mut(),
            )
        };
        if ok == 0 {
            let code = code(&io::Error::last_os_error());
            return Err(win32_parse::refined(code, last_status()));
        }
        let bytes: Vec<u8> = answer.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Ok(bytes.into_iter().take(room.min(returned as usize)).collect())
    }

    /// Returns the file, for other calls on the same handle.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

type LastStatus = unsafe extern "system" fn() -> u32;

/// `RtlGetLastNtStatus` of `ntdll.dll`, found before the first request: loading sets the status itself.
fn load_last_status() -> Option<LastStatus> {
    static FUNCTION: OnceLock<Option<LastStatus>> = OnceLock::new();
    *FUNCTION.get_or_init(|| {
        let library = Library::load("ntdll.dll")?;
        // SAFETY: the function takes nothing and returns an NTSTATUS; the library is never unloaded.
        unsafe { library.function::<LastStatus>(c"RtlGetLastNtStatus") }
    })
}

/// Returns the NTSTATUS of this thread's last failed call; 0 if it is not known.
fn last_status() -> u32 {
    // SAFETY: the function takes nothing and reads this thread's own state.
    load_last_status().map_or(0, |function| unsafe { function() })
}

/// Returns the Win32 code of an error of the standard library.
pub(crate) fn code(error: &io::Error) -> Code {
    error.raw_os_error().map_or(ERROR_GEN_FAILURE, |code| code as Code)
}

/// Returns true if there is a file or folder of this name. No handle stays open.
pub(crate) fn exists(path: &OsStr) -> bool {
    // A trailing NUL would cut the name short; `wide` is where that is thought of.
    let _quiet = quiet();
    wide(path).len() > 1 && std::fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use crate::platform::win32_parse;
    use windows_sys::Win32::Foundation as win32;

    /// The portable table of `win32_parse` has the numbers of the headers.
    #[test]
    fn the_names_of_the_error_table_are_those_of_the_headers() {
        macro_rules! check {
            ($($name:ident,)*) => {
                [$((win32::$name, stringify!($name))),*]
            };
        }
        let names = check![
            ERROR_INVALID_FUNCTION,
            ERROR_FILE_NOT_FOUND,
            ERROR_PATH_NOT_FOUND,
            ERROR_ACCESS_DENIED,
            ERROR_INVALID_HANDLE,
            ERROR_INVALID_DRIVE,
            ERROR_WRITE_PROTECT,
            ERROR_BAD_UNIT,
            ERROR_NOT_READY,
            ERROR_BAD_COMMAND,
            ERROR_CRC,
            ERROR_SECTOR_NOT_FOUND,
            ERROR_WRITE_FAULT,
            ERROR_GEN_FAILURE,
            ERROR_SHARING_VIOLATION,
            ERROR_WRONG_DISK,
            ERROR_LOCK_VIOLATION,
            ERROR_NOT_SUPPORTED,
            ERROR_DEV_NOT_EXIST,
            ERROR_INVALID_PARAMETER,
            ERROR_DISK_FULL,
            ERROR_SEM_TIMEOUT,
            ERROR_INVALID_NAME,
            ERROR_DIR_NOT_ROOT,
            ERROR_NOT_LOCKED,
            ERROR_BAD_PATHNAME,
            ERROR_VOLUME_DIRTY,
            ERROR_FILE_CORRUPT,
            ERROR_DEVICE_REMOVED,
            ERROR_OPEN_FILES,
            ERROR_BUSY,
            ERROR_FILENAME_EXCED_RANGE,
            ERROR_DELETE_PENDING,
            ERROR_NO_SUCH_DEVICE,
            ERROR_DEVICE_HARDWARE_ERROR,
            ERROR_OPERATION_ABORTED,
            ERROR_UNRECOGNIZED_VOLUME,
            ERROR_FILE_INVALID,
            ERROR_MEDIA_CHANGED,
            ERROR_BUS_RESET,
            ERROR_NO_MEDIA_IN_DRIVE,
            ERROR_IO_DEVICE,
            ERROR_DEVICE_REINITIALIZATION_NEEDED,
            ERROR_DEVICE_DOOR_OPEN,
            ERROR_DEVICE_NOT_CONNECTED,
            ERROR_CANCELLED,
            ERROR_PRIVILEGE_NOT_HELD,
            ERROR_DISK_CORRUPT,
            ERROR_TIMEOUT,
            ERROR_MEDIA_INCOMPATIBLE,
            ERROR_INVALID_OPERATION,
            ERROR_DEVICE_NOT_AVAILABLE,
            ERROR_NOT_A_REPARSE_POINT,
        ];
        for (code, name) in names {
            assert!(win32_parse::code_name(code).starts_with(&format!("{name} (")), "{name}");
        }
    }

    #[test]
    fn a_missing_device_cannot_be_opened() {
        let opened = crate::platform::windows::sys::device::Device::open(
            r"\\.\NoSuchDevice77",
            crate::platform::windows::sys::device::Access::Query,
        );
        let error = win32_parse::error(opened.unwrap_err(), "x", "open");
        assert_eq!(error.kind(), crate::ErrorKind::NoSuchTarget);
    }
}
