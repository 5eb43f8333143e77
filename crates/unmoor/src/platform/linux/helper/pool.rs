//! Helpers that are forked before a batch begins, while the program holds nothing and has one thread.
//!
//! A fork while other threads work costs much more: their pages are write-protected, and copied as soon as they
//! are written to again. And for a moment the new process holds what the other threads have open.

use crate::platform::linux::helper::process::Process;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Idle helpers, for as long as there are workers.
#[derive(Debug, Default)]
pub struct Pool(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    idle: Vec<Process>,
    /// Workers that were registered and have not finished.
    workers: usize,
    /// Workers that were registered and have not taken a helper.
    waiting: usize,
}

impl Pool {
    /// Forks a helper for a worker that is about to start. Called by a thread that outlives the worker.
    pub fn register_worker(&self) {
        let mut state = self.state();
        state.workers += 1;
        state.waiting += 1;
        while state.idle.len() < state.waiting {
            // Without one, the worker tries by itself, and reports why it cannot.
            let Ok(process) = Process::fork() else { break };
            state.idle.push(process.for_every_thread());
        }
    }

    /// Takes a worker off the count, and ends the helpers with the last one.
    pub fn worker_finished(&self) {
        let mut state = self.state();
        state.workers = state.workers.saturating_sub(1);
        if state.workers == 0 {
            state.waiting = 0;
            let idle = std::mem::take(&mut state.idle);
            drop(state);
            end_all(idle);
        }
    }

    /// Takes an idle helper out.
    pub fn take(&self) -> Option<Process> {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(1);
        state.idle.pop()
    }

    /// Takes a helper back, for the next user.
    pub fn give_back(&self, process: Process) {
        let mut state = self.state();
        if state.workers > 0 && process.is_for_every_thread() {
            state.idle.push(process);
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
