//! Time for several threads at once: the machine's clock moves on only while all of them sleep.
//!
//! A clock that every sleeper pushes on would run as many times too fast as there are threads. Here a
//! thread that sleeps until a moment is woken when everybody else sleeps until that moment or a later
//! one; one thread runs at a time, and which comes next depends on nothing but the machine. So a run
//! with many drives can be told from the next one by its scenario alone.

use super::Simulated;
use std::cell::Cell;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

/// The threads at work on the drives of a machine.
#[derive(Debug, Default)]
pub(super) struct Threads {
    last: u64,
    /// Announced and not over: each with the moment it sleeps to, unless it runs or has not begun.
    all: Vec<(u64, Option<Duration>)>,
    running: Option<u64>,
}

thread_local! {
    /// The number of this thread, while it is at work for a simulated machine.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

impl Simulated {
    pub(super) fn announce(&self) -> u64 {
        self.with(|w| {
            w.threads.last += 1;
            w.threads.all.push((w.threads.last, None));
            w.threads.last
        })
    }

    pub(super) fn begin(&self, number: u64) {
        NUMBER.set(number);
        let now = self.with(|w| w.now);
        self.sleep_until(number, now);
    }

    pub(super) fn end(&self, number: u64) {
        NUMBER.set(0);
        let real = self.with(|w| {
            w.threads.all.retain(|(other, _)| *other != number);
            if w.threads.running == Some(number) {
                w.threads.running = None;
            }
            w.wake_next()
        });
        self.woken(real);
    }

    /// Lets time pass for this thread.
    pub(super) fn spend(&self, time: Duration) {
        let number = NUMBER.get();
        let until = self.with(|w| {
            let known = w.threads.all.iter().any(|(other, _)| *other == number);
            known.then_some(w.now + time)
        });
        match until {
            Some(until) => self.sleep_until(number, until),
            None => {
                if self.real_time {
                    std::thread::sleep(time);
                }
                self.with(|w| w.pass(time));
            }
        }
    }

    fn sleep_until(&self, number: u64, until: Duration) {
        let real = self.with(|w| {
            if let Some(me) = w.threads.all.iter_mut().find(|(other, _)| *other == number) {
                me.1 = Some(until);
            }
            if w.threads.running == Some(number) {
                w.threads.running = None;
            }
            w.wake_next()
        });
        self.woken(real);
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        while world.threads.running != Some(number) {
            world = wait(&self.woke, world);
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

fn wait<'w, T>(bell: &Condvar, guard: MutexGuard<'w, T>) -> MutexGuard<'w, T> {
    bell.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

impl super::world::World {
    /// When nobody runs and all have begun: the clock moves on to whoever is to wake first, and that one
    /// runs. How long everybody slept, if somebody was woken.
    fn wake_next(&mut self) -> Option<Duration> {
        if self.threads.running.is_some() || self.threads.all.iter().any(|(_, at)| at.is_none()) {
            return None;
        }
        let (number, at) = self
            .threads
            .all
            .iter()
            .filter_map(|(n, at)| Some((*n, (*at)?)))
            .min_by_key(|(n, at)| (*at, *n))?;
        let slept = at.saturating_sub(self.now);
        self.pass(slept);
        self.threads.running = Some(number);
        if let Some(next) = self.threads.all.iter_mut().find(|(other, _)| *other == number) {
            next.1 = None;
        }
        Some(slept)
    }
}
