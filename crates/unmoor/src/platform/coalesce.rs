//! Request coalescing: requests that arrive while one is answered are answered together.

use crate::deadline::Deadline;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Interval between checks of the deadline while a request waits.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Batches the requests that arrive while others are answered.
///
/// The first caller does the work for its own request. Requests that arrive meanwhile form the next batch, for which
/// one of the waiting callers does the work. So no answer is older than its request.
pub(crate) struct Coalescer<Q, A> {
    queue: Mutex<Queue<Q, A>>,
    condvar: Condvar,
}

struct Queue<Q, A> {
    /// True while a batch is answered.
    busy: bool,
    pending: Vec<Request<Q, A>>,
}

struct Request<Q, A> {
    question: Q,
    answer: Arc<OnceLock<A>>,
}

impl<Q, A: Clone> Coalescer<Q, A> {
    pub(crate) const fn new() -> Self {
        Coalescer {
            queue: Mutex::new(Queue { busy: false, pending: Vec::new() }),
            condvar: Condvar::new(),
        }
    }

    /// Returns the answer to this question; `work` has to return one for each question of a batch.
    ///
    /// Returns `None` if the caller's time is over, or if the work for the batch failed.
    pub(crate) fn request(
        &self,
        question: Q,
        deadline: &mut Deadline<'_>,
        work: impl FnOnce(&[Q], &mut Deadline<'_>) -> Vec<A>,
    ) -> Option<A> {
        let answer = Arc::new(OnceLock::new());
        let mut queue = self.queue();
        queue.pending.push(Request { question, answer: answer.clone() });
        // A batch that ends without an answer drops its reference to it.
        while queue.busy {
            queue = self
                .condvar
                .wait_timeout(queue, POLL_INTERVAL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if answer.get().is_some() || Arc::strong_count(&answer) == 1 {
                return answer.get().cloned();
            }
            if deadline.check().is_err() {
                queue.pending.retain(|request| !Arc::ptr_eq(&request.answer, &answer));
                return None;
            }
        }
        if Arc::strong_count(&answer) == 1 {
            return answer.get().cloned();
        }
        queue.busy = true;
        let (questions, answers): (Vec<Q>, Vec<_>) =
            queue.pending.drain(..).map(|request| (request.question, request.answer)).unzip();
        drop(queue);
        let batch = BatchGuard { coalescer: self, answers };
        for (slot, answer) in batch.answers.iter().zip(work(&questions, deadline)) {
            let _ = slot.set(answer);
        }
        drop(batch);
        answer.get().cloned()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Q, A>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Batch that is being answered; ends also when the work panics.
struct BatchGuard<'c, Q, A: Clone> {
    coalescer: &'c Coalescer<Q, A>,
    answers: Vec<Arc<OnceLock<A>>>,
}

impl<Q, A: Clone> Drop for BatchGuard<'_, Q, A> {
    fn drop(&mut self) {
        let mut queue = self.coalescer.queue();
        self.answers.clear();
        queue.busy = false;
        drop(queue);
        self.coalescer.condvar.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::{Cancel, Clock};
    use crate::platform::linux::Linux;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    fn request(
        coalescer: &Coalescer<u32, u32>,
        question: u32,
        time: Duration,
        work: impl FnOnce(&[u32]) -> Vec<u32>,
    ) -> Option<u32> {
        let (clock, cancel) = (Linux::new(), Cancel::new());
        let mut watch = |_| {};
        let mut deadline = Deadline::until(&clock, clock.now() + time, &cancel, &mut watch);
        coalescer.request(question, &mut deadline, |questions, _| work(questions))
    }

    const LONG: Duration = Duration::from_secs(600);

    fn double(questions: &[u32]) -> Vec<u32> {
        questions.iter().map(|question| question * 2).collect()
    }

    /// Runs `others` while the work on question 0 goes on.
    fn while_one_works<T: Send>(
        coalescer: &Coalescer<u32, u32>,
        others: impl FnOnce() -> T + Send,
    ) -> (Option<u32>, T) {
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let first = scope.spawn(move || {
                request(coalescer, 0, LONG, |questions| {
                    assert_eq!(questions, [0]);
                    begun.send(()).unwrap();
                    let _ = may_end.recv();
                    vec![7]
                })
            });
            has_begun.recv().unwrap();
            let others = scope.spawn(others);
            let waits = |count| coalescer.queue().pending.len() == count;
            while !others.is_finished() && !waits(3) {
                std::thread::yield_now();
            }
            drop(end);
            (first.join().unwrap(), others.join().unwrap())
        })
    }

    #[test]
    fn requests_that_arrive_during_a_scan_share_the_next_one() {
        let (coalescer, scans) = (Coalescer::new(), AtomicUsize::new(0));
        let one = |question| {
            request(&coalescer, question, LONG, |questions| {
                scans.fetch_add(1, Ordering::Relaxed);
                double(questions)
            })
        };
        let (first, others) = while_one_works(&coalescer, || {
            std::thread::scope(|scope| {
                [1, 2, 3].map(|n| scope.spawn(move || one(n))).map(|t| t.join().unwrap())
            })
        });
        assert_eq!((first, others), (Some(7), [Some(2), Some(4), Some(6)]));
        assert_eq!(scans.into_inner(), 1);
    }

    #[test]
    fn a_request_that_times_out_is_taken_out_of_the_queue() {
        let coalescer = Coalescer::new();
        let (_, late) = while_one_works(&coalescer, || {
            request(&coalescer, 1, Duration::from_millis(1), |_| panic!("there is no time"))
        });
        assert_eq!(late, None);
        assert_eq!(request(&coalescer, 2, LONG, double), Some(4));
    }

    #[test]
    fn failed_work_answers_none_and_the_next_request_succeeds() {
        let coalescer = Coalescer::new();
        let bad = std::panic::AssertUnwindSafe(|| {
            request(&coalescer, 1, LONG, |_| std::panic::resume_unwind(Box::new(())))
        });
        assert!(std::panic::catch_unwind(bad).is_err());
        assert_eq!(request(&coalescer, 2, LONG, |_| Vec::new()), None);
        assert_eq!(request(&coalescer, 3, LONG, double), Some(6));
    }
}
