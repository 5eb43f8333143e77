//! Members of mount namespaces: processes, and threads that left the namespace of their process.

use crate::platform::linux::blockers::processes::identity;
use crate::platform::linux::helper::process::is_helper;
use crate::platform::linux::sys::kcmp::{Shared, kcmp};
use crate::platform::linux::sys::procfs::{DirBuf, Proc, ProcPath, Result, is_denied, parse};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::collections::HashSet;

/// Process in a mount namespace, or one thread of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NsMember {
    pub(crate) pid: u32,
    /// Thread, if the rest of the process is in another namespace.
    pub(crate) thread: Option<u32>,
}

impl NsMember {
    /// Returns the process as a whole.
    pub fn process(pid: u32) -> NsMember {
        NsMember { pid, thread: None }
    }

    /// Returns one thread of a process.
    pub(crate) fn thread(pid: u32, tid: u32) -> NsMember {
        NsMember { pid, thread: Some(tid) }
    }

    /// Returns the number of its directory in /proc.
    ///
    /// Threads have such a directory too, although /proc does not list it (proc(5)).
    pub(crate) fn proc_entry(self) -> u32 {
        self.thread.unwrap_or(self.pid)
    }
}

/// Lists the processes that can be blockers: all but kernel threads, which have no files.
///
/// # Errors
/// Errors of reading the directory `/proc`.
pub(crate) fn processes(proc: &Proc) -> Result<Vec<u32>> {
    Ok(list_processes(proc, false)?.0)
}

/// Lists the processes, or none if this user may not inspect one of them.
///
/// # Errors
/// As [`processes`].
pub(crate) fn open_processes(proc: &Proc) -> Result<Option<Vec<u32>>> {
    let (pids, has_closed) = list_processes(proc, true)?;
    Ok((!has_closed).then_some(pids))
}

/// Returns the processes, and true if this user may not inspect one of them.
fn list_processes(proc: &Proc, stop_at_closed: bool) -> Result<(Vec<u32>, bool)> {
    let (mut pids, mut has_closed) = (Vec::new(), false);
    proc.pids(|pid| pids.push(pid))?;
    let mut text = Vec::new();
    let kernel_threads = OnceCell::new();
    let is_kernel_thread_by_parent = |pid| {
        let known: &HashSet<u32> = kernel_threads.get_or_init(|| children_of_kthreadd(proc));
        // A process that the kernel has started for its own ends may have threads without a first one.
        let has_threads = || has_other_threads(proc, pid);
        (known.contains(&pid) && !has_threads()) || is_kernel_thread(proc, pid).unwrap_or(false)
    };
    pids.retain(|pid| {
        if is_helper(*pid) || (stop_at_closed && has_closed) {
            return false;
        }
        // Only the link itself is read, since its target may be on a dead server. A process whose first thread has
        // ended has no program either.
        match proc.link(ProcPath::below(*pid, "/exe").as_c_str(), &mut text) {
            Err(Errno::NOENT) => !is_kernel_thread_by_parent(*pid),
            Err(errno) if is_denied(errno) => {
                let is_kernel = is_kernel_thread(proc, *pid).unwrap_or(true);
                has_closed |= !is_kernel;
                !is_kernel
            }
            _ => true,
        }
    });
    Ok((pids, has_closed))
}

/// PID of the kernel thread that all others are children of.
const KTHREADD: u32 = 2;

/// Lists the children of kthreadd in one read (proc_tid_children(5)).
///
/// Returns none in a PID namespace, where another process has its PID.
fn children_of_kthreadd(proc: &Proc) -> HashSet<u32> {
    let mut text = Vec::new();
    let read = is_kernel_thread(proc, KTHREADD) == Ok(true)
        && proc.read(c"2/task/2/children", &mut text).is_ok();
    let children = text.split(|b| *b == b' ').filter_map(parse);
    if read { children.collect() } else { HashSet::new() }
}

/// Returns true if the process has threads besides the first.
fn has_other_threads(proc: &Proc, pid: u32) -> bool {
    // The link count of a directory in /proc is 2 plus the number of its entries.
    proc.stat(ProcPath::below(pid, "/task").as_c_str()).is_ok_and(|task| task.links > 3)
}

/// Returns true if this is a kernel thread.
///
/// # Errors
/// ESRCH or ENOENT if it has exited.
pub(crate) fn is_kernel_thread(proc: &Proc, pid: u32) -> Result<bool> {
    let mut head = [0; 512];
    let len = proc.read_prefix(ProcPath::below(pid, "/stat").as_c_str(), &mut head)?;
    Ok(identity::stat(&head[..len]).is_some_and(|stat| stat.kernel))
}

/// Finds the threads of this process that may be in another mount namespace than its first thread.
///
/// A thread that shares root and working directory with the first one is in the same namespace: unshare(2) unshares
/// them together with the namespace, and setns(2) requires it.
pub(crate) fn threads_in_other_ns(proc: &Proc, pid: u32, buf: &mut DirBuf, tids: &mut Vec<u32>) {
    tids.clear();
    if !has_other_threads(proc, pid) {
        return;
    }
    let task = ProcPath::below(pid, "/task");
    // A process that has exited has no threads.
    let _ = proc.numbers(task.as_c_str(), buf, |tid| tids.push(tid));
    tids.retain(|tid| *tid != pid && !kcmp(pid, *tid, Shared::Fs).unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kernel_threads_are_left_out() {
        let proc = Proc::open().unwrap();
        let listed = processes(&proc).unwrap();
        assert!(listed.contains(&std::process::id()));
        let mut all = Vec::new();
        proc.pids(|pid| all.push(pid)).unwrap();
        for pid in all.iter().filter(|pid| **pid < std::process::id() && !listed.contains(pid)) {
            let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
            assert!(maps.is_empty(), "{pid}");
        }
    }
}
