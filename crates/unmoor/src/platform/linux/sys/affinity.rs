//! `sched_setaffinity(2)`, `getcpu(2)`: the processor that a thread runs on.

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Restricts a thread to this processor. `None` is the current thread.
pub fn set(thread: Option<Pid>, processor: usize) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    if processor >= CpuSet::MAX_CPU {
        return Err(Errno::INVAL);
    }
    set.set(processor);
    sched_setaffinity(thread, &set)
}

/// Keeps the current thread on its processor. Dropped, the thread may run on those that it could run on before.
#[derive(Debug)]
pub struct Pinned {
    pub processor: usize,
    /// Processors that the thread could run on before.
    before: CpuSet,
}

impl Pinned {
    /// Pins the thread. `None` if the system call fails.
    ///
    /// A sandbox may not allow it, and a kernel may have more processors than a [`CpuSet`].
    pub fn here() -> Option<Pinned> {
        let before = sched_getaffinity(None).ok()?;
        let processor = sched_getcpu();
        set(None, processor).ok()?;
        Some(Pinned { processor, before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_until_the_end_of_the_guard() {
        let processors = || sched_getaffinity(None).unwrap();
        let before = processors();
        let pinned = Pinned::here().unwrap();
        assert_eq!(processors().count(), 1);
        assert!(processors().is_set(pinned.processor));
        drop(pinned);
        assert_eq!(processors(), before);
    }
}
