//! Who lives in which mount namespace: processes, and threads that left that of their process.

use crate::platform::linux::kcmp::{Shared, kcmp};
use crate::platform::linux::procfs::{Name, Proc, Room};

/// A process that lives in a mount namespace, or one thread of it that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Resident {
    pub(super) pid: u32,
    /// The thread, if the process as a whole lives elsewhere.
    pub(super) thread: Option<u32>,
}

impl Resident {
    /// The process as a whole.
    pub(super) fn process(pid: u32) -> Resident {
        Resident { pid, thread: None }
    }

    /// One of its threads.
    pub(super) fn thread(pid: u32, tid: u32) -> Resident {
        Resident { pid, thread: Some(tid) }
    }

    /// The number whose directory of proc leads there: threads have one too, though proc lists none.
    pub(super) fn entry(self) -> u32 {
        self.thread.unwrap_or(self.pid)
    }
}

/// Finds the threads of this process that may live in another mount namespace than its first one.
///
/// Who shares root and working directory with it does not: `unshare(2)` parts those together with the
/// namespace, and `setns(2)` demands that they are parted.
pub(super) fn threads_apart(proc: &Proc, pid: u32, room: &mut Room, apart: &mut Vec<u32>) {
    apart.clear();
    // A directory of proc has two names and one for each entry.
    if !proc.seen(Name::below(pid, "/task").as_c_str()).is_ok_and(|task| task.links > 3) {
        return;
    }
    let task = Name::below(pid, "/task");
    // One that has left meanwhile has no threads either.
    let _ = proc.numbers(task.as_c_str(), room, |tid| apart.push(tid));
    apart.retain(|tid| *tid != pid && !kcmp(pid, *tid, Shared::Fs).unwrap_or(false));
}
