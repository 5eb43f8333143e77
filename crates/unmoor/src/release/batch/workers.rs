//! The threads that work, and the one that gives out the work and listens.

use crate::deadline::{Cancel, Deadline};
use crate::model::report::{Event, Report};
use crate::options::Options;
use crate::platform::Platform;
use crate::release::batch::owned_event::Told;
use crate::release::batch::scheduler::{ResolvedTarget, Scheduler};
use crate::release::batch::{BatchEvent, BatchItem, MAX_CONCURRENT, emit, not_started_report};
use crate::release::operation::{DriveOperation, SharedHandler};
use crate::release::{Operation, group};
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
const RESOLVE_GRACE: Duration = Duration::from_secs(2);

/// How often it is looked meanwhile whether that has passed.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Something for a thread to do.
pub(crate) enum Task {
    /// Find the drive of this target.
    Resolve(usize),
    /// Carry the procedure out with these stacks, one after the other.
    Groups(Vec<Vec<ResolvedTarget>>),
}

/// What a thread has to say.
enum WorkerMessage {
    Told(usize, Told),
    Found(Box<ResolvedTarget>),
    Over(usize, Box<Report>),
    /// It has done its work.
    Free(TaskTargets),
}

/// Which targets a thread was at.
pub(crate) enum TaskTargets {
    Sought(usize),
    Begun(Vec<usize>),
}

/// What all threads know.
struct Batch<'j> {
    procedure: Operation,
    jobs: &'j [BatchItem<'j>],
    options: &'j Options,
    /// When the call began, by the clock of each target's machine.
    start: Vec<Duration>,
}

pub(crate) fn carry_out(
    procedure: Operation,
    jobs: &[BatchItem<'_>],
    options: &Options,
    listener: &mut dyn FnMut(usize, &BatchEvent<'_>),
) -> Vec<Report> {
    let start = jobs.iter().map(|job| job.platform.now()).collect();
    let call = Batch { procedure, jobs, options, start };
    let (give, take) = channel();
    let take = Mutex::new(take);
    let (say, hear) = channel();
    std::thread::scope(|scope| {
        let _stop = CancelOnPanic(&options.cancel);
        let mut foreman = WorkerPool {
            call: &call,
            scope,
            give,
            take: &take,
            say,
            waiting: VecDeque::new(),
            at_work: 0,
            threads: 0,
        };
        foreman.waiting.extend((0..jobs.len()).map(Task::Resolve));
        foreman.dispatch();
        let mut all = Scheduler::new(procedure, jobs, options);
        while !all.all_finished() {
            let word = match all.waiting_to_resolve() {
                true => hear.recv_timeout(POLL_INTERVAL),
                false => hear.recv().map_err(RecvTimeoutError::from),
            };
            match word {
                Ok(WorkerMessage::Told(number, told)) => {
                    emit(procedure, number, told.event(), listener)
                }
                Ok(WorkerMessage::Found(found)) => all.record_resolved(found),
                Ok(WorkerMessage::Over(number, report)) => {
                    all.record_finished(number, *report, listener)
                }
                Ok(WorkerMessage::Free(part)) => {
                    foreman.at_work -= 1;
                    all.worker_done(&part, listener);
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Not while the foreman can speak itself.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            foreman.waiting.extend(
                all.ready_groups(call.resolve_grace_over(), listener).into_iter().map(Task::Groups),
            );
            foreman.dispatch();
        }
        all.reports()
    })
}

/// Gives out the work: a thread for each, up to a number.
struct WorkerPool<'s, 'e: 's, 'j> {
    call: &'e Batch<'j>,
    scope: &'s Scope<'s, 'e>,
    give: Sender<(Task, u64)>,
    take: &'e Mutex<Receiver<(Task, u64)>>,
    say: Sender<WorkerMessage>,
    waiting: VecDeque<Task>,
    at_work: usize,
    threads: usize,
}

impl<'s, 'e: 's, 'j> WorkerPool<'s, 'e, 'j> {
    fn dispatch(&mut self) {
        let room = MAX_CONCURRENT - self.at_work;
        let now: Vec<Task> = self.waiting.drain(..room.min(self.waiting.len())).collect();
        // All are announced before the first begins: a simulated clock stands still until then.
        let now: Vec<(Task, u64)> = now
            .into_iter()
            .map(|work| {
                let number = self.call.platform_of(&work).register_worker();
                (work, number)
            })
            .collect();
        for work in now {
            self.at_work += 1;
            if self.at_work > self.threads {
                self.spawn_worker();
            }
            if self.threads == 0 {
                // A system that has no thread to spare still has this one.
                self.call.run_worker(work, &self.say);
                continue;
            }
            // It can only fail when nobody takes any more: not while we hold the other end.
            let _ = self.give.send(work);
        }
    }

    fn spawn_worker(&mut self) {
        let (call, take, say) = (self.call, self.take, self.say.clone());
        // No name of its own: a child that is left behind bears it, and is to be known as ours.
        let thread = std::thread::Builder::new();
        let hired = thread.spawn_scoped(self.scope, move || {
            loop {
                let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(work) = next else { return };
                call.run_worker(work, &say);
            }
        });
        self.threads += usize::from(hired.is_ok());
    }
}

impl Batch<'_> {
    /// By the clock of any of its machines.
    fn resolve_grace_over(&self) -> bool {
        let mut since = self.jobs.iter().zip(&self.start);
        since.any(|(job, start)| job.platform.now().saturating_sub(*start) >= RESOLVE_GRACE)
    }

    fn platform_of(&self, work: &Task) -> &dyn Platform {
        let number = match work {
            Task::Resolve(number) => *number,
            Task::Groups(stacks) => stacks.iter().flatten().next().map_or(0, |f| f.number),
        };
        self.jobs[number].platform
    }

    /// Does the work, whatever happens.
    fn run_worker(&self, (work, thread): (Task, u64), say: &Sender<WorkerMessage>) {
        let platform = self.platform_of(&work);
        let part = match &work {
            Task::Resolve(number) => TaskTargets::Sought(*number),
            Task::Groups(stacks) => {
                TaskTargets::Begun(stacks.iter().flatten().map(|f| f.number).collect())
            }
        };
        platform.worker_started(thread);
        // Every lock is a guard: it is gone by the time a panic arrives here.
        let _ = catch_unwind(AssertUnwindSafe(|| match work {
            Task::Resolve(number) => self.resolve_targets(number, say),
            Task::Groups(stacks) => self.enqueue(stacks, say),
        }));
        platform.worker_finished(thread);
        let _ = say.send(WorkerMessage::Free(part));
    }

    fn resolve_targets(&self, number: usize, say: &Sender<WorkerMessage>) {
        let mut run = self.run(number, say);
        let over = match self.options.cancel.is_cancelled() {
            true => not_started_report(run.report),
            false => match run.resolve() {
                Ok(drive) => {
                    let found = ResolvedTarget { number, drive, report: run.report };
                    let _ = say.send(WorkerMessage::Found(Box::new(found)));
                    return;
                }
                Err(error) => run.fail(error),
            },
        };
        let _ = say.send(WorkerMessage::Over(number, Box::new(over)));
    }

    /// One stack after the other.
    fn enqueue(&self, stacks: Vec<Vec<ResolvedTarget>>, say: &Sender<WorkerMessage>) {
        for (turn, mut stack) in stacks.into_iter().enumerate() {
            // What stood on it has left by now, and must not be looked for any more. Where it cannot be
            // looked at, the release itself will say so.
            for found in stack.iter_mut().filter(|_| turn > 0) {
                let platform = self.jobs[found.number].platform;
                let end =
                    platform.now() + self.options.timeout.unwrap_or(Options::DEFAULT_STEP_TIMEOUT);
                let mut watch = |_| {};
                let mut wait = Deadline::until(platform, end, &self.options.cancel, &mut watch);
                let opened = platform.open(&found.drive, &mut wait);
                if let Ok(now) = opened.and_then(|mut drive| drive.refresh()) {
                    found.drive = now;
                }
            }
            self.carry_out(stack, say);
        }
    }

    fn carry_out(&self, stack: Vec<ResolvedTarget>, say: &Sender<WorkerMessage>) {
        let over = |number, report| {
            let _ = say.send(WorkerMessage::Over(number, Box::new(report)));
        };
        if self.options.cancel.is_cancelled() {
            return stack.into_iter().for_each(|f| over(f.number, not_started_report(f.report)));
        }
        let numbers: Vec<usize> = stack.iter().map(|found| found.number).collect();
        let runs = stack.into_iter().map(|ResolvedTarget { number, drive, report }| {
            let mut run = self.run(number, say);
            run.report = report;
            (run, drive)
        });
        let reports = group::run_group(self.procedure, runs.collect());
        numbers.into_iter().zip(reports).for_each(|(number, report)| over(number, report));
    }

    /// A run that tells the foreman.
    fn run(&self, number: usize, say: &Sender<WorkerMessage>) -> DriveOperation<'_> {
        let BatchItem { platform, target } = self.jobs[number];
        let say = say.clone();
        let ear: SharedHandler<'_> = Rc::new(RefCell::new(move |event: &Event<'_>| {
            let _ = say.send(WorkerMessage::Told(number, Told::of(event)));
        }));
        DriveOperation::new(platform, target, self.options, ear, self.start[number])
    }
}

/// Who listens has come to a bad end: nobody would hear of what is done any more.
struct CancelOnPanic<'c>(&'c Cancel);

impl Drop for CancelOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}
