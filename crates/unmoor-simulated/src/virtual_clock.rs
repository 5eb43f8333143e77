//! Virtual time for several threads: the machine's clock moves only while all of them sleep.
//!
//! A clock that every sleeper pushes on would run as many times too fast as there are threads. Here a
//! sleeping thread wakes when all the other threads sleep until the same moment or a later one. One
//! thread runs at a time, and the next one depends only on the machine. So the scenario alone determines
//! a run with many drives.

use crate::machine::Simulated;
use crate::state::MachineState;
use crate::worker_threads::Thread;
use std::sync::PoisonError;
use std::time::Duration;

impl Simulated {
    pub(crate) fn register_thread(&self) -> u64 {
        self.with(|state| {
            state.threads.last += 1;
            let number = state.threads.last;
            state.threads.all.push(Thread { number, id: None, until: None });
            number
        })
    }

    pub(crate) fn thread_started(&self, number: u64) {
        let now = self.with(|state| {
            if let Some(me) = state.threads.all.iter_mut().find(|t| t.number == number) {
                me.id = Some(std::thread::current().id());
            }
            state.now
        });
        self.sleep_until(number, now);
    }

    pub(crate) fn thread_finished(&self, number: u64) {
        let slept = self.with(|state| {
            state.threads.all.retain(|t| t.number != number);
            state.threads.running.take_if(|running| *running == number);
            state.wake_next()
        });
        self.notify_sleepers(slept);
    }

    /// Lets time pass for this thread.
    pub(crate) fn spend(&self, time: Duration) {
        let id = Some(std::thread::current().id());
        let at_work = self.with(|state| {
            let me = state.threads.all.iter().find(|t| t.id == id);
            me.map(|me| (me.number, state.now + time))
        });
        match at_work {
            Some((number, until)) => self.sleep_until(number, until),
            None => {
                if self.real_time {
                    std::thread::sleep(time);
                }
                self.with(|state| state.advance(time));
            }
        }
    }

    fn sleep_until(&self, number: u64, until: Duration) {
        let slept = self.with(|state| {
            if let Some(me) = state.threads.all.iter_mut().find(|t| t.number == number) {
                me.until = Some(until);
            }
            state.threads.running.take_if(|running| *running == number);
            state.wake_next()
        });
        self.notify_sleepers(slept);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.threads.running != Some(number) {
            state = self.woke.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notifies the sleeping threads after a sleep of this length.
    fn notify_sleepers(&self, slept: Option<Duration>) {
        let Some(slept) = slept else { return };
        if self.real_time {
            std::thread::sleep(slept);
        }
        self.woke.notify_all();
    }
}

impl MachineState {
    /// Moves the clock to the first wake-up and selects the thread that wakes. Does so only if no thread
    /// runs and all have started. Returns the length of the sleep if a thread was woken.
    fn wake_next(&mut self) -> Option<Duration> {
        let threads = &self.threads;
        if threads.running.is_some() || threads.all.iter().any(|t| t.until.is_none()) {
            return None;
        }
        let wakes = |t: &Thread| Some((t.until?, t.number));
        let (until, number) = threads.all.iter().filter_map(wakes).min()?;
        let slept = until.saturating_sub(self.now);
        self.advance(slept);
        self.threads.running = Some(number);
        if let Some(next) = self.threads.all.iter_mut().find(|t| t.number == number) {
            next.until = None;
        }
        Some(slept)
    }
}
