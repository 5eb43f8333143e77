//! Questions that are asked at the same time, answered by one piece of work.

use crate::deadline::Deadline;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How often whoever waits looks whether its own time is over.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Answers come in rounds: who asks first does the work, for itself; whoever asks meanwhile waits for the
/// next round, of which one of those who wait does the work for all. So no answer is older than its
/// question.
pub(crate) struct Coalescer<Q, A> {
    table: Mutex<Queue<Q, A>>,
    bell: Condvar,
}

struct Queue<Q, A> {
    under_way: bool,
    asked: Vec<Request<Q, A>>,
}

struct Request<Q, A> {
    question: Q,
    answer: Arc<OnceLock<A>>,
}

impl<Q, A: Clone> Coalescer<Q, A> {
    pub(crate) const fn new() -> Self {
        Coalescer {
            table: Mutex::new(Queue { under_way: false, asked: Vec::new() }),
            bell: Condvar::new(),
        }
    }

    /// The answer to this question; `work` gives one to each of those it gets. `None` when the own time is
    /// over, or whoever did the work came to no answer.
    pub(crate) fn request(
        &self,
        question: Q,
        deadline: &mut Deadline<'_>,
        work: impl FnOnce(&[Q], &mut Deadline<'_>) -> Vec<A>,
    ) -> Option<A> {
        let answer = Arc::new(OnceLock::new());
        let mut table = self.table();
        table.asked.push(Request { question, answer: answer.clone() });
        // Without an answer, it is only ours as long as the round it is in goes on.
        while table.under_way {
            table = self
                .bell
                .wait_timeout(table, POLL_INTERVAL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if answer.get().is_some() || Arc::strong_count(&answer) == 1 {
                return answer.get().cloned();
            }
            if deadline.check().is_err() {
                table.asked.retain(|asked| !Arc::ptr_eq(&asked.answer, &answer));
                return None;
            }
        }
        if Arc::strong_count(&answer) == 1 {
            return answer.get().cloned();
        }
        table.under_way = true;
        let (questions, waiting): (Vec<Q>, Vec<_>) =
            table.asked.drain(..).map(|asked| (asked.question, asked.answer)).unzip();
        drop(table);
        let round = BatchGuard { rounds: self, waiting };
        for (asker, answer) in round.waiting.iter().zip(work(&questions, deadline)) {
            let _ = asker.set(answer);
        }
        drop(round);
        answer.get().cloned()
    }

    fn table(&self) -> MutexGuard<'_, Queue<Q, A>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A round that is under way; it ends also when the work panics.
struct BatchGuard<'r, Q, A: Clone> {
    rounds: &'r Coalescer<Q, A>,
    waiting: Vec<Arc<OnceLock<A>>>,
}

impl<Q, A: Clone> Drop for BatchGuard<'_, Q, A> {
    fn drop(&mut self) {
        let mut table = self.rounds.table.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.clear();
        table.under_way = false;
        drop(table);
        self.rounds.bell.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::{Cancel, Clock};
    use crate::platform::linux::Linux;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    fn ask(
        rounds: &Coalescer<u32, u32>,
        question: u32,
        time: Duration,
        work: impl FnOnce(&[u32]) -> Vec<u32>,
    ) -> Option<u32> {
        let (clock, cancel) = (Linux::new(), Cancel::new());
        let mut watch = |_| {};
        let mut deadline = Deadline::until(&clock, clock.now() + time, &cancel, &mut watch);
        rounds.request(question, &mut deadline, |questions, _| work(questions))
    }

    const LONG: Duration = Duration::from_secs(600);

    fn double(questions: &[u32]) -> Vec<u32> {
        questions.iter().map(|question| question * 2).collect()
    }

    /// Has `others` ask while the work on question 0 goes on.
    fn while_one_works<T: Send>(
        rounds: &Coalescer<u32, u32>,
        others: impl FnOnce() -> T + Send,
    ) -> (Option<u32>, T) {
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let first = scope.spawn(move || {
                ask(rounds, 0, LONG, |questions| {
                    assert_eq!(questions, [0]);
                    begun.send(()).unwrap();
                    let _ = may_end.recv();
                    vec![7]
                })
            });
            has_begun.recv().unwrap();
            let others = scope.spawn(others);
            let waits = |count| rounds.table().asked.len() == count;
            while !others.is_finished() && !waits(3) {
                std::thread::yield_now();
            }
            drop(end);
            (first.join().unwrap(), others.join().unwrap())
        })
    }

    #[test]
    fn whoever_asks_meanwhile_shares_the_next_round() {
        let (rounds, worked) = (Coalescer::new(), AtomicUsize::new(0));
        let one = |question| {
            ask(&rounds, question, LONG, |questions| {
                worked.fetch_add(1, Ordering::Relaxed);
                double(questions)
            })
        };
        let (first, others) = while_one_works(&rounds, || {
            std::thread::scope(|scope| {
                [1, 2, 3].map(|n| scope.spawn(move || one(n))).map(|t| t.join().unwrap())
            })
        });
        assert_eq!((first, others), (Some(7), [Some(2), Some(4), Some(6)]));
        assert_eq!(worked.into_inner(), 1);
    }

    #[test]
    fn whoever_runs_out_of_time_meanwhile_goes_without_and_nobody_works_for_it() {
        let rounds = Coalescer::new();
        let (_, late) = while_one_works(&rounds, || {
            ask(&rounds, 1, Duration::from_millis(1), |_| panic!("there is no time"))
        });
        assert_eq!(late, None);
        assert_eq!(ask(&rounds, 2, LONG, double), Some(4));
    }

    #[test]
    fn whoever_waits_for_work_that_comes_to_a_bad_end_goes_without() {
        let rounds = Coalescer::new();
        let bad = std::panic::AssertUnwindSafe(|| {
            ask(&rounds, 1, LONG, |_| std::panic::resume_unwind(Box::new(())))
        });
        assert!(std::panic::catch_unwind(bad).is_err());
        assert_eq!(ask(&rounds, 2, LONG, |_| Vec::new()), None);
        assert_eq!(ask(&rounds, 3, LONG, double), Some(6));
    }
}
