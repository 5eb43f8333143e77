//! Description of a process that blocks, and what would close it.

use crate::model::blocker::{Blocker, BlockerKind, Process, Usage, UsageKind};
use crate::platform::win32_parse;
use crate::platform::win32_parse::Holder;
use crate::platform::windows::blockers::processes::process_list::{Listed, is_ancestor};
use crate::platform::windows::blockers::processes::{service_list, window_titles};
use crate::platform::windows::sys::restart_manager::Application;
use crate::platform::windows::sys::{process, restart_manager};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use windows_sys::Win32::System::Threading::PROCESS_QUERY_LIMITED_INFORMATION;

/// Details of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessInfo {
    pub(crate) pid: u32,
    program: Option<OsString>,
    command_line: Vec<OsString>,
    pub(crate) user: Option<String>,
    session: Option<u32>,
    /// Start time as a `FILETIME`; 0 if it is not known.
    pub(crate) started: u64,
}

impl ProcessInfo {
    /// Queries the process, without the user's name ([`account`](crate::platform::windows::blockers::processes::account)).
    pub(crate) fn of(pid: u32) -> ProcessInfo {
        let session = process::session(pid);
        match process::open(pid, PROCESS_QUERY_LIMITED_INFORMATION) {
            Ok(opened) => ProcessInfo {
                pid,
                program: process::program(&opened),
                command_line: process::command_line(&opened),
                user: None,
                session,
                started: process::started(&opened),
            },
            Err(_) => ProcessInfo { session, ..ProcessInfo::unknown(pid) },
        }
    }

    /// Returns a process of which only the number is known.
    pub(crate) fn unknown(pid: u32) -> ProcessInfo {
        ProcessInfo { pid, ..ProcessInfo::default() }
    }
}

/// Further details of processes, any of which may be missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Annotations {
    services: BTreeMap<u32, Vec<String>>,
    windows: BTreeMap<u32, String>,
    applications: BTreeMap<u32, Application>,
}

impl Annotations {
    /// Services, by the service manager.
    pub(crate) fn services() -> Annotations {
        let services = service_list::by_process().unwrap_or_default();
        Annotations { services, ..Annotations::default() }
    }

    /// Titles of windows.
    pub(crate) fn windows() -> Annotations {
        Annotations { windows: window_titles::by_process(), ..Annotations::default() }
    }

    /// The Restart Manager's, of these processes: numbers, and when they began.
    pub(crate) fn applications(processes: &[(u32, u64)]) -> Annotations {
        let applications = restart_manager::applications(processes).unwrap_or_default();
        Annotations { applications, ..Annotations::default() }
    }

    /// Adds the details of another source.
    pub(crate) fn add(&mut self, other: Annotations) {
        self.services.extend(other.services);
        self.windows.extend(other.windows);
        self.applications.extend(other.applications);
    }
}

/// Returns the process as a blocker, with its uses of the drive.
pub(crate) fn blocker(
    process_info: &ProcessInfo,
    uses: Vec<Usage>,
    details: &Annotations,
    list: &[Listed],
    is_open: bool,
) -> Blocker {
    let pid = process_info.pid;
    let listed = list.iter().find(|one| one.pid == pid).map(|one| one.name.clone());
    let file = process_info.program.as_ref().and_then(|path| Path::new(path).file_name());
    let name = match (file, listed) {
        (Some(file), _) => file.to_os_string(),
        (None, Some(listed)) if !listed.is_empty() => listed,
        (None, _) if pid == win32_parse::SYSTEM => "System".into(),
        (None, _) => "a process of another user".into(),
    };
    let application = details.applications.get(&pid);
    let services = details.services.get(&pid).cloned().unwrap_or_default();
    let unit = match services.is_empty() {
        false => Some(services.join(", ")),
        true => process_info.session.map(|session| format!("session {session}")),
    };
    let all = |kinds: &[UsageKind]| uses.iter().all(|used| kinds.contains(&used.kind));
    let holder = Holder {
        pid,
        is_this: pid == std::process::id(),
        is_ancestor: is_ancestor(list, pid),
        is_explorer: application.is_some_and(|a| a.is_explorer)
            || name.eq_ignore_ascii_case("explorer.exe"),
        is_critical: application.is_some_and(|a| a.is_critical),
        is_open,
        services,
        window: details.windows.get(&pid).cloned(),
        writing: uses.iter().any(|used| used.writing),
        only_there: all(&[UsageKind::WorkingDirectory]),
        only_runs: all(&[
            UsageKind::Executable,
            UsageKind::MappedFile,
            UsageKind::WorkingDirectory,
        ]),
    };
    let (words, command) = win32_parse::holder(&holder);
    let mut description = match application {
        Some(Application { name: known, .. }) if !known.is_empty() => {
            format!("{known}, {} (pid {pid})", name.to_string_lossy())
        }
        _ => format!("{} (pid {pid})", name.to_string_lossy()),
    };
    if let Some(program) = &process_info.program {
        description = format!("{description}: {}", program.to_string_lossy());
    }
    let mut blocker = Blocker::new(BlockerKind::Process, description).with_remedy(words, command);
    blocker.uses = uses;
    blocker.role = win32_parse::role(&holder);
    blocker.process = Some(Process {
        pid,
        name,
        command_line: match process_info.command_line.is_empty() {
            true => process_info.program.iter().cloned().collect(),
            false => process_info.command_line.clone(),
        },
        user: process_info.user.clone(),
        unit,
        started: process_info.started,
    });
    blocker
}
