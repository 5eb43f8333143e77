//! Restart Manager: names of applications, and their orderly end.
//!
//! Win32: `RmStartSession`, `RmRegisterResources`, `RmGetList`, `RmShutdown`, `RmEndSession`. The library is loaded when it is needed: small editions of Windows come without it.

use crate::platform::win32_parse::Code;
use crate::platform::windows::sys::dynamic_library::Library;
use crate::platform::windows::sys::utf16::{lossy, wide};
use std::collections::BTreeMap;
use std::ptr::null;
use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, ERROR_NOT_SUPPORTED, FILETIME};
use windows_sys::Win32::System::RestartManager::{
    CCH_RM_SESSION_KEY, RM_PROCESS_INFO, RM_UNIQUE_PROCESS, RmCritical, RmExplorer,
};
use windows_sys::core::{PCWSTR, PWSTR};

type Start = unsafe extern "system" fn(*mut u32, u32, PWSTR) -> u32;
type Register = unsafe extern "system" fn(
    u32,
    u32,
    *const PCWSTR,
    u32,
    *const RM_UNIQUE_PROCESS,
    u32,
    *const PCWSTR,
) -> u32;
type List =
    unsafe extern "system" fn(u32, *mut u32, *mut u32, *mut RM_PROCESS_INFO, *mut u32) -> u32;
type Shutdown = unsafe extern "system" fn(u32, u32, *const core::ffi::c_void) -> u32;
type Restart = unsafe extern "system" fn(u32, u32, *const core::ffi::c_void) -> u32;
type End = unsafe extern "system" fn(u32) -> u32;

/// Application of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Application {
    /// Name that its maker gave it: `Notepad`.
    pub(crate) name: String,
    /// Windows Explorer.
    pub(crate) is_explorer: bool,
    /// Critical: Windows ends with it.
    pub(crate) is_critical: bool,
}

/// Session, ended when dropped. A user has at most 64.
struct Session(u32, End);

/// Session that has asked a program or service to end.
pub(crate) struct ShutDown(Session, Library);

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the session came from RmStartSession and is ended once.
        unsafe { (self.1)(self.0) };
    }
}

impl Session {
    /// `RmStartSession`, `RmRegisterResources`: registers processes, by number and start time, or a
    /// service by its short name.
    fn with(
        library: Library,
        processes: &[(u32, u64)],
        service: Option<&str>,
    ) -> Result<Session, Code> {
        // SAFETY: the functions have these signatures in `restartmanager.h`; the library is never
        // unloaded.
        let functions = unsafe {
            (|| {
                Some((
                    library.function::<Start>(c"RmStartSession")?,
                    library.function::<Register>(c"RmRegisterResources")?,
                    library.function::<End>(c"RmEndSession")?,
                ))
            })()
        };
        let (start, register, end) = functions.ok_or(ERROR_NOT_SUPPORTED)?;
        let mut session = 0u32;
        let mut key = [0u16; CCH_RM_SESSION_KEY as usize + 1];
        // SAFETY: `session` and `key`, which is as long as the documentation wants it, outlive the call.
        let status = unsafe { start(&mut session, 0, key.as_mut_ptr()) };
        if status != 0 {
            return Err(status);
        }
        let session = Session(session, end);
        let unique: Vec<RM_UNIQUE_PROCESS> = processes
            .iter()
            .map(|&(pid, started)| RM_UNIQUE_PROCESS {
                dwProcessId: pid,
                ProcessStartTime: FILETIME {
                    dwLowDateTime: started as u32,
                    dwHighDateTime: (started >> 32) as u32,
                },
            })
            .collect();
        let count = unique.len() as u32;
        let service = service.map(wide);
        let names: Vec<PCWSTR> = service.iter().map(|name| name.as_ptr()).collect();
        let services = names.len() as u32;
        // SAFETY: the session is open; `unique` and `names` are as long as said; each name ends in a NUL
        // and outlives the call; no files.
        let status = unsafe {
            register(session.0, 0, null(), count, unique.as_ptr(), services, names.as_ptr())
        };
        if status == 0 { Ok(session) } else { Err(status) }
    }
}

/// `RmShutdown`: asks a process to end, as before an update: its windows are asked to close and may ask
/// whether to save. A service, given by its short name, is stopped. Waits until it has ended or has
/// refused, which its process tells.
///
/// # Errors
/// What the Restart Manager returns; ERROR_NOT_SUPPORTED if there is none.
pub(crate) fn shut_down(process: (u32, u64), service: Option<&str>) -> Result<ShutDown, Code> {
    let library = Library::load("rstrtmgr.dll").ok_or(ERROR_NOT_SUPPORTED)?;
    // SAFETY: as in `Session::with`.
    let shutdown = unsafe { library.function::<Shutdown>(c"RmShutdown") };
    let shutdown = shutdown.ok_or(ERROR_NOT_SUPPORTED)?;
    let processes = [process];
    let session = Session::with(library, &processes[service.iter().len()..], service)?;
    // SAFETY: the session is open; no callback is given. Without flags nothing is ended by force.
    unsafe { shutdown(session.0, 0, null()) };
    Ok(ShutDown(session, library))
}

impl ShutDown {
    /// `RmRestart`: starts the service again.
    pub(crate) fn restart(self) -> Result<(), Code> {
        // SAFETY: as in `Session::with`.
        let restart = unsafe { self.1.function::<Restart>(c"RmRestart") };
        let restart = restart.ok_or(ERROR_NOT_SUPPORTED)?;
        // SAFETY: the session is open, and shut the service down; no callback is given.
        match unsafe { restart(self.0.0, 0, null()) } {
            0 => Ok(()),
            status => Err(status),
        }
    }
}

/// Returns what is known of these processes, given by number and start time.
///
/// # Errors
/// What the Restart Manager returns; ERROR_NOT_SUPPORTED if there is none.
pub(crate) fn applications(processes: &[(u32, u64)]) -> Result<BTreeMap<u32, Application>, Code> {
    let library = Library::load("rstrtmgr.dll").ok_or(ERROR_NOT_SUPPORTED)?;
    // SAFETY: as in `Session::with`.
    let list = unsafe { library.function::<List>(c"RmGetList") }.ok_or(ERROR_NOT_SUPPORTED)?;
    let session = Session::with(library, processes, None)?;
    let mut room = processes.len() as u32 + 8;
    // More may come between two calls; three are enough for anything but mischief.
    for _ in 0..3 {
        let mut infos = vec![RM_PROCESS_INFO::default(); room as usize];
        let (mut needed, mut count, mut reasons) = (0u32, room, 0u32);
        // SAFETY: the session is open; `infos` has room for `count` records.
        let status =
            unsafe { list(session.0, &mut needed, &mut count, infos.as_mut_ptr(), &mut reasons) };
        match status {
            0 => {
                infos.truncate(count as usize);
                return Ok(infos.iter().map(application).collect());
            }
            ERROR_MORE_DATA if needed > room && needed < 1 << 16 => room = needed + 8,
            other => return Err(other),
        }
    }
    Err(ERROR_MORE_DATA)
}

fn application(info: &RM_PROCESS_INFO) -> (u32, Application) {
    let application = Application {
        name: lossy(&info.strAppName),
        is_explorer: info.ApplicationType == RmExplorer,
        is_critical: info.ApplicationType == RmCritical,
    };
    (info.Process.dwProcessId, application)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_restart_manager_answers_or_gives_a_reason() {
        // Wine answers nothing.
        let known = applications(&[(std::process::id(), 0)]).unwrap_or_default();
        assert!(known.len() <= 1, "{known:?}");
    }
}
