//! The threads that work, and the one that gives out the work and listens.

use super::state::{Found, Jobs};
use super::told::Told;
use super::{AT_ONCE, Job, News, not_begun, tell};
use crate::options::Options;
use crate::platform::Platform;
use crate::release::Procedure;
use crate::report::{Event, Report};
use crate::run::{Ear, Run};
use crate::together;
use crate::wait::{Cancel, Wait};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;
use std::time::Duration;

/// How long a target that is hard to find holds up those that are found: what has nothing to do with
/// others begins then.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked meanwhile whether that has passed.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Something for a thread to do.
pub(super) enum Work {
    /// Find the drive of this target.
    Find(usize),
    /// Carry the procedure out with these stacks, one after the other.
    Stacks(Vec<Vec<Found>>),
}

/// What a thread has to say.
enum Word {
    Told(usize, Told),
    Found(Box<Found>),
    Over(usize, Box<Report>),
    /// It has done its work.
    Free(Part),
}

/// Which targets a thread was at.
pub(super) enum Part {
    Sought(usize),
    Begun(Vec<usize>),
}

/// What all threads know.
struct Call<'j> {
    procedure: Procedure,
    jobs: &'j [Job<'j>],
    options: &'j Options,
    /// When the call began, by the clock of each target's machine.
    start: Vec<Duration>,
}

pub(super) fn carry_out(
    procedure: Procedure,
    jobs: &[Job<'_>],
    options: &Options,
    listener: &mut dyn FnMut(usize, &News<'_>),
) -> Vec<Report> {
    let start = jobs.iter().map(|job| job.platform.now()).collect();
    let call = Call { procedure, jobs, options, start };
    let (give, take) = channel();
    let take = Mutex::new(take);
    let (say, hear) = channel();
    std::thread::scope(|scope| {
        let _stop = StopIfPanicking(&options.cancel);
        let mut foreman = Foreman {
            call: &call,
            scope,
            give,
            take: &take,
            say,
            waiting: VecDeque::new(),
            at_work: 0,
            threads: 0,
        };
        foreman.waiting.extend((0..jobs.len()).map(Work::Find));
        foreman.give_out();
        let mut all = Jobs::new(procedure, jobs, options);
        while !all.are_over() {
            let word = match all.hold_each_other_up() {
                true => hear.recv_timeout(LOOK_UP),
                false => hear.recv().map_err(RecvTimeoutError::from),
            };
            match word {
                Ok(Word::Told(number, told)) => tell(procedure, number, told.event(), listener),
                Ok(Word::Found(found)) => all.found(found),
                Ok(Word::Over(number, report)) => all.over(number, *report, listener),
                Ok(Word::Free(part)) => {
                    foreman.at_work -= 1;
                    all.no_more_of(&part, listener);
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Not while the foreman can speak itself.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            foreman
                .waiting
                .extend(all.next(call.lasts_long(), listener).into_iter().map(Work::Stacks));
            foreman.give_out();
        }
        all.reports()
    })
}

/// Gives out the work: a thread for each, up to a number.
struct Foreman<'s, 'e: 's, 'j> {
    call: &'e Call<'j>,
    scope: &'s Scope<'s, 'e>,
    give: Sender<(Work, u64)>,
    take: &'e Mutex<Receiver<(Work, u64)>>,
    say: Sender<Word>,
    waiting: VecDeque<Work>,
    at_work: usize,
    threads: usize,
}

impl<'s, 'e: 's, 'j> Foreman<'s, 'e, 'j> {
    fn give_out(&mut self) {
        let room = AT_ONCE - self.at_work;
        let now: Vec<Work> = self.waiting.drain(..room.min(self.waiting.len())).collect();
        // All are announced before the first begins: a simulated clock stands still until then.
        let now: Vec<(Work, u64)> = now
            .into_iter()
            .map(|work| {
                let number = self.call.platform_of(&work).announce_thread();
                (work, number)
            })
            .collect();
        for work in now {
            self.at_work += 1;
            if self.at_work > self.threads {
                self.hire();
            }
            if self.threads == 0 {
                // A system that has no thread to spare still has this one.
                self.call.work(work, &self.say);
                continue;
            }
            // It can only fail when nobody takes any more: not while we hold the other end.
            let _ = self.give.send(work);
        }
    }

    fn hire(&mut self) {
        let (call, take, say) = (self.call, self.take, self.say.clone());
        // No name of its own: a child that is left behind bears it, and is to be known as ours.
        let thread = std::thread::Builder::new();
        let hired = thread.spawn_scoped(self.scope, move || {
            loop {
                let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(work) = next else { return };
                call.work(work, &say);
            }
        });
        self.threads += usize::from(hired.is_ok());
    }
}

impl Call<'_> {
    /// By the clock of any of its machines.
    fn lasts_long(&self) -> bool {
        let mut since = self.jobs.iter().zip(&self.start);
        since.any(|(job, start)| job.platform.now().saturating_sub(*start) >= PATIENCE)
    }

    fn platform_of(&self, work: &Work) -> &dyn Platform {
        let number = match work {
            Work::Find(number) => *number,
            Work::Stacks(stacks) => stacks.iter().flatten().next().map_or(0, |f| f.number),
        };
        self.jobs[number].platform
    }

    /// Does the work, whatever happens.
    fn work(&self, (work, thread): (Work, u64), say: &Sender<Word>) {
        let platform = self.platform_of(&work);
        let part = match &work {
            Work::Find(number) => Part::Sought(*number),
            Work::Stacks(stacks) => {
                Part::Begun(stacks.iter().flatten().map(|f| f.number).collect())
            }
        };
        platform.begin_thread(thread);
        // Every lock is a guard: it is gone by the time a panic arrives here.
        let _ = catch_unwind(AssertUnwindSafe(|| match work {
            Work::Find(number) => self.find(number, say),
            Work::Stacks(stacks) => self.queue(stacks, say),
        }));
        platform.end_thread(thread);
        let _ = say.send(Word::Free(part));
    }

    fn find(&self, number: usize, say: &Sender<Word>) {
        let mut run = self.run(number, say);
        let over = match self.options.cancel.is_cancelled() {
            true => not_begun(run.report),
            false => match run.resolve() {
                Ok(drive) => {
                    let found = Found { number, drive, report: run.report };
                    let _ = say.send(Word::Found(Box::new(found)));
                    return;
                }
                Err(error) => run.stopped(error),
            },
        };
        let _ = say.send(Word::Over(number, Box::new(over)));
    }

    /// One stack after the other.
    fn queue(&self, stacks: Vec<Vec<Found>>, say: &Sender<Word>) {
        for (turn, mut stack) in stacks.into_iter().enumerate() {
            // What stood on it has left by now, and must not be looked for any more. Where it cannot be
            // looked at, the release itself will say so.
            for found in stack.iter_mut().filter(|_| turn > 0) {
                let platform = self.jobs[found.number].platform;
                let end = platform.now() + self.options.timeout.unwrap_or(Options::STEP_TIME);
                let mut watch = |_| {};
                let mut wait = Wait::until(platform, end, &self.options.cancel, &mut watch);
                let opened = platform.open(&found.drive, &mut wait);
                if let Ok(now) = opened.and_then(|mut drive| drive.refresh()) {
                    found.drive = now;
                }
            }
            self.carry_out(stack, say);
        }
    }

    fn carry_out(&self, stack: Vec<Found>, say: &Sender<Word>) {
        let over = |number, report| {
            let _ = say.send(Word::Over(number, Box::new(report)));
        };
        if self.options.cancel.is_cancelled() {
            return stack.into_iter().for_each(|f| over(f.number, not_begun(f.report)));
        }
        let numbers: Vec<usize> = stack.iter().map(|found| found.number).collect();
        let runs = stack.into_iter().map(|Found { number, drive, report }| {
            let mut run = self.run(number, say);
            run.report = report;
            (run, drive)
        });
        let reports = together::carry_out(self.procedure, runs.collect());
        numbers.into_iter().zip(reports).for_each(|(number, report)| over(number, report));
    }

    /// A run that tells the foreman.
    fn run(&self, number: usize, say: &Sender<Word>) -> Run<'_> {
        let Job { platform, target } = self.jobs[number];
        let say = say.clone();
        let ear: Ear<'_> = Rc::new(RefCell::new(move |event: &Event<'_>| {
            let _ = say.send(Word::Told(number, Told::of(event)));
        }));
        Run::new(platform, target, self.options, ear, self.start[number])
    }
}

/// Who listens has come to a bad end: nobody would hear of what is done any more.
struct StopIfPanicking<'c>(&'c Cancel);

impl Drop for StopIfPanicking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}
