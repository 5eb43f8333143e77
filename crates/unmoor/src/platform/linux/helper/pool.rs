//! Helpers that are forked before a batch begins, while the program holds nothing and has one thread.
//!
//! A fork while other threads work costs much more: their pages are write-protected, and copied as soon as they
//! are written to again. And for a moment the new process holds what the other threads have open.

use crate::platform::linux::helper::process::Process;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Idle helpers of the batches that are under way.
#[derive(Debug, Default)]
pub struct Pool(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    idle: Vec<Process>,
    /// Number of batches that were started and have not finished.
    batches: usize,
}

impl Pool {
    /// Forks `count` helpers for the workers of a batch. The current thread must outlive them.
    pub fn batch_started(&self, count: usize) {
        let mut state = self.state();
        state.batches += 1;
        for _ in 0..count {
            // Without one, the worker tries by itself, and reports why it cannot.
            let Ok(process) = Process::fork() else { break };
            state.idle.push(process.for_every_thread());
        }
    }

    /// Ends the helpers with the last batch.
    pub fn batch_finished(&self) {
        let mut state = self.state();
        state.batches = state.batches.saturating_sub(1);
        if state.batches == 0 {
            let idle = std::mem::take(&mut state.idle);
            drop(state);
            end_all(idle);
        }
    }

    /// Takes an idle helper out.
    pub fn take(&self) -> Option<Process> {
        let mut state = self.state();
        let usable = state.idle.iter().rposition(Process::outlives_this_thread)?;
        Some(state.idle.swap_remove(usable))
    }

    /// Takes a helper back, for the next user.
    pub fn give_back(&self, process: Process) {
        let mut state = self.state();
        if state.batches > 0 && process.is_for_every_thread() {
            state.idle.push(process);
        } else if state.batches == 0 {
            let before = std::mem::replace(&mut state.idle, vec![process]);
            drop(state);
            end_all(before);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills all helpers before it waits for the first.
fn end_all(processes: Vec<Process>) {
    processes.iter().for_each(Process::kill);
    drop(processes);
}

impl Drop for Pool {
    fn drop(&mut self) {
        end_all(std::mem::take(&mut self.state().idle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::helper::Helper;
    use crate::platform::linux::helper::process::is_helper;
    use crate::platform::linux::helper::request::Request;
    use crate::platform::linux::sys::clock::within;
    use std::sync::Arc;
    use std::time::Duration;

    fn works(helper: &Helper) -> bool {
        let request = Request::Sleep { seconds: 0 };
        within(Duration::from_secs(60), |deadline| helper.run(&request, deadline)).is_ok()
    }

    fn idle(pool: &Pool) -> Vec<u32> {
        pool.state().idle.iter().map(Process::pid).collect()
    }

    #[test]
    fn a_helper_serves_one_worker_after_the_other_and_ends_with_the_batch() {
        let pool = Arc::new(Pool::default());
        pool.batch_started(1);
        let forked = idle(&pool);
        for _ in 0..2 {
            let pool = pool.clone();
            std::thread::spawn(move || assert!(works(&Helper::from_pool(&pool)))).join().unwrap();
        }
        assert_eq!(idle(&pool), forked);
        pool.batch_finished();
        assert!(idle(&pool).is_empty() && !is_helper(forked[0]));
    }

    #[test]
    fn without_a_batch_one_helper_serves_the_operations_of_a_thread() {
        let pool = Arc::new(Pool::default());
        assert!(works(&Helper::from_pool(&pool)));
        let first = idle(&pool);
        assert_eq!(first.len(), 1);
        let (one, other) = (Helper::from_pool(&pool), Helper::from_pool(&pool));
        assert!(works(&one) && works(&other));
        drop((one, other));
        assert_eq!(idle(&pool).len(), 1);
        // It ends with the thread that forked it, so another thread has its own.
        let ours = idle(&pool);
        let of_thread = pool.clone();
        std::thread::spawn(move || assert!(works(&Helper::from_pool(&of_thread)))).join().unwrap();
        assert!(works(&Helper::from_pool(&pool)));
        assert_eq!(idle(&pool).len(), 1);
        assert!(!is_helper(ours[0]));
        let last = idle(&pool);
        drop(pool);
        assert!(!is_helper(last[0]));
    }

    #[test]
    fn a_helper_that_a_worker_forked_ends_with_its_user() {
        let pool = Arc::new(Pool::default());
        pool.batch_started(0);
        let helper = Helper::from_pool(&pool);
        assert!(works(&helper));
        drop(helper);
        assert!(idle(&pool).is_empty());
        pool.batch_finished();
    }
}
