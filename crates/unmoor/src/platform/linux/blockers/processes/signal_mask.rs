//! Mildest signal that ends a process (signal(7), pid_namespaces(7)).

use crate::platform::linux::sys::procfs::{Proc, ProcPath, Task, dir_buf, parse, status_line};
use crate::platform::linux::sys::pseudo_file::read_path;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Signal that ends a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermSignal {
    /// SIGTERM.
    Terminate,
    /// SIGHUP, for processes that ignore SIGTERM, such as interactive shells.
    HangUp,
    /// SIGKILL, for processes that ignore or block both.
    Kill,
}

/// Disposition of the signals of a process, one bit for each signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignalState {
    ignored: u64,
    blocked: u64,
    caught: u64,
    /// True for the first process of a PID namespace, which gets only signals that it has a handler for.
    is_init: bool,
    /// True if it is stopped, and gets no signal before SIGCONT.
    pub(crate) stopped: bool,
    /// True if no signal but SIGKILL ends it: a debugger holds it, or its control group is frozen.
    held: bool,
}

impl SignalState {
    /// Parses `/proc/PID/status`.
    pub fn parse(status: &[u8]) -> SignalState {
        let numbers = status_line(status, b"NSpid:").unwrap_or_default();
        let mut numbers = numbers.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        SignalState {
            ignored: mask(status, b"SigIgn:"),
            blocked: mask(status, b"SigBlk:"),
            caught: mask(status, b"SigCgt:"),
            // Its PID in each namespace, the innermost last.
            is_init: numbers.next().is_some() && numbers.next_back().and_then(parse) == Some(1u32),
            stopped: status_line(status, b"State:").is_some_and(|state| state.starts_with(b"T")),
            held: false,
        }
    }

    /// Reads the state of this process, whose file `status` has this content.
    pub(crate) fn of(task: &Task, status: &[u8]) -> SignalState {
        let mut state = SignalState::parse(status);
        if state.blocked & (bit(libc::SIGTERM) | bit(libc::SIGHUP)) != 0 {
            let blocked = blocked_everywhere(task);
            state.caught |= state.blocked & !blocked;
            state.blocked &= blocked;
        }
        // A signal that is not caught ends a frozen process too.
        let is_caught = state.caught & bit(libc::SIGTERM) != 0;
        state.held = is_held_by_debugger(task, status) || is_caught && is_frozen(task);
        state
    }

    /// Reads the state of the process with this PID; on errors, returns the state of one that gets every signal.
    pub(crate) fn of_process(proc: &Proc, pid: u32) -> SignalState {
        let mut status = Vec::new();
        let read = proc.task(pid).and_then(|task| {
            task.read(c"status", &mut status).map(|()| SignalState::of(&task, &status))
        });
        read.unwrap_or_default()
    }

    /// Returns the mildest signal that ends it.
    pub fn terminating_signal(self) -> TermSignal {
        let lost = self.ignored | self.blocked;
        let gets = |signal| lost & bit(signal) == 0;
        match (gets(libc::SIGTERM), gets(libc::SIGHUP)) {
            _ if self.held => TermSignal::Kill,
            _ if self.is_init && self.caught & !lost & bit(libc::SIGTERM) == 0 => TermSignal::Kill,
            (true, _) => TermSignal::Terminate,
            (false, true) => TermSignal::HangUp,
            (false, false) => TermSignal::Kill,
        }
    }
}

/// Returns true if a debugger holds the process (ptrace(2), "Stopped states").
///
/// A tracer of system calls stops it for a moment only. The number of context switches tells the two apart.
fn is_held_by_debugger(task: &Task, status: &[u8]) -> bool {
    let stop = |status: &[u8]| {
        let is_traced = status_line(status, b"State:")?.starts_with(b"t");
        let switches = status_line(status, b"voluntary_ctxt_switches:")?.to_vec();
        is_traced.then_some(switches)
    };
    let Some(before) = stop(status) else { return false };
    std::thread::sleep(TRACER_TIME);
    let mut now = Vec::new();
    task.read(c"status", &mut now).is_ok() && stop(&now) == Some(before)
}

/// Returns true if its control group is frozen (cgroup-v2.rst, `cgroup.events`).
fn is_frozen(task: &Task) -> bool {
    let mut text = Vec::new();
    if task.read(c"cgroup", &mut text).is_err() {
        return false;
    }
    let Some(group) = text.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"0::/"))
    else {
        return false;
    };
    CGROUPS.iter().any(|mount| {
        let file = Path::new(mount).join(OsStr::from_bytes(group)).join("cgroup.events");
        let events = read_path(&*file).unwrap_or_default();
        events.split(|b| *b == b'\n').any(|line| line == b"frozen 1")
    })
}

/// Mount points of the control groups of version 2: alone, and beside those of version 1.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Time in which a tracer lets the process go on.
const TRACER_TIME: Duration = Duration::from_millis(20);

/// Returns the signals that every thread blocks and no signalfd(2) descriptor reads.
///
/// A process that reads SIGTERM from a descriptor ends in its own way.
fn blocked_everywhere(task: &Task) -> u64 {
    let (mut buf, mut text) = (dir_buf(), Vec::new());
    let (mut tids, mut fds) = (Vec::new(), Vec::new());
    let mut blocked = u64::MAX;
    let _ = task.numbers(c"task", &mut buf, |tid| tids.push(tid));
    for tid in tids {
        if task.thread(tid).and_then(|thread| thread.read(c"status", &mut text)).is_ok() {
            blocked &= mask(&text, b"SigBlk:");
        }
    }
    let _ = task.numbers(c"fd", &mut buf, |fd| fds.push(fd));
    for fd in fds {
        let link = task.link(ProcPath::within("fd/", fd).as_c_str(), &mut text);
        if link.is_ok()
            && text == b"anon_inode:[signalfd]"
            && task.read(ProcPath::within("fdinfo/", fd).as_c_str(), &mut text).is_ok()
        {
            blocked &= !mask(&text, b"sigmask:");
        }
    }
    blocked
}

fn bit(signal: libc::c_int) -> u64 {
    1 << (signal - 1)
}

/// Returns the value of a signal mask line, which is a hexadecimal number.
pub fn mask(text: &[u8], name: &[u8]) -> u64 {
    let digits = status_line(text, name).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn terminating(status: &str) -> TermSignal {
        SignalState::parse(status.as_bytes()).terminating_signal()
    }

    #[test]
    fn the_mildest_signal_that_is_neither_ignored_nor_blocked_is_chosen() {
        assert_eq!(terminating(""), TermSignal::Terminate);
        assert_eq!(
            terminating("SigIgn:\t0000000000384004\n"),
            TermSignal::HangUp,
            "as in an interactive bash"
        );
        assert_eq!(terminating("SigBlk:\t0000000000004000\n"), TermSignal::HangUp);
        assert_eq!(terminating("SigBlk:\t4000\nSigIgn:\t0000000000000001\n"), TermSignal::Kill);
    }

    #[test]
    fn the_first_process_of_a_namespace_gets_signals_with_a_handler() {
        assert_eq!(terminating("NSpid:\t77\t1\nSigCgt:\t0000000000000000\n"), TermSignal::Kill);
        assert_eq!(terminating("NSpid:\t77\t1\nSigCgt:\t0000000000000001\n"), TermSignal::Kill);
        assert_eq!(
            terminating("NSpid:\t77\t1\nSigCgt:\t0000000000004000\n"),
            TermSignal::Terminate
        );
        assert_eq!(terminating("NSpid:\t77\t12\n"), TermSignal::Terminate);
        assert_eq!(terminating("NSpid:\t1\n"), TermSignal::Terminate, "not in a nested namespace");
    }

    #[test]
    fn a_stopped_process_is_recognised() {
        assert!(SignalState::parse(b"State:\tT (stopped)\n").stopped);
        assert!(!SignalState::parse(b"State:\tt (tracing stop)\nState:\tT\n").stopped);
    }

    proptest! {
        #[test]
        fn no_input_panics(text: Vec<u8>) {
            SignalState::parse(&text).terminating_signal();
        }
    }
}
