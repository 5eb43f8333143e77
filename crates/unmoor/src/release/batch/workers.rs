//! Worker threads that take tasks from a queue, and send what happens to the caller's thread.

use crate::deadline::Cancel;
use crate::platform::Platform;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

/// Maximum number of drives that are worked on at the same time.
pub const MAX_CONCURRENT: usize = 64;

/// Stack of a worker, in bytes. glibc keeps up to 40 MiB of stacks for later threads (glibc.pthread.stack_cache_size);
/// elsewhere it is the standard library's 2 MiB.
const STACK_SIZE: usize = if cfg!(target_env = "gnu") && cfg!(unix) { 512 << 10 } else { 2 << 20 };

/// A task, and the platform that it works on.
pub(crate) type Task<'p, T> = (&'p dyn Platform, T);

/// A task in the queue, and its number if the platform knows of it already.
type Queued<'p, T> = (Option<u64>, Task<'p, T>);

/// Runs `work` on every task, with up to [`MAX_CONCURRENT`] threads, and `receive` on this thread.
///
/// A task whose work panics sends nothing more. If `receive` panics, everything is cancelled.
pub(crate) fn run<'p, T: Send, M: Send>(
    tasks: Vec<Task<'p, T>>,
    cancel: &Cancel,
    work: impl Fn(T, &Sender<M>) + Sync,
    receive: impl FnMut(M),
) {
    let threads = tasks.len().min(MAX_CONCURRENT);
    // All are registered before the first one starts: a simulated clock stands still until then.
    let register =
        |(at, task): (usize, Task<'p, T>)| ((at < threads).then(|| task.0.register_worker()), task);
    let queue = Mutex::new(tasks.into_iter().enumerate().map(register).collect());
    let (tx, rx) = channel();
    std::thread::scope(|scope| {
        let _guard = CancelOnPanic(cancel);
        let mut spawned = 0;
        for _ in 0..threads {
            let (queue, work, tx) = (&queue, &work, tx.clone());
            // The thread has no name: a helper process that is left behind bears the program's own.
            let thread = std::thread::Builder::new().stack_size(STACK_SIZE);
            let thread = thread.spawn_scoped(scope, move || run_queue(queue, work, &tx));
            spawned += usize::from(thread.is_ok());
        }
        if spawned == 0 {
            run_queue(&queue, &work, &tx);
        }
        drop(tx);
        rx.into_iter().for_each(receive);
    });
}

fn run_queue<T, M>(
    queue: &Mutex<VecDeque<Queued<'_, T>>>,
    work: &impl Fn(T, &Sender<M>),
    tx: &Sender<M>,
) {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    while let Some((number, (platform, task))) = next() {
        let number = number.unwrap_or_else(|| platform.register_worker());
        platform.worker_started(number);
        // Every lock is a guard: it is released by the time a panic arrives here.
        let _ = catch_unwind(AssertUnwindSafe(|| work(task, tx)));
        platform.worker_finished(number);
    }
}

/// Cancels all operations if the thread that receives their events panics.
struct CancelOnPanic<'c>(&'c Cancel);

impl Drop for CancelOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}
