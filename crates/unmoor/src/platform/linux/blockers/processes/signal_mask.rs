//! Which signal ends a process: the mildest that it hears (signal(7), pid_namespaces(7)).

use crate::platform::linux::blockers::processes::identity::status_line;
use crate::platform::linux::sys::procfs::{DirBuf, Proc, ProcPath, Task, dir_buf, parse};

/// A signal that asks, or the one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TermSignal {
    /// The usual one.
    Terminate,
    /// What an interactive shell hears, which ignores the usual one.
    HangUp,
    /// It hears neither.
    Kill,
}

/// What becomes of the signals that are sent to a process: one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SignalState {
    ignored: u64,
    blocked: u64,
    caught: u64,
    /// It is the first process of a namespace: the kernel drops what it has no handler for.
    first: bool,
    /// It is stopped, and hears nothing until it goes on.
    pub(crate) stopped: bool,
}

impl SignalState {
    /// Reads `/proc/PID/status`.
    pub(crate) fn parse(status: &[u8]) -> SignalState {
        let numbers = status_line(status, b"NSpid:").unwrap_or_default();
        let mut numbers = numbers.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        SignalState {
            ignored: mask(status, b"SigIgn:"),
            blocked: mask(status, b"SigBlk:"),
            caught: mask(status, b"SigCgt:"),
            // Its number in each namespace, its own last.
            first: numbers.next().is_some() && numbers.next_back().and_then(parse) == Some(1u32),
            stopped: status_line(status, b"State:").is_some_and(|state| state.starts_with(b"T")),
        }
    }

    /// Of this process; `status` is what its file of that name says.
    pub(crate) fn of(task: &Task, status: &[u8]) -> SignalState {
        let mut hearing = SignalState::parse(status);
        if hearing.blocked & (bit(libc::SIGTERM) | bit(libc::SIGHUP)) != 0 {
            let unheard = blocked_everywhere(task);
            hearing.caught |= hearing.blocked & !unheard;
            hearing.blocked &= unheard;
        }
        hearing
    }

    /// Of the process of this number; as if it heard everything where that cannot be told.
    pub(crate) fn of_process(proc: &Proc, pid: u32) -> SignalState {
        let mut status = Vec::new();
        let read = proc.task(pid).and_then(|task| {
            task.read(c"status", &mut status).map(|()| SignalState::of(&task, &status))
        });
        read.unwrap_or_default()
    }

    /// The mildest signal that ends it.
    pub(crate) fn terminating_signal(self) -> TermSignal {
        let deaf = self.ignored | self.blocked;
        let hears = |signal| deaf & bit(signal) == 0;
        match (hears(libc::SIGTERM), hears(libc::SIGHUP)) {
            _ if self.first && self.caught & !deaf & bit(libc::SIGTERM) == 0 => TermSignal::Kill,
            (true, _) => TermSignal::Terminate,
            (false, true) => TermSignal::HangUp,
            (false, false) => TermSignal::Kill,
        }
    }
}

/// The signals that every thread of this process blocks, and that no descriptor of it reads
/// (signalfd(2)): one that waits for signals in that way ends as it is meant to.
fn blocked_everywhere(task: &Task) -> u64 {
    let (mut room, mut text): (DirBuf, _) = (dir_buf(), Vec::new());
    let (mut tids, mut fds) = (Vec::new(), Vec::new());
    let mut unheard = u64::MAX;
    let _ = task.numbers(c"task", &mut room, |tid| tids.push(tid));
    for tid in tids {
        if task.thread(tid).and_then(|thread| thread.read(c"status", &mut text)).is_ok() {
            unheard &= mask(&text, b"SigBlk:");
        }
    }
    let _ = task.numbers(c"fd", &mut room, |fd| fds.push(fd));
    for fd in fds {
        let link = task.link(ProcPath::within("fd/", fd).as_c_str(), &mut text);
        if link.is_ok()
            && text == b"anon_inode:[signalfd]"
            && task.read(ProcPath::within("fdinfo/", fd).as_c_str(), &mut text).is_ok()
        {
            unheard &= !mask(&text, b"sigmask:");
        }
    }
    unheard
}

fn bit(signal: libc::c_int) -> u64 {
    1 << (signal - 1)
}

/// A line of signals, as a hexadecimal number.
pub(crate) fn mask(text: &[u8], name: &[u8]) -> u64 {
    let digits = status_line(text, name).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mildest(status: &str) -> TermSignal {
        SignalState::parse(status.as_bytes()).terminating_signal()
    }

    #[test]
    fn the_mildest_signal_that_is_heard_is_chosen() {
        assert_eq!(mildest(""), TermSignal::Terminate);
        assert_eq!(mildest("SigIgn:\t0000000000384004\n"), TermSignal::HangUp, "as bash has it");
        assert_eq!(mildest("SigBlk:\t0000000000004000\n"), TermSignal::HangUp);
        assert_eq!(mildest("SigBlk:\t4000\nSigIgn:\t0000000000000001\n"), TermSignal::Kill);
    }

    #[test]
    fn the_first_process_of_a_namespace_hears_what_it_has_a_handler_for() {
        assert_eq!(mildest("NSpid:\t77\t1\nSigCgt:\t0000000000000000\n"), TermSignal::Kill);
        assert_eq!(mildest("NSpid:\t77\t1\nSigCgt:\t0000000000000001\n"), TermSignal::Kill);
        assert_eq!(mildest("NSpid:\t77\t1\nSigCgt:\t0000000000004000\n"), TermSignal::Terminate);
        assert_eq!(mildest("NSpid:\t77\t12\n"), TermSignal::Terminate);
        assert_eq!(
            mildest("NSpid:\t1\n"),
            TermSignal::Terminate,
            "that is no namespace within ours"
        );
    }

    #[test]
    fn who_is_stopped_is_told() {
        assert!(SignalState::parse(b"State:\tT (stopped)\n").stopped);
        assert!(!SignalState::parse(b"State:\tt (tracing stop)\nState:\tT\n").stopped);
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_make_it_fail(text: Vec<u8>) {
            SignalState::parse(&text).terminating_signal();
        }
    }
}
