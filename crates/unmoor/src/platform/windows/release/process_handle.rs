//! Handle of a process that `--kill` ends.

use crate::model::blocker::Process;
use crate::model::error::{Error, ErrorKind, Result};
use crate::platform::ProcessHandle;
use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, SYSTEM};
use crate::platform::windows::blockers::processes::{process_list, service_list};
use crate::platform::windows::sys::cancellable_io::{Request, last, run_for};
use crate::platform::windows::sys::privilege::Privilege;
use crate::platform::windows::sys::restart_manager::ShutDown;
use crate::platform::windows::sys::{process, restart_manager};
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::time::Duration;
use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, WAIT_OBJECT_0};
use windows_sys::Win32::System::Threading::{
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess,
    WaitForSingleObject,
};

/// Time for the service manager to answer, and for a service to stop or start.
const SERVICES_TIMEOUT: Duration = Duration::from_secs(30);

/// Process that is open. The handle means this process, also after its number is given to another one.
struct OpenProcess {
    handle: OwnedHandle,
    pid: u32,
    name: String,
    started: u64,
    /// Service that has the process for itself.
    service: Option<String>,
    /// `RmShutdown` waits for the process. Dropped, its thread is left behind.
    shutdown: Option<Request<Result<Option<ShutDown>, Code>>>,
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
    let service = service_of(process.pid, &name)?;
    let rights = PROCESS_SYNCHRONIZE
        | PROCESS_QUERY_LIMITED_INFORMATION
        | if service.is_none() { PROCESS_TERMINATE } else { 0 };
    let handle = match process::open(process.pid, rights) {
        Ok(handle) => handle,
        Err(ERROR_INVALID_PARAMETER) => return Ok(None),
        Err(code) => return Err(win32_parse::error(code, &name, "OpenProcess")),
    };
    let started = process::started(&handle);
    if started == 0 || started != process.started {
        return Ok(None);
    }
    let pid = process.pid;
    Ok(Some(Box::new(OpenProcess { handle, pid, name, started, service, shutdown: None })))
}

/// Returns the service that runs in this process, alone.
fn service_of(pid: u32, name: &str) -> Result<Option<String>> {
    let services = run_for(SERVICES_TIMEOUT, service_list::by_process)?
        .map_err(|code| win32_parse::error(code, name, "EnumServicesStatusEx"))?;
    match services.get(&pid).map(Vec::as_slice).unwrap_or_default() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        several => {
            let why = format!("several services run in it: {}", several.join(", "));
            Err(Error::new(ErrorKind::Refused, name, why))
        }
    }
}

impl ProcessHandle for OpenProcess {
    fn terminate(&mut self) -> Result<&'static str> {
        let (process, service) = ((self.pid, self.started), self.service.clone());
        if self.shutdown.is_none() {
            let call = move || {
                let done = restart_manager::shut_down(process, service.as_deref())?;
                // A program's session is not needed any more, and a user has at most 64.
                Ok(service.is_some().then_some(done))
            };
            self.shutdown = Some(Request::start(call)?);
        }
        Ok("RmShutdown")
    }

    fn kill(&mut self) -> Result<&'static str> {
        if let Some(service) = &self.service {
            let why = format!("the service {service} does not stop, and is not ended by force");
            return Err(Error::new(ErrorKind::Refused, &self.name, why));
        }
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

    fn restart(&mut self) -> Result<Option<&'static str>> {
        let (Some(service), Some(shutdown)) = (self.service.clone(), self.shutdown.take()) else {
            return Ok(None);
        };
        let stopped = shutdown.wait_for(SERVICES_TIMEOUT)?;
        let stopped = stopped.ok().flatten().filter(|_| self.has_exited());
        let Some(stopped) = stopped else { return Ok(None) };
        match run_for(SERVICES_TIMEOUT, move || stopped.restart())? {
            Ok(()) => Ok(Some("RmRestart")),
            Err(code) => Err(win32_parse::error(code, &service, "RmRestart")),
        }
    }
}

/// A service that was stopped is started again, whatever happens.
impl Drop for OpenProcess {
    fn drop(&mut self) {
        let _ = self.restart();
    }
}
