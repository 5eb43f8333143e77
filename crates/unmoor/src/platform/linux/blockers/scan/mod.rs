//! The search itself: on threads of its own, so that a call that does not come back holds up nobody.
//!
//! A dead server, or a process whose memory lock is held, can stop a thread in the kernel for good.
//! Whoever asked waits outside, takes what was found by then, and leaves such a thread behind.

pub(crate) mod coalesce;
pub(crate) mod deadline;
pub(crate) mod device_filter;
pub(crate) mod limitations;
pub(crate) mod result;
pub(crate) mod shared_scan;
pub(crate) mod worker;

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerScan, Usage};
use crate::model::drive::Drive;
use crate::platform::linux::blockers::kernel_users;
use crate::platform::linux::blockers::mounts::ns_members::{is_kernel_thread, processes};
use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::blockers::processes::cgroup::Owner;
use crate::platform::linux::blockers::processes::open_files::{ProcessScanner, was_denied};
use crate::platform::linux::blockers::processes::sockets::Sockets;
use crate::platform::linux::blockers::processes::{bpf_prefilter, identity, process_blocker};
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::blockers::scan::worker::WorkerThread;
use crate::platform::linux::sys::procfs::{Proc, Result as Answer};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How often the one who waits looks up.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// So many threads may get stuck before the search gives up.
const MAX_STUCK: usize = 16;

/// Fewer processes than this are not worth a second thread.
const MIN_PROCS_FOR_THREADS: usize = 48;

/// Fewer processes than this are not worth a program in the kernel.
const MIN_PROCS_FOR_BPF: usize = 256;

/// Searches for what keeps this drive busy, for as long as `wait` allows.
pub(crate) fn scan(drive: &Drive, deadline: &mut Deadline<'_>) -> BlockerScan {
    run_scan(std::slice::from_ref(drive), Scope::Everything, deadline)
}

/// Searches for processes that have something of this drive open, or stand in it.
pub(crate) fn scan_open(drive: &Drive, deadline: &mut Deadline<'_>) -> BlockerScan {
    run_scan(std::slice::from_ref(drive), Scope::Open, deadline)
}

/// Searches for whoever is at any of these drives and would not show when their mounts are asked for.
pub(crate) fn scan_hidden(drives: &[Drive], deadline: &mut Deadline<'_>) -> BlockerScan {
    run_scan(drives, Scope::Hidden, deadline)
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Whatever can keep it busy.
    Everything,
    /// The tables of processes, and not what they have mapped, nor what the kernel lists.
    Open,
    /// The same, and mounts in other namespaces; where there are any, also what processes have mapped.
    Hidden,
}

fn run_scan(drives: &[Drive], depth: Scope, deadline: &mut Deadline<'_>) -> BlockerScan {
    let patience = ScanDeadline::of(deadline.remaining());
    let search = match Search::new(drives, depth) {
        Ok(search) => Arc::new(search),
        Err(errno) => {
            let notes = vec![format!("/proc cannot be read: {errno}")];
            return BlockerScan { notes, ..BlockerScan::default() };
        }
    };
    let mut threads = vec![WorkerThread::start(&search, &patience, Search::prepare)];
    let mut board = search.state();
    let stuck = loop {
        let working: Vec<&mut WorkerThread> =
            threads.iter_mut().filter(|t| !t.is_finished()).collect();
        let working_count = working.len();
        let stuck: Vec<u32> = working.into_iter().filter_map(WorkerThread::stuck_at).collect();
        if stuck.len() == working_count && (search.all_claimed() || threads.len() > MAX_STUCK) {
            break stuck;
        }
        if deadline.check().is_err() || patience.is_ended() {
            patience.end();
            break stuck;
        }
        let wished = search.wanted_threads();
        if !search.all_claimed()
            && working_count - stuck.len() < wished
            && threads.len() <= MAX_STUCK
        {
            drop(board); // A thread that cannot be started says so on the board.
            threads.push(WorkerThread::start(&search, &patience, Search::scan_processes));
            board = search.state();
            continue;
        }
        board = search.await_change(board);
    };
    drop(board);
    search.await_exits(deadline);
    search.result(&stuck)
}

/// What the threads share.
pub(crate) struct Search {
    drives: Vec<Drive>,
    depth: Scope,
    /// What processes have mapped counts.
    maps: AtomicBool,
    /// How many processes there are, known before any is looked at.
    total: OnceLock<usize>,
    /// Of the drives' devices, by [`DeviceIndex`].
    names: Vec<String>,
    proc: Proc,
    users: OnceLock<identity::Users>,
    /// What started this program.
    own: OnceLock<Option<Owner>>,
    wanted: OnceLock<DeviceFilter>,
    pids: OnceLock<Vec<u32>>,
    /// The only processes that have a file of the drive open, where the kernel told.
    holders: OnceLock<HashSet<u32>>,
    processors: usize,
    next: AtomicUsize,
    looked: AtomicUsize,
    unseen: AtomicUsize,
    state: Mutex<SharedState>,
    condvar: Condvar,
}

/// What has been found so far.
#[derive(Default)]
struct SharedState {
    scan: BlockerScan,
    surveyed: bool,
    /// Processes that waited for something on their way out.
    exiting: Vec<u32>,
    /// Processes that this user may not look into.
    inaccessible: Vec<u32>,
}

impl Search {
    fn new(drives: &[Drive], depth: Scope) -> Answer<Search> {
        Ok(Search {
            names: drives.iter().flat_map(kernel_users::names).cloned().collect(),
            drives: drives.to_vec(),
            depth,
            maps: AtomicBool::new(depth == Scope::Everything),
            total: OnceLock::new(),
            proc: Proc::open()?,
            users: OnceLock::new(),
            own: OnceLock::new(),
            wanted: OnceLock::new(),
            pids: OnceLock::new(),
            holders: OnceLock::new(),
            processors: std::thread::available_parallelism().map_or(1, |n| n.get().min(4)),
            next: AtomicUsize::new(0),
            looked: AtomicUsize::new(0),
            unseen: AtomicUsize::new(0),
            state: Mutex::default(),
            condvar: Condvar::new(),
        })
    }

    /// The first thread: what the mount tables and the kernel's lists say, then as the others.
    fn prepare(&self, patience: &ScanDeadline, at: &AtomicU32) {
        let nodes = kernel_users::nodes_of(&self.drives);
        let listed = processes(&self.proc);
        let whole = listed.is_ok();
        let pids = listed.unwrap_or_default();
        let _ = self.total.set(pids.len());
        // The mounts of every namespace are worth half of the time and no more: the processes are the
        // greater part of the answer.
        let survey = MountScan::run(&self.proc, &pids, &nodes, &patience.half());
        let wanted = DeviceFilter::new(nodes, &survey);
        let sockets = Sockets::on(|device| wanted.fs_device(device), patience);
        let who = |pid| self.identify(pid);
        let blockers: Vec<Blocker> = match self.depth {
            Scope::Everything => {
                let of = |drive| kernel_users::blockers(drive, &survey, &wanted, who);
                self.drives.iter().flat_map(of).collect()
            }
            Scope::Open => Vec::new(),
            Scope::Hidden => kernel_users::invisible_users(&self.drives, &survey, &self.names, who),
        };
        if self.depth == Scope::Hidden && survey.hits.iter().any(|hit| !hit.namespace.is_ours()) {
            self.maps.store(true, Ordering::Relaxed);
        }
        let mut notes = limitations::limitations(&self.proc, &survey);
        let wanted = match sockets {
            Ok(sockets) => wanted.with(sockets),
            Err(errno) => {
                notes.push(format!("the sockets bound on it could not be asked for: {errno}"));
                wanted
            }
        };
        {
            // What is known is put up before something takes its time.
            let mut board = self.state();
            board.scan.blockers.extend(blockers);
            board.scan.notes.extend(notes);
            board.surveyed = !survey.timed_out && whole;
        }
        if pids.len() >= MIN_PROCS_FOR_BPF
            && limitations::sees_every_process(&self.proc)
            && let Ok(holders) = bpf_prefilter::holders(&wanted, patience)
        {
            let _ = self.holders.set(holders);
        }
        let _ = (self.wanted.set(wanted), self.pids.set(pids));
        drop(self.state());
        self.condvar.notify_all(); // There may be work for more threads now.
        self.scan_processes(patience, at);
    }

    /// Takes one process after the other.
    fn scan_processes(&self, patience: &ScanDeadline, at: &AtomicU32) {
        let (Some(wanted), Some(pids)) = (self.wanted.get(), self.pids.get()) else { return };
        let mut looker = ProcessScanner::new(wanted, &self.names, patience);
        while !patience.has_passed() {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&pid) = pids.get(next) else { break };
            at.store(pid, Ordering::Relaxed);
            let denied = self.scan_process(pid, &mut looker);
            if denied {
                self.unseen.fetch_add(1, Ordering::Relaxed);
                self.state().inaccessible.push(pid);
            }
            self.looked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks at one process; was it closed to us.
    fn scan_process(&self, pid: u32, looker: &mut ProcessScanner<'_>) -> bool {
        let Ok(task) = self.proc.task(pid) else { return false };
        let mut uses = Vec::new();
        let files = self.holders.get().is_none_or(|holders| holders.contains(&pid));
        let tables = looker.tables(pid, &task, files, &mut uses);
        // What is known is put up before something is asked that might not be answered.
        self.publish(pid, &uses);
        let before = uses.len();
        let maps = match self.maps.load(Ordering::Relaxed) {
            true => looker.maps(&task, &mut uses),
            false => Ok(()),
        };
        if uses.len() > before {
            self.publish(pid, &uses);
        }
        if !uses.is_empty() {
            let words = identity::command_line(&task, looker.text());
            self.with_blocker(pid, |process| process.command_line = words);
        }
        if looker.no_program() && self.is_exiting(pid) {
            self.state().exiting.push(pid);
        }
        let denied = was_denied(&tables) || was_denied(&maps);
        // One that has left meanwhile hides nothing either.
        denied && !is_kernel_thread(&self.proc, pid).unwrap_or(true)
    }

    fn publish(&self, pid: u32, uses: &[Usage]) {
        if uses.is_empty() {
            return;
        }
        // A process that has left meanwhile is in nobody's way.
        let Some(person) = self.identify(pid) else { return };
        let own =
            self.own.get_or_init(|| self.identify(std::process::id()).and_then(|me| me.owner));
        let blocker = process_blocker::blocker(&self.proc, &person, uses.to_vec(), own.as_ref());
        let mut board = self.state();
        let known = board.scan.blockers.iter_mut().find(|b| is_process(b, pid));
        match known {
            Some(known) => *known = blocker,
            None => board.scan.blockers.push(blocker),
        }
    }

    fn with_blocker(&self, pid: u32, change: impl FnOnce(&mut crate::model::blocker::Process)) {
        let mut board = self.state();
        let known = board.scan.blockers.iter_mut().find(|b| is_process(b, pid));
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

    fn await_change<'b>(
        &'b self,
        board: MutexGuard<'b, SharedState>,
    ) -> MutexGuard<'b, SharedState> {
        self.condvar.wait_timeout(board, POLL_INTERVAL).unwrap_or_else(PoisonError::into_inner).0
    }

    fn all_claimed(&self) -> bool {
        self.pids.get().is_some_and(|pids| self.next.load(Ordering::Relaxed) >= pids.len())
    }

    fn wanted_threads(&self) -> usize {
        match self.pids.get() {
            Some(pids) if pids.len() >= MIN_PROCS_FOR_THREADS => self.processors,
            _ => 1,
        }
    }
}

fn is_process(blocker: &Blocker, pid: u32) -> bool {
    blocker.kind == crate::model::blocker::BlockerKind::Process
        && blocker.process.as_ref().is_some_and(|process| process.pid == pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::blocker::BlockerKind;
    use crate::platform::linux::blockers::test_support::{Stick, ok};
    use std::process::Command;

    /// What is cheap is named, and the count is true, even when there is no time for the processes.
    #[test]
    fn a_search_without_time_names_what_the_mounts_tell_and_counts_truly() {
        let Some(stick) = Stick::new() else { return };
        let inside = stick.mount.join("inside");
        std::fs::create_dir(&inside).unwrap();
        assert!(ok(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inside)));
        let search = Search::new(&[stick.drive()], Scope::Everything).unwrap();
        let patience = ScanDeadline::of(Duration::ZERO);
        patience.end();
        search.prepare(&patience, &AtomicU32::new(0));
        let scan = search.result(&[]);
        assert!(scan.blockers.iter().any(|b| b.kind == BlockerKind::Mount), "{scan:#?}");
        assert!(!scan.complete);
        let note = scan.notes.iter().find(|n| n.starts_with("the time ran out")).unwrap();
        let words: Vec<&str> = note.split(' ').collect();
        let numbers: Vec<usize> = words.iter().filter_map(|w| w.parse().ok()).collect();
        assert!(matches!(numbers[..], [0, total] if total > 0), "{note}");
    }
}
