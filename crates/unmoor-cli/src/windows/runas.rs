//! Starts a program as administrator, after Windows has asked the user.
//!
//! Win32: `ShellExecuteExW` with the verb `runas`, `GetTokenInformation` (`TokenElevation`).

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr::null_mut;
use std::time::Duration;
use windows_sys::Win32::Foundation::WAIT_OBJECT_0;
use windows_sys::Win32::Security::{
    GetTokenInformation, TOKEN_ELEVATION, TOKEN_QUERY, TokenElevation,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetExitCodeProcess, OpenProcessToken, WaitForSingleObject,
};
use windows_sys::Win32::UI::Shell::{
    SEE_MASK_FLAG_NO_UI, SEE_MASK_NOASYNC, SEE_MASK_NOCLOSEPROCESS, SHELLEXECUTEINFOW,
    ShellExecuteExW,
};
use windows_sys::Win32::UI::WindowsAndMessaging::SW_HIDE;

/// Returns true if this process has an administrator's full rights, and if Windows does not tell.
pub fn is_elevated() -> bool {
    let mut token = null_mut();
    // SAFETY: our own process; `token` outlives the call.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &mut token) } == 0 {
        return true;
    }
    // SAFETY: the handle is ours alone, from just now.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut elevation = TOKEN_ELEVATION { TokenIsElevated: 1 };
    let mut written = 0;
    // SAFETY: the token is open; `elevation` is as long as said.
    unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenElevation,
            (&raw mut elevation).cast(),
            size_of::<TOKEN_ELEVATION>() as u32,
            &mut written,
        )
    };
    elevation.TokenIsElevated != 0
}

/// Program that runs as administrator.
pub struct Elevated(OwnedHandle);

impl Elevated {
    /// Starts a program without a window, after Windows has asked the user.
    ///
    /// # Errors
    /// `ERROR_CANCELLED` (1223) if the user declined.
    pub fn start(program: &Path, arguments: &OsStr, directory: &Path) -> io::Result<Self> {
        let verb = wide("runas".as_ref());
        let program = wide(program.as_os_str());
        let arguments = wide(arguments);
        let directory = wide(directory.as_os_str());
        let mut info = SHELLEXECUTEINFOW {
            cbSize: size_of::<SHELLEXECUTEINFOW>() as u32,
            fMask: SEE_MASK_NOCLOSEPROCESS | SEE_MASK_NOASYNC | SEE_MASK_FLAG_NO_UI,
            lpVerb: verb.as_ptr(),
            lpFile: program.as_ptr(),
            lpParameters: arguments.as_ptr(),
            lpDirectory: directory.as_ptr(),
            nShow: SW_HIDE,
            ..Default::default()
        };
        // SAFETY: the size is said; the texts end in a NUL and outlive the call.
        if unsafe { ShellExecuteExW(&mut info) } == 0 {
            return Err(io::Error::last_os_error());
        }
        if info.hProcess.is_null() {
            return Err(io::Error::other("Windows returned no process"));
        }
        // SAFETY: SEE_MASK_NOCLOSEPROCESS leaves the handle to us.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(info.hProcess) }))
    }

    /// Waits for the end of the program and returns its exit code, or `None` after this time.
    pub fn wait(&self, time: Duration) -> io::Result<Option<u32>> {
        let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX - 1);
        // SAFETY: the handle is open.
        if unsafe { WaitForSingleObject(self.0.as_raw_handle(), milliseconds) } != WAIT_OBJECT_0 {
            return Ok(None);
        }
        let mut code = 0;
        // SAFETY: the handle is open; `code` outlives the call.
        match unsafe { GetExitCodeProcess(self.0.as_raw_handle(), &mut code) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(Some(code)),
        }
    }
}

fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}
