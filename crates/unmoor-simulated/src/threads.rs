//! Time for several threads at once: the machine's clock moves on only while all of them sleep.
//!
//! A clock that every sleeper pushes on would run as many times too fast as there are threads. Here a
//! thread that sleeps until a moment is woken when everybody else sleeps until that moment or a later
//! one; one thread runs at a time, and which comes next depends on nothing but the machine. So a run
//! with many drives can be told from the next one by its scenario alone.

use crate::Simulated;
use crate::world::MachineState;
use std::sync::PoisonError;
use std::thread::ThreadId;
use std::time::Duration;

/// The threads at work on the drives of a machine.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    last: u64,
    /// Announced and not over.
    all: Vec<Thread>,
    running: Option<u64>,
}

#[derive(Debug)]
struct Thread {
    number: u64,
    /// Which of the program's it is; `None` until it has begun.
    id: Option<ThreadId>,
    /// The moment it sleeps to; `None` while it runs.
    until: Option<Duration>,
}

impl Simulated {
    pub(crate) fn announce(&self) -> u64 {
        self.with(|w| {
            w.threads.last += 1;
            let number = w.threads.last;
            w.threads.all.push(Thread { number, id: None, until: None });
            number
        })
    }

    pub(crate) fn begin(&self, number: u64) {
        let now = self.with(|w| {
            if let Some(me) = w.threads.all.iter_mut().find(|t| t.number == number) {
                me.id = Some(std::thread::current().id());
            }
            w.now
        });
        self.sleep_until(number, now);
    }

    pub(crate) fn end(&self, number: u64) {
        let slept = self.with(|w| {
            w.threads.all.retain(|t| t.number != number);
            w.threads.running.take_if(|running| *running == number);
            w.wake_next()
        });
        self.woken(slept);
    }

    /// Lets time pass for this thread.
    pub(crate) fn spend(&self, time: Duration) {
        let id = Some(std::thread::current().id());
        let at_work = self.with(|w| {
            let me = w.threads.all.iter().find(|t| t.id == id);
            me.map(|me| (me.number, w.now + time))
        });
        match at_work {
            Some((number, until)) => self.sleep_until(number, until),
            None => {
                if self.real_time {
                    std::thread::sleep(time);
                }
                self.with(|w| w.pass(time));
            }
        }
    }

    fn sleep_until(&self, number: u64, until: Duration) {
        let slept = self.with(|w| {
            if let Some(me) = w.threads.all.iter_mut().find(|t| t.number == number) {
                me.until = Some(until);
            }
            w.threads.running.take_if(|running| *running == number);
            w.wake_next()
        });
        self.woken(slept);
        let mut world = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while world.threads.running != Some(number) {
            world = self.woke.wait(world).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Somebody may have been woken, at the end of a sleep of so long.
    fn woken(&self, slept: Option<Duration>) {
        let Some(slept) = slept else { return };
        if self.real_time {
            std::thread::sleep(slept);
        }
        self.woke.notify_all();
    }
}

impl MachineState {
    /// When nobody runs and all have begun: the clock moves on to whoever is to wake first, and that one
    /// runs. How long everybody slept, if somebody was woken.
    fn wake_next(&mut self) -> Option<Duration> {
        let threads = &self.threads;
        if threads.running.is_some() || threads.all.iter().any(|t| t.until.is_none()) {
            return None;
        }
        let wakes = |t: &Thread| Some((t.until?, t.number));
        let (until, number) = threads.all.iter().filter_map(wakes).min()?;
        let slept = until.saturating_sub(self.now);
        self.pass(slept);
        self.threads.running = Some(number);
        if let Some(next) = self.threads.all.iter_mut().find(|t| t.number == number) {
            next.until = None;
        }
        Some(slept)
    }
}
