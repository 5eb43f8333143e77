//! Scan for blockers, on threads that may be left behind.
//!
//! A dead server, or a process whose memory lock is taken, can keep a thread in the kernel for good. The caller
//! waits outside of such threads, and takes what was found by the end of its time ([`stuck_pool`]).

pub(crate) mod deadline;
pub(crate) mod device_filter;
pub(crate) mod limitations;
mod prepare;
#[cfg(test)]
mod remote_tests;
pub(crate) mod result;
pub(crate) mod shared_scan;
#[cfg(test)]
mod source_tests;

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, BlockerScan, Process, Usage};
use crate::model::drive::Drive;
use crate::platform::linux::blockers::kernel_users;
use crate::platform::linux::blockers::mounts::ns_members::is_kernel_thread;
use crate::platform::linux::blockers::processes::bpf_scan::{Suspect, recorded_uses};
use crate::platform::linux::blockers::processes::cgroup::Owner;
use crate::platform::linux::blockers::processes::open_files::{ProcessScanner, was_denied};
use crate::platform::linux::blockers::processes::{identity, process_blocker};
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::sys::procfs::{self, Proc};
use crate::platform::stuck_pool::{self, Heartbeat, Work};
use rustix::thread::sched_getaffinity;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Time without a heartbeat after which a thread counts as stuck.
const STUCK_AFTER: Duration = Duration::from_millis(1500);

/// Smallest number of processes that is worth a second thread.
const MIN_PROCS_FOR_THREADS: usize = 48;

/// Item number of the preparation, in place of a process number.
const PREPARATION: usize = 0;

/// Scans for all blockers of this drive, for as long as the deadline allows.
pub(crate) fn scan(drive: &Drive, deadline: &mut Deadline<'_>) -> BlockerScan {
    let scan = run_scan(std::slice::from_ref(drive), Scope::Everything, deadline);
    if !matches!(&*scan.blockers, [only] if only.kind == BlockerKind::Unknown) {
        return scan;
    }
    let remote = scan_remote(drive, deadline);
    if remote.blockers.is_empty() { scan } else { remote }
}

/// Scans for blockers of this drive in every namespace, also those that only a descriptor keeps.
pub(crate) fn scan_remote(drive: &Drive, deadline: &mut Deadline<'_>) -> BlockerScan {
    run_scan(std::slice::from_ref(drive), Scope::EveryNamespace, deadline)
}

/// Scans for processes with open files, directories or devices of this drive.
pub(crate) fn scan_open(drive: &Drive, deadline: &mut Deadline<'_>) -> BlockerScan {
    run_scan(std::slice::from_ref(drive), Scope::Open, deadline)
}

/// Scans for users of these drives that a probe of their mounts does not show.
pub(crate) fn scan_hidden(drives: &[Drive], deadline: &mut Deadline<'_>) -> BlockerScan {
    run_scan(drives, Scope::Hidden, deadline)
}

/// Extent of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// All kinds of blockers.
    Everything,
    /// The same, with the sockets of every network namespace, and mount namespaces without a process.
    EveryNamespace,
    /// Files of processes, without the kernel's lists.
    Open,
    /// Files of processes, and mounts in other namespaces.
    Hidden,
}

impl Scope {
    /// Returns true if all kinds of blockers are scanned for.
    fn is_everything(self) -> bool {
        matches!(self, Scope::Everything | Scope::EveryNamespace)
    }
}

fn run_scan(drives: &[Drive], scope: Scope, deadline: &mut Deadline<'_>) -> BlockerScan {
    let scan_deadline = ScanDeadline::of(deadline.remaining());
    let search = match Search::new(drives, scope, scan_deadline.clone()) {
        Ok(search) => Arc::new(search),
        Err(errno) => {
            let notes = vec![format!("/proc cannot be read: {errno}")];
            return BlockerScan { notes, ..BlockerScan::default() };
        }
    };
    let stuck = stuck_pool::run_pool(&search, STUCK_AFTER, || {
        let go_on = deadline.check().is_ok() && !scan_deadline.is_ended();
        if !go_on {
            scan_deadline.end();
        }
        go_on
    });
    search.await_exits(deadline);
    search.result(&stuck)
}

/// Source of what is known of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Programs in the kernel where they are allowed and worth it, else /proc.
    Fastest,
    /// Programs in the kernel where they are allowed.
    #[cfg(test)]
    Kernel,
    #[cfg(test)]
    Proc,
}

/// State that the threads of one scan share.
pub(crate) struct Search {
    drives: Vec<Drive>,
    scope: Scope,
    deadline: ScanDeadline,
    /// True once a thread has begun the preparation.
    prepared: AtomicBool,
    /// True if all mapped files are scanned, and not only those that are shared and writable.
    all_maps: AtomicBool,
    /// Number of processes, known before the first is scanned.
    total: OnceLock<usize>,
    /// Names of the drives' devices, by [`DeviceIndex`].
    ///
    /// [`DeviceIndex`]: crate::platform::linux::blockers::mounts::types::DeviceIndex
    names: Vec<String>,
    proc: Proc,
    users: OnceLock<identity::Users>,
    /// Unit or container that this program runs in.
    own_unit: OnceLock<Option<Owner>>,
    filter: OnceLock<DeviceFilter>,
    pids: OnceLock<Vec<u32>>,
    /// Where the processes are looked for.
    source: Source,
    /// The only processes that may use the drive, if the kernel was asked.
    suspects: OnceLock<BTreeMap<u32, Suspect>>,
    processors: usize,
    next: AtomicUsize,
    scanned: AtomicUsize,
    state: Mutex<SharedState>,
}

/// Findings so far.
#[derive(Default)]
struct SharedState {
    scan: BlockerScan,
    /// True if the mount table of every namespace was read.
    mounts_complete: bool,
    /// Processes that wait in the kernel while they exit.
    exiting: Vec<u32>,
    /// Processes that this user may not inspect.
    inaccessible: Vec<u32>,
}

impl Work for Search {
    fn run(&self, heartbeat: &Arc<Heartbeat>) {
        let deadline = self.deadline.for_thread(heartbeat);
        if !self.prepared.swap(true, Ordering::Relaxed) {
            heartbeat.begin(PREPARATION);
            self.prepare(&deadline);
            heartbeat.wake_pool(); // There may be work for more threads now.
        }
        self.scan_processes(&deadline, heartbeat);
    }

    fn wanted_threads(&self) -> usize {
        let Some(pids) = self.pids.get() else {
            return usize::from(!self.prepared.load(Ordering::Relaxed));
        };
        match pids.len().saturating_sub(self.next.load(Ordering::Relaxed)) {
            0 => 0,
            _ if pids.len() >= MIN_PROCS_FOR_THREADS => self.processors,
            _ => 1,
        }
    }
}

impl Search {
    fn new(drives: &[Drive], scope: Scope, deadline: ScanDeadline) -> procfs::Result<Search> {
        Ok(Search {
            names: drives.iter().flat_map(kernel_users::names).cloned().collect(),
            drives: drives.to_vec(),
            scope,
            deadline,
            prepared: AtomicBool::new(false),
            all_maps: AtomicBool::new(scope.is_everything()),
            total: OnceLock::new(),
            proc: Proc::open()?,
            users: OnceLock::new(),
            own_unit: OnceLock::new(),
            filter: OnceLock::new(),
            pids: OnceLock::new(),
            source: Source::Fastest,
            suspects: OnceLock::new(),
            processors: sched_getaffinity(None).map_or(1, |set| set.count().clamp(1, 4) as usize),
            next: AtomicUsize::new(0),
            scanned: AtomicUsize::new(0),
            state: Mutex::default(),
        })
    }

    /// Scans one process after the other.
    fn scan_processes(&self, deadline: &ScanDeadline, heartbeat: &Heartbeat) {
        let (Some(filter), Some(pids)) = (self.filter.get(), self.pids.get()) else { return };
        let mut scanner = ProcessScanner::new(filter, &self.names, deadline);
        while !deadline.has_passed() {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&pid) = pids.get(next) else { break };
            heartbeat.begin(pid as usize);
            if self.scan_process(pid, &mut scanner) {
                self.state().inaccessible.push(pid);
            }
            self.scanned.fetch_add(1, Ordering::Relaxed);
        }
        heartbeat.finish();
    }

    /// Scans one process; returns true if this user may not inspect it.
    fn scan_process(&self, pid: u32, scanner: &mut ProcessScanner<'_>) -> bool {
        let Ok(task) = self.proc.task(pid) else { return false };
        let suspect = self.suspects.get().map(|suspects| suspects.get(&pid));
        let mut uses = Vec::new();
        let tables = match suspect {
            // Only the mapped files of this process were not seen.
            Some(None) => Ok(()),
            Some(Some(suspect)) => scanner.tables(pid, &task, suspect.files, &mut uses),
            None => scanner.tables(pid, &task, true, &mut uses),
        };
        // Published before the memory of the process is read, because that may hang.
        self.publish(pid, &uses);
        let before = uses.len();
        let all_maps = self.all_maps.load(Ordering::Relaxed);
        let maps = match suspect {
            Some(Some(suspect)) if !suspect.mappings => Ok(()),
            _ => scanner.maps(&task, all_maps, &mut uses),
        };
        if uses.len() > before {
            self.publish(pid, &uses);
        }
        if !uses.is_empty() {
            let words = identity::command_line(&task, scanner.text());
            self.with_process(pid, |process| process.command_line = words);
        }
        if scanner.no_program() && self.is_exiting(pid) {
            self.state().exiting.push(pid);
        }
        let denied = was_denied(&tables) || was_denied(&maps);
        if let (true, Some(Some(suspect)), Some(filter)) = (denied, suspect, self.filter.get())
            && let Some(uses) = recorded_uses(filter, &self.names, &suspect.records)
        {
            self.publish(pid, &uses);
            return false;
        }
        // A process that has exited since then hides nothing.
        denied && !is_kernel_thread(&self.proc, pid).unwrap_or(true)
    }

    fn publish(&self, pid: u32, uses: &[Usage]) {
        if uses.is_empty() {
            return;
        }
        // A process that has exited since then blocks nothing.
        let Some(process) = self.identify(pid) else { return };
        let own_unit =
            self.own_unit.get_or_init(|| self.identify(std::process::id()).and_then(|me| me.owner));
        let blocker =
            process_blocker::blocker(&self.proc, &process, uses.to_vec(), own_unit.as_ref());
        let mut state = self.state();
        let known = state.scan.blockers.iter_mut().find(|b| is_process(b, pid));
        match known {
            Some(known) => *known = blocker,
            None => state.scan.blockers.push(blocker),
        }
    }

    fn with_process(&self, pid: u32, change: impl FnOnce(&mut Process)) {
        let mut state = self.state();
        let known = state.scan.blockers.iter_mut().find(|b| is_process(b, pid));
        if let Some(process) = known.and_then(|b| b.process.as_mut()) {
            change(process);
        }
    }

    fn identify(&self, pid: u32) -> Option<identity::Identity> {
        let users = self.users.get_or_init(identity::Users::read);
        let task = self.proc.task(pid).ok()?;
        identity::Identity::of(pid, &task, users, &mut Vec::new()).ok()
    }

    fn is_exiting(&self, pid: u32) -> bool {
        let mut text = Vec::new();
        let read = self.proc.task(pid).and_then(|task| task.read(c"stat", &mut text));
        read.is_ok() && identity::is_exiting(&text)
    }

    fn state(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_process(blocker: &Blocker, pid: u32) -> bool {
    blocker.kind == BlockerKind::Process
        && blocker.process.as_ref().is_some_and(|process| process.pid == pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::blockers::test_support::{drive, image, ok};
    use std::process::Command;

    /// Without time for the processes, the mounts are named and the counts are right.
    #[test]
    #[ignore = "needs root and loop devices"]
    fn a_scan_without_time_names_mounts_and_counts_processes() {
        let stick = image();
        let inside = stick.mount.join("inside");
        std::fs::create_dir(&inside).unwrap();
        assert!(ok(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inside)));
        let deadline = ScanDeadline::of(Duration::ZERO);
        deadline.end();
        let search = Search::new(&[drive(&stick)], Scope::Everything, deadline).unwrap();
        search.run(&Arc::default());
        let scan = search.result(&[]);
        assert!(scan.blockers.iter().any(|b| b.kind == BlockerKind::Mount), "{scan:#?}");
        assert!(!scan.complete);
        let note = scan.notes.iter().find(|n| n.starts_with("the time ran out")).unwrap();
        let words: Vec<&str> = note.split(' ').collect();
        let numbers: Vec<usize> = words.iter().filter_map(|w| w.parse().ok()).collect();
        assert!(matches!(numbers[..], [0, total] if total > 0), "{note}");
    }

    /// An overlay that the plan unmounts is a volume of the drive. This one is not planned.
    #[test]
    #[ignore = "needs root, loop devices and overlayfs"]
    fn an_overlay_with_a_layer_on_the_drive_is_named() {
        let stick = image();
        let merged = stick.beside("merged");
        for name in ["lower", "upper", "work"] {
            std::fs::create_dir(stick.mount.join(name)).unwrap();
        }
        let at = |name: &str| stick.mount.join(name).display().to_string();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
        let mut mount = Command::new("mount");
        assert!(ok(mount.args(["-t", "overlay", "unmoor", "-o", &options]).arg(&merged)));
        let deadline = ScanDeadline::of(Duration::from_secs(60));
        let search = Search::new(&[drive(&stick)], Scope::Everything, deadline).unwrap();
        search.run(&Arc::default());
        let scan = search.result(&[]);
        let mut found = scan.blockers.iter().filter(|b| b.kind == BlockerKind::Overlay);
        let overlay = found.next().unwrap_or_else(|| panic!("{scan:#?}"));
        assert_eq!(overlay.uses[0].path.as_deref(), Some(&*merged));
        let command = overlay.command.as_deref().unwrap();
        assert!(ok(Command::new("sh").args(["-c", command])), "{command}");
        assert!(ok(Command::new("umount").arg(&stick.mount)));
    }
}
