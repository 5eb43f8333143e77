//! Who lives in which mount namespace: processes, and threads that left that of their process.

use crate::platform::linux::blockers::processes::identity;
use crate::platform::linux::sys::kcmp::{Shared, kcmp};
use crate::platform::linux::sys::procfs::{DirBuf, Proc, ProcPath, Result};
use rustix::io::Errno;

/// A process that lives in a mount namespace, or one thread of it that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NsMember {
    pub(crate) pid: u32,
    /// The thread, if the process as a whole lives elsewhere.
    pub(crate) thread: Option<u32>,
}

impl NsMember {
    /// The process as a whole.
    pub(crate) fn process(pid: u32) -> NsMember {
        NsMember { pid, thread: None }
    }

    /// One of its threads.
    pub(crate) fn thread(pid: u32, tid: u32) -> NsMember {
        NsMember { pid, thread: Some(tid) }
    }

    /// The number whose directory of proc leads there: threads have one too, though proc lists none.
    pub(crate) fn entry(self) -> u32 {
        self.thread.unwrap_or(self.pid)
    }
}

/// The processes that can be in the way: all but the kernel's own threads, which have no files and stand where
/// the system began. They are mostly the greater part.
///
/// # Errors
/// What the listing of processes failed with.
pub(crate) fn processes(proc: &Proc) -> Result<Vec<u32>> {
    let mut pids = Vec::new();
    proc.pids(|pid| pids.push(pid))?;
    let mut text = Vec::new();
    // What the link to the program leads to is not looked at: that may lie with a dead server. Also one that
    // has ended, and whose threads go on, has no program.
    let mut has_no_program =
        |pid| proc.link(ProcPath::below(pid, "/exe").as_c_str(), &mut text) == Err(Errno::NOENT);
    pids.retain(|pid| !(has_no_program(*pid) && is_kernel_thread(proc, *pid).unwrap_or(false)));
    Ok(pids)
}

/// Is it a thread of the kernel's own.
///
/// # Errors
/// ESRCH, ENOENT when it has left meanwhile.
pub(crate) fn is_kernel_thread(proc: &Proc, pid: u32) -> Result<bool> {
    let mut head = [0; 512];
    let len = proc.read_prefix(ProcPath::below(pid, "/stat").as_c_str(), &mut head)?;
    Ok(identity::stat(&head[..len]).is_some_and(|stat| stat.kernel))
}

/// Finds the threads of this process that may live in another mount namespace than its first one.
///
/// Who shares root and working directory with it does not: `unshare(2)` parts those together with the
/// namespace, and `setns(2)` demands that they are parted.
pub(crate) fn threads_in_other_ns(proc: &Proc, pid: u32, room: &mut DirBuf, apart: &mut Vec<u32>) {
    apart.clear();
    // A directory of proc has two names and one for each entry.
    if !proc.stat(ProcPath::below(pid, "/task").as_c_str()).is_ok_and(|task| task.links > 3) {
        return;
    }
    let task = ProcPath::below(pid, "/task");
    // One that has left meanwhile has no threads either.
    let _ = proc.numbers(task.as_c_str(), room, |tid| apart.push(tid));
    apart.retain(|tid| *tid != pid && !kcmp(pid, *tid, Shared::Fs).unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_passed_over_has_no_memory_of_its_own() {
        let proc = Proc::open().unwrap();
        let kept = processes(&proc).unwrap();
        assert!(kept.contains(&std::process::id()));
        let mut all = Vec::new();
        proc.pids(|pid| all.push(pid)).unwrap();
        for pid in all.iter().filter(|pid| **pid < std::process::id() && !kept.contains(pid)) {
            let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
            assert!(maps.is_empty(), "{pid}");
        }
    }
}
