//! Handle of a process that `--kill` ends.

use crate::model::blocker::Process;
use crate::model::error::{Error, ErrorKind, Result};
use crate::platform::ProcessHandle;
use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, SYSTEM};
use crate::platform::windows::blockers::processes::process_list;
use crate::platform::windows::sys::cancellable_io::{Request, last};
use crate::platform::windows::sys::privilege::Privilege;
use crate::platform::windows::sys::{process, restart_manager};
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, WAIT_OBJECT_0};
use windows_sys::Win32::System::Threading::{
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess,
    WaitForSingleObject,
};

/// Process that is open. The handle means this process, also after its number is given to another one.
struct OpenProcess {
    handle: OwnedHandle,
    pid: u32,
    name: String,
    started: u64,
    /// `RmShutdown` waits for the process. Dropped, its thread is left behind.
    shutdown: Option<Request<Result<(), Code>>>,
}

/// Opens the process; returns `None` if it has ended.
///
/// # Errors
/// `Refused` for this program, its ancestors and the system; `NotPermitted`.
pub(crate) fn open_process(process: &Process) -> Result<Option<Box<dyn ProcessHandle>>> {
    let name = format!("{} (pid {})", process.name.to_string_lossy(), process.pid);
    let list = process_list::all().unwrap_or_default();
    let own = process.pid == std::process::id() || process_list::is_ancestor(&list, process.pid);
    if own || process.pid <= SYSTEM || list.is_empty() {
        let why = "is this program, one that started it, or a part of Windows";
        return Err(Error::new(ErrorKind::Refused, name, why));
    }
    let _debug = Privilege::Debug.enable();
    let rights = PROCESS_TERMINATE | PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION;
    let handle = match process::open(process.pid, rights) {
        Ok(handle) => handle,
        Err(ERROR_INVALID_PARAMETER) => return Ok(None),
        Err(code) => return Err(win32_parse::error(code, &name, "OpenProcess")),
    };
    let started = process::started(&handle);
    if started == 0 || started != process.started {
        return Ok(None);
    }
    Ok(Some(Box::new(OpenProcess { handle, pid: process.pid, name, started, shutdown: None })))
}

impl ProcessHandle for OpenProcess {
    fn terminate(&mut self) -> Result<&'static str> {
        let (pid, started) = (self.pid, self.started);
        if self.shutdown.is_none() {
            self.shutdown = Some(Request::start(move || restart_manager::shut_down(pid, started))?);
        }
        Ok("RmShutdown")
    }

    fn kill(&mut self) -> Result<&'static str> {
        // SAFETY: the process is open with PROCESS_TERMINATE.
        let ok = unsafe { TerminateProcess(self.handle.as_raw_handle(), 1) };
        let code = if ok == 0 { last() } else { 0 };
        match ok != 0 || self.has_exited() {
            true => Ok("TerminateProcess"),
            false => Err(win32_parse::error(code, &self.name, "TerminateProcess")),
        }
    }

    fn has_exited(&mut self) -> bool {
        // SAFETY: the process is open with SYNCHRONIZE.
        unsafe { WaitForSingleObject(self.handle.as_raw_handle(), 0) == WAIT_OBJECT_0 }
    }
}
