//! Many small questions, any of which may never be answered.
//!
//! The questions are asked on a thread of its own, one after the other. Whoever waits sees which one it
//! is at, and whether it moves: when it stands still for too long, the thread is left behind with the
//! question and another goes on with the next.
#![cfg_attr(not(windows), allow(dead_code))]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the thread still moves.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// So many threads may be left behind before the rest stays unasked.
const MAX_STUCK: usize = 16;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PoolResult<R> {
    /// Which question, counted from 0, and its answer.
    pub answers: Vec<(usize, R)>,
    /// Questions that were not answered within the patience for one.
    pub stuck: Vec<usize>,
    /// Questions that were never asked, because the time or the threads ran out.
    pub unasked: usize,
}

struct Work<T, F> {
    questions: Vec<T>,
    ask: F,
    next: AtomicUsize,
}

/// Nothing is being asked just now.
const IDLE: usize = usize::MAX;

/// Where a thread is.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    at: AtomicUsize,
    beats: AtomicU64,
}

impl Heartbeat {
    /// Shows that a long answer goes on: called between the calls that it is made of.
    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn seen(&self) -> (usize, u64) {
        (self.at.load(Ordering::Acquire), self.beats.load(Ordering::Relaxed))
    }
}

/// Asks every question; gives one up that stands still for `patience`, and all of it as soon as `go_on`
/// says no.
pub(crate) fn run_all<T, R>(
    questions: Vec<T>,
    patience: Duration,
    mut go_on: impl FnMut() -> bool,
    ask: impl Fn(&T, &Heartbeat) -> R + Send + Sync + 'static,
) -> PoolResult<R>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    let total = questions.len();
    let work = Arc::new(Work { questions, ask, next: AtomicUsize::new(0) });
    let (sender, receiver) = mpsc::channel();
    let mut asked = PoolResult { answers: Vec::new(), stuck: Vec::new(), unasked: 0 };
    let mut at = start(&work, &sender);
    let mut seen = ((IDLE, 0), Instant::now());
    let mut look = Instant::now();
    while asked.answers.len() + asked.stuck.len() < total {
        let Some(here) = &at else { break };
        match receiver.recv_timeout(POLL_INTERVAL) {
            Ok(answer) => asked.take(answer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if look.elapsed() < POLL_INTERVAL {
            continue;
        }
        look = Instant::now();
        if !go_on() {
            break;
        }
        let now = here.seen();
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        if now.0 != IDLE && seen.1.elapsed() >= patience {
            // It may have come back while nobody looked.
            while let Ok(answer) = receiver.try_recv() {
                asked.take(answer);
            }
            if here.seen() == now {
                asked.stuck.push(now.0);
                at = (asked.stuck.len() < MAX_STUCK).then(|| start(&work, &sender)).flatten();
                seen = ((IDLE, 0), Instant::now());
            }
        }
    }
    // Whoever still works finds nothing more to do.
    let taken = work.next.swap(total, Ordering::AcqRel).min(total);
    while let Ok(answer) = receiver.try_recv() {
        asked.take(answer);
    }
    // What was being asked at the end is as good as stuck.
    let mut known = vec![false; total];
    let answered = asked.answers.iter().map(|(index, _)| index);
    answered.chain(&asked.stuck).for_each(|&index| known[index] = true);
    asked.stuck.extend((0..taken).filter(|&index| !known[index]));
    asked.unasked = total - taken;
    asked
}

/// Asks one question, which may take `time` as a whole. `None` when it was not answered.
pub(crate) fn run_one<R: Send + 'static>(
    time: Duration,
    go_on: impl FnMut() -> bool,
    question: impl FnOnce() -> R + Send + 'static,
) -> Option<R> {
    let questions = vec![Mutex::new(Some(question))];
    let asked = run_all(questions, time, go_on, |question, _| {
        let question = question.lock().unwrap_or_else(PoisonError::into_inner).take();
        question.map(|ask| ask())
    });
    asked.answers.into_iter().find_map(|(_, answer)| answer)
}

impl<R> PoolResult<R> {
    fn take(&mut self, (index, answer): (usize, R)) {
        // One that was given up has come back after all.
        self.stuck.retain(|stuck| *stuck != index);
        self.answers.push((index, answer));
    }
}

/// Starts a thread that takes one question after the other, and tells at which one it is.
fn start<T, R, F>(work: &Arc<Work<T, F>>, sender: &Sender<(usize, R)>) -> Option<Arc<Heartbeat>>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(&T, &Heartbeat) -> R + Send + Sync + 'static,
{
    let pulse = Arc::new(Heartbeat { at: AtomicUsize::new(IDLE), beats: AtomicU64::new(0) });
    let (work, sender, mine) = (work.clone(), sender.clone(), pulse.clone());
    let thread = thread::Builder::new().name("unmoor-ask".into()).spawn(move || {
        loop {
            let index = work.next.fetch_add(1, Ordering::AcqRel);
            let Some(question) = work.questions.get(index) else { break };
            mine.at.store(index, Ordering::Release);
            let answer = (work.ask)(question, &mine);
            if sender.send((index, answer)).is_err() {
                break;
            }
            mine.at.store(IDLE, Ordering::Release);
        }
    });
    thread.is_ok().then_some(pulse)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);
    /// Long enough for a thread to get its turn on a machine with much else to do.
    const SHORT: Duration = Duration::from_secs(1);

    /// Something that never comes, and what would let it come.
    fn never() -> (Sender<()>, Mutex<mpsc::Receiver<()>>) {
        let (keep, deadline) = mpsc::channel();
        (keep, Mutex::new(deadline))
    }

    #[test]
    fn every_question_is_answered_once() {
        let mut asked = run_all((0..1000u32).collect(), LONG, || true, |n, _| n * 2);
        asked.answers.sort_unstable();
        assert_eq!((asked.stuck.len(), asked.unasked), (0, 0));
        assert_eq!(asked.answers.len(), 1000);
        assert!(asked.answers.iter().all(|(index, answer)| *answer == *index as u32 * 2));
    }

    #[test]
    fn what_is_never_answered_is_left_behind_and_the_rest_goes_on() {
        let (_keep, deadline) = never();
        let asked = run_all(
            vec![1, 2, 3, 4, 5],
            SHORT,
            || true,
            move |n, _| {
                if *n == 2 || *n == 4 {
                    // The lock is held by the first that is stuck: that holds up the second as well.
                    let _ = deadline.lock().map(|deadline| deadline.recv());
                }
                *n
            },
        );
        assert_eq!(asked.stuck, [1, 3]);
        let mut answers: Vec<i32> = asked.answers.into_iter().map(|(_, n)| n).collect();
        answers.sort_unstable();
        assert_eq!(answers, [1, 3, 5]);
        assert_eq!(asked.unasked, 0);
    }

    #[test]
    fn it_ends_when_there_is_no_more_time_and_says_what_was_left_out() {
        let (_keep, deadline) = never();
        let asked = run_all(
            (0..10).collect::<Vec<i32>>(),
            LONG,
            || false,
            move |n, _| {
                let _ = deadline.lock().map(|deadline| deadline.recv());
                *n
            },
        );
        assert!(asked.answers.is_empty());
        assert_eq!(asked.stuck.len() + asked.unasked, 10);
    }

    #[test]
    fn too_many_that_are_stuck_end_it() {
        let (_keep, deadline) = never();
        let asked = run_all(
            (0..100).collect::<Vec<i32>>(),
            Duration::ZERO,
            || true,
            move |n, _| {
                let _ = deadline.lock().map(|deadline| deadline.recv());
                *n
            },
        );
        assert_eq!(asked.stuck.len(), MAX_STUCK);
        assert_eq!(asked.unasked, 100 - MAX_STUCK);
    }

    #[test]
    fn a_panic_in_a_question_costs_that_question_only() {
        let asked = run_all(
            vec![1, 2, 3],
            SHORT,
            || true,
            |n, _| {
                assert!(*n != 2, "on purpose");
                *n
            },
        );
        assert_eq!(asked.stuck, [1]);
        assert_eq!(asked.answers.len(), 2);
    }

    #[test]
    fn a_long_answer_that_goes_on_is_waited_for() {
        let asked = run_all(
            vec![()],
            SHORT,
            || true,
            |(), pulse| {
                let start = Instant::now();
                while start.elapsed() < SHORT * 2 {
                    pulse.beat();
                    thread::yield_now();
                }
            },
        );
        assert_eq!(asked.answers, [(0, ())]);
    }

    #[test]
    fn one_question_is_answered_or_left_behind() {
        assert_eq!(run_one(LONG, || true, || 7), Some(7));
        let (_keep, deadline) = never();
        let stuck = move || deadline.lock().map(|deadline| deadline.recv()).is_ok();
        assert_eq!(run_one(LONG, || false, stuck), None);
        assert_eq!(run_one(SHORT, || true, || -> i32 { panic!("on purpose") }), None);
    }

    #[test]
    fn no_questions_need_no_time() {
        let asked = run_all(Vec::<i32>::new(), LONG, || false, |n, _| *n);
        assert_eq!(asked, PoolResult { answers: vec![], stuck: vec![], unasked: 0 });
    }
}
