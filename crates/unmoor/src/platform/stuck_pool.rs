//! Threads for calls that may never return.
//!
//! Some system calls cannot be interrupted: a dead server, or a process whose memory lock is taken, keeps the calling
//! thread in the kernel for good. The pool watches the heartbeat of each of its threads. A thread that stands
//! still is left behind with its item, and another one goes on with the next item.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Interval between checks of the heartbeats.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Largest number of threads that one run starts, those left behind included, unless the work says more.
const MAX_THREADS: usize = 16;

/// Value of [`Heartbeat::item`] between two items.
const IDLE: usize = usize::MAX;

/// Work that is divided into items, which the threads of a pool take one after the other.
pub(crate) trait Work: Send + Sync + 'static {
    /// Takes items until none is left.
    fn run(&self, heartbeat: &Arc<Heartbeat>);

    /// Returns how many threads the waiting items are worth; 0 if none waits.
    fn wanted_threads(&self) -> usize;

    /// Returns the largest number of threads to start, those left behind included.
    fn max_threads(&self) -> usize {
        MAX_THREADS
    }
}

/// Progress of one worker thread.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    item: AtomicUsize,
    beats: AtomicU64,
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    monitor: Arc<Monitor>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat {
            item: AtomicUsize::new(IDLE),
            beats: AtomicU64::new(0),
            monitor: Arc::default(),
        }
    }
}

impl Heartbeat {
    /// Counts a step of a long item, and returns how many steps came before it.
    pub(crate) fn beat(&self) -> u64 {
        self.beats.fetch_add(1, Ordering::Relaxed)
    }

    /// Records the item that the thread begins.
    pub(crate) fn begin(&self, item: usize) {
        self.item.store(item, Ordering::Release);
    }

    /// Records that the thread has finished its item.
    pub(crate) fn finish(&self) {
        self.item.store(IDLE, Ordering::Release);
    }

    /// Makes the pool ask for [`Work::wanted_threads`] at once.
    #[cfg_attr(windows, allow(dead_code))]
    pub(crate) fn wake_pool(&self) {
        self.monitor.notify();
    }

    fn state(&self) -> (usize, u64) {
        (self.item.load(Ordering::Acquire), self.beats.load(Ordering::Relaxed))
    }
}

/// Counter of events that the pool waits for.
#[derive(Debug, Default)]
struct Monitor {
    events: Mutex<u64>,
    condvar: Condvar,
}

impl Monitor {
    fn events(&self) -> MutexGuard<'_, u64> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        *self.events() += 1;
        self.condvar.notify_all();
    }

    /// Waits for an event after the first `seen`, for one poll interval at most.
    fn wait(&self, seen: u64) {
        let unchanged = |events: &mut u64| *events == seen;
        drop(self.condvar.wait_timeout_while(self.events(), POLL_INTERVAL, unchanged));
    }
}

/// Runs the work on threads of its own, and returns the items that threads are stuck at.
///
/// Ends when every item is finished or stuck, when too many threads are stuck, or when `go_on` returns false. A thread
/// counts as stuck when its heartbeat has stood still for `stuck_after`.
pub(crate) fn run_pool<W: Work>(
    work: &Arc<W>,
    stuck_after: Duration,
    mut go_on: impl FnMut() -> bool,
) -> Vec<usize> {
    let monitor = Arc::new(Monitor::default());
    let mut workers: Vec<Worker> = Vec::new();
    loop {
        let seen = *monitor.events();
        let running: Vec<&mut Worker> = workers.iter_mut().filter(|w| !w.is_finished()).collect();
        let running_count = running.len();
        let stuck: Vec<usize> =
            running.into_iter().filter_map(|w| w.stuck_at(stuck_after)).collect();
        let wanted = work.wanted_threads();
        if wanted == 0 || workers.len() >= work.max_threads() {
            if stuck.len() == running_count {
                return stuck;
            }
        } else if running_count - stuck.len() < wanted {
            workers.push(Worker::start(work, &monitor));
            continue;
        }
        monitor.wait(seen);
        if !go_on() {
            return stuck;
        }
    }
}

/// One thread of the pool.
struct Worker {
    finished: Arc<AtomicBool>,
    heartbeat: Arc<Heartbeat>,
    /// Last state of the heartbeat, and when it was first seen.
    last: ((usize, u64), Instant),
}

impl Worker {
    fn start<W: Work>(work: &Arc<W>, monitor: &Arc<Monitor>) -> Worker {
        let heartbeat = Arc::new(Heartbeat { monitor: monitor.clone(), ..Heartbeat::default() });
        let guard = FinishGuard { finished: Arc::default(), monitor: monitor.clone() };
        let worker = Worker {
            finished: guard.finished.clone(),
            heartbeat: heartbeat.clone(),
            last: ((IDLE, 0), Instant::now()),
        };
        let work = work.clone();
        let thread = thread::Builder::new().name("unmoor-worker".into()).spawn(move || {
            let _guard = guard;
            work.run(&heartbeat);
        });
        // When no thread can be started, the closure and its guard are dropped: the worker is finished.
        drop(thread);
        worker
    }

    fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Returns the item that the thread is stuck at.
    fn stuck_at(&mut self, stuck_after: Duration) -> Option<usize> {
        let state = self.heartbeat.state();
        if state != self.last.0 {
            self.last = (state, Instant::now());
        }
        (state.0 != IDLE && self.last.1.elapsed() >= stuck_after).then_some(state.0)
    }
}

/// Reports the end of a thread, also when it panics or never begins.
struct FinishGuard {
    finished: Arc<AtomicBool>,
    monitor: Arc<Monitor>,
}

impl Drop for FinishGuard {
    fn drop(&mut self) {
        self.finished.store(true, Ordering::Release);
        self.monitor.notify();
    }
}

/// Result of [`run_all`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PoolResult<R> {
    /// Number of each question, counted from 0, with its answer.
    pub answers: Vec<(usize, R)>,
    /// Questions without an answer: their call hangs, it panicked, or the time was over.
    pub stuck: Vec<usize>,
    /// Number of questions that were never asked.
    pub unasked: usize,
}

struct Questions<T, F, R> {
    questions: Vec<T>,
    ask: F,
    next: AtomicUsize,
    answers: Sender<(usize, R)>,
    limits: ThreadLimits,
}

/// Number of threads that ask questions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadLimits {
    /// At the same time.
    pub at_once: usize,
    /// In total, those left behind included.
    pub total: usize,
}

impl<T, F, R> Work for Questions<T, F, R>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(&T, &Heartbeat) -> R + Send + Sync + 'static,
{
    fn run(&self, heartbeat: &Arc<Heartbeat>) {
        loop {
            let index = self.next.fetch_add(1, Ordering::AcqRel);
            let Some(question) = self.questions.get(index) else { break };
            heartbeat.begin(index);
            if self.answers.send((index, (self.ask)(question, heartbeat))).is_err() {
                break;
            }
            heartbeat.finish();
        }
    }

    fn wanted_threads(&self) -> usize {
        let taken = self.next.load(Ordering::Acquire).min(self.questions.len());
        (self.questions.len() - taken).min(self.limits.at_once)
    }

    fn max_threads(&self) -> usize {
        self.limits.total
    }
}

/// Asks every question on one thread, and gives up those that stand still for `stuck_after`.
///
/// Ends as soon as `go_on` returns false. Answers come in any order.
#[cfg_attr(not(windows), allow(dead_code))]
pub(crate) fn run_all<T, R>(
    questions: Vec<T>,
    stuck_after: Duration,
    go_on: impl FnMut() -> bool,
    ask: impl Fn(&T, &Heartbeat) -> R + Send + Sync + 'static,
) -> PoolResult<R>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    let limits = ThreadLimits { at_once: 1, total: MAX_THREADS };
    run_limited(questions, stuck_after, limits, go_on, ask)
}

/// Asks every question as [`run_all`] does, on this many threads.
pub(crate) fn run_limited<T, R>(
    questions: Vec<T>,
    stuck_after: Duration,
    limits: ThreadLimits,
    go_on: impl FnMut() -> bool,
    ask: impl Fn(&T, &Heartbeat) -> R + Send + Sync + 'static,
) -> PoolResult<R>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    let total = questions.len();
    let (answers, receiver) = mpsc::channel();
    let work = Arc::new(Questions { questions, ask, next: AtomicUsize::new(0), answers, limits });
    run_pool(&work, stuck_after, go_on);
    // A thread that still runs finds nothing more to take.
    let taken = work.next.swap(total, Ordering::AcqRel).min(total);
    let answers: Vec<(usize, R)> = receiver.try_iter().collect();
    let mut answered = vec![false; total];
    answers.iter().for_each(|(index, _)| answered[*index] = true);
    let stuck = (0..taken).filter(|&index| !answered[index]).collect();
    PoolResult { answers, stuck, unasked: total - taken }
}

/// Asks one question; returns `None` if there is no answer within `time`.
pub(crate) fn run_one<R: Send + 'static>(
    time: Duration,
    go_on: impl FnMut() -> bool,
    question: impl FnOnce() -> R + Send + 'static,
) -> Option<R> {
    let questions = vec![Mutex::new(Some(question))];
    let result = run_all(questions, time, go_on, |question, _| {
        let question = question.lock().unwrap_or_else(PoisonError::into_inner).take();
        question.map(|ask| ask())
    });
    result.answers.into_iter().find_map(|(_, answer)| answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);
    /// Time in which a thread gets its turn on a busy machine.
    const SHORT: Duration = Duration::from_secs(1);

    /// Returns a message that never comes, and the sender that keeps its channel open.
    fn never() -> (Sender<()>, Mutex<mpsc::Receiver<()>>) {
        let (keep, never) = mpsc::channel();
        (keep, Mutex::new(never))
    }

    #[test]
    fn every_question_is_answered_once() {
        let mut result = run_all((0..1000u32).collect(), LONG, || true, |n, _| n * 2);
        result.answers.sort_unstable();
        assert_eq!((result.stuck.len(), result.unasked), (0, 0));
        assert_eq!(result.answers.len(), 1000);
        assert!(result.answers.iter().all(|(index, answer)| *answer == *index as u32 * 2));
    }

    #[test]
    fn a_question_that_hangs_is_left_behind_and_the_others_are_answered() {
        let (_keep, message) = never();
        let result = run_all(
            vec![1, 2, 3, 4, 5],
            SHORT,
            || true,
            move |n, _| {
                if *n == 2 || *n == 4 {
                    // The first stuck thread keeps the lock, so the second hangs as well.
                    let _ = message.lock().map(|message| message.recv());
                }
                *n
            },
        );
        assert_eq!(result.stuck, [1, 3]);
        let mut answers: Vec<i32> = result.answers.into_iter().map(|(_, n)| n).collect();
        answers.sort_unstable();
        assert_eq!(answers, [1, 3, 5]);
        assert_eq!(result.unasked, 0);
    }

    #[test]
    fn the_end_of_the_time_ends_the_pool_and_counts_unasked_questions() {
        let (_keep, message) = never();
        let result = run_all(
            (0..10).collect::<Vec<i32>>(),
            LONG,
            || false,
            move |n, _| {
                let _ = message.lock().map(|message| message.recv());
                *n
            },
        );
        assert!(result.answers.is_empty());
        assert_eq!(result.stuck.len() + result.unasked, 10);
    }

    #[test]
    fn a_hundred_stuck_questions_keep_nobody_from_the_others() {
        let (_keep, message) = never();
        let message = Arc::new(message);
        let limits = ThreadLimits { at_once: 8, total: 150 };
        let result = run_limited(
            (0..200).collect::<Vec<i32>>(),
            Duration::from_millis(100),
            limits,
            || true,
            move |n, _| {
                if n % 2 == 0 {
                    let _ = message.lock().map(|message| message.recv());
                }
                *n
            },
        );
        assert_eq!((result.stuck.len(), result.answers.len(), result.unasked), (100, 100, 0));
    }

    #[test]
    fn too_many_stuck_threads_end_the_pool() {
        let (_keep, message) = never();
        let result = run_all(
            (0..100).collect::<Vec<i32>>(),
            Duration::ZERO,
            || true,
            move |n, _| {
                let _ = message.lock().map(|message| message.recv());
                *n
            },
        );
        assert_eq!(result.stuck.len(), MAX_THREADS);
        assert_eq!(result.unasked, 100 - MAX_THREADS);
    }

    #[test]
    fn a_panic_in_a_question_costs_that_question_only() {
        let result = run_all(
            vec![1, 2, 3],
            SHORT,
            || true,
            |n, _| {
                assert!(*n != 2, "on purpose");
                *n
            },
        );
        assert_eq!(result.stuck, [1]);
        assert_eq!(result.answers.len(), 2);
    }

    #[test]
    fn a_question_whose_heartbeat_goes_on_is_not_stuck() {
        let result = run_all(
            vec![()],
            SHORT,
            || true,
            |(), heartbeat| {
                let start = Instant::now();
                while start.elapsed() < SHORT * 2 {
                    heartbeat.beat();
                    thread::yield_now();
                }
            },
        );
        assert_eq!(result.answers, [(0, ())]);
    }

    #[test]
    fn run_one_returns_the_answer_or_none() {
        assert_eq!(run_one(LONG, || true, || 7), Some(7));
        let (_keep, message) = never();
        let stuck = move || message.lock().map(|message| message.recv()).is_ok();
        assert_eq!(run_one(LONG, || false, stuck), None);
        assert_eq!(run_one(SHORT, || true, || -> i32 { panic!("on purpose") }), None);
    }

    #[test]
    fn no_questions_start_no_thread() {
        let result = run_all(Vec::<i32>::new(), LONG, || false, |n, _| *n);
        assert_eq!(result, PoolResult { answers: vec![], stuck: vec![], unasked: 0 });
    }
}
