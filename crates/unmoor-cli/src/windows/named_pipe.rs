//! Named pipes of one process to another.
//!
//! Win32: `CreateNamedPipeW`, `ConnectNamedPipe`, `SetStdHandle`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, IntoRawHandle};
use std::ptr::{null, null_mut};
use windows_sys::Win32::Foundation::{ERROR_PIPE_CONNECTED, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_ACCESS_INBOUND, PIPE_ACCESS_OUTBOUND,
    SECURITY_IDENTIFICATION,
};
use windows_sys::Win32::System::Console::{STD_HANDLE, SetStdHandle};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS,
    PIPE_TYPE_BYTE, PIPE_WAIT,
};

/// Size of a pipe's buffer, in bytes.
const BUFFER: u32 = 4096;

/// Creates a pipe that this process reads. Fails if the name exists.
pub fn create_to_read(name: &str) -> io::Result<File> {
    create(name, PIPE_ACCESS_INBOUND)
}

/// Creates a pipe that this process writes. Fails if the name exists.
pub fn create_to_write(name: &str) -> io::Result<File> {
    create(name, PIPE_ACCESS_OUTBOUND)
}

fn create(name: &str, access: u32) -> io::Result<File> {
    let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
    let mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
    let access = access | FILE_FLAG_FIRST_PIPE_INSTANCE;
    // SAFETY: `name` ends in a NUL; without attributes the pipe is this user's and the administrators'.
    let pipe =
        unsafe { CreateNamedPipeW(name.as_ptr(), access, mode, 1, BUFFER, BUFFER, 0, null()) };
    if pipe == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is ours alone, from just now.
    Ok(unsafe { File::from_raw_handle(pipe) })
}

/// Waits until another process has opened the pipe.
pub fn wait_for_client(pipe: &File) -> io::Result<()> {
    // SAFETY: the handle is open, and not for overlapped requests.
    if unsafe { ConnectNamedPipe(pipe.as_raw_handle(), null_mut()) } != 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(code) if code as u32 == ERROR_PIPE_CONNECTED => Ok(()),
        _ => Err(error),
    }
}

/// Opens the other end of a pipe. Its server may ask for this user's name, and not act as this user.
pub fn open(name: &str, to_write: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(!to_write).write(to_write).security_qos_flags(SECURITY_IDENTIFICATION);
    options.open(name)
}

/// Makes this the standard output or standard error of the process, until its end.
pub fn set_standard_handle(which: STD_HANDLE, pipe: File) {
    // SAFETY: the handle is open, and never closed.
    unsafe { SetStdHandle(which, pipe.into_raw_handle()) };
}
