//! Several targets at a time: each drive by itself in a thread of its own, what shares a stack as one.
//!
//! First the drive of every target is found, all at the same time. Then it is known which of them mean
//! the same drive, which share a stack and which lie on another ([`arrange`]); everything that has
//! nothing to do with the rest goes its own way, at its own pace. A target that fails, hangs or waits
//! neither stops nor delays another.
//!
//! The threads only work. Whoever called is told everything on the thread that called, in the order
//! in which it happened.

pub(crate) mod grouping;
pub(crate) mod owned_event;
pub(crate) mod scheduler;
pub(crate) mod workers;

use crate::model::error::{Error, ErrorKind};
use crate::model::report::Event;
use crate::model::report::Outcome;
use crate::model::report::Report;
use crate::model::step::Step;
use crate::model::target::Target;
use crate::options::Options;
use crate::platform::Platform;
use crate::release::{Operation, run_operation};

/// One of several targets, and the machine it is on.
#[derive(Clone, Copy)]
pub struct BatchItem<'j> {
    /// The machine.
    pub platform: &'j dyn Platform,
    /// What the user named there.
    pub target: &'j Target,
}

/// What is told while several targets are worked on.
#[derive(Debug)]
pub enum BatchEvent<'n> {
    /// Something happened to it.
    Event(Event<'n>),
    /// It is over, and this came of it.
    Finished(&'n Report),
}

/// Carries the procedure out with every target at the same time, and reports of each, in their order.
///
/// - Each report is what it would be if its target had been the only one, with these exceptions:
/// - Targets that mean the same drive get one answer: it is released once.
/// - Drives that one stack lies on (an array, a volume group, a btrfs over several; with
///   [`Goal::PowerOff`](crate::Goal::PowerOff) those of one device) are released as one or not at all,
///   in whatever order they were given.
/// - A drive that is mounted on a directory of another, or an image on it, goes before it.
///
/// [`Options::timeout`] counts from the call, for all of them. `listener` is told the number of the
/// target with everything, on the caller's thread; if it panics, all are cancelled. No more than
/// [`MAX_CONCURRENT`] are worked on at a time; further ones wait for their turn.
///
/// ```
/// use unmoor::{BatchItem, Operation, Options, Outcome, run_batch};
/// use unmoor_simulated::Simulated;
///
/// let machine = Simulated::demo();
/// let targets = ["sim:stick".parse()?, "sim:busy".parse()?];
/// let items = [0, 1].map(|at| BatchItem { platform: &machine, target: &targets[at] });
/// let reports = run_batch(Operation::Release, &items, &Options::default(), &mut |_, _| {});
/// assert_eq!(reports[0].outcome, Outcome::Completed);
/// assert_eq!(reports[1].exit_code(), 3);
/// # Ok::<(), unmoor::Error>(())
/// ```
pub fn run_batch(
    procedure: Operation,
    jobs: &[BatchItem<'_>],
    options: &Options,
    listener: &mut dyn FnMut(usize, &BatchEvent<'_>),
) -> Vec<Report> {
    match jobs {
        [] => Vec::new(),
        // One needs no thread.
        [BatchItem { platform, target }] => {
            let report = run_operation(procedure, *platform, target, options, &mut |event| {
                emit(procedure, 0, event.clone(), listener);
            });
            listener(0, &BatchEvent::Finished(&report));
            vec![report]
        }
        _ => workers::carry_out(procedure, jobs, options, listener),
    }
}

/// A plan that is only made is no news.
fn emit(
    procedure: Operation,
    number: usize,
    event: Event<'_>,
    listener: &mut dyn FnMut(usize, &BatchEvent<'_>),
) {
    if procedure != Operation::DryRun {
        listener(number, &BatchEvent::Event(event));
    }
}

/// How many drives are worked on at the same time.
pub const MAX_CONCURRENT: usize = 64;

/// The report of a target that was not begun with any more.
fn not_started_report(report: Report) -> Report {
    let what = "not started: interrupted";
    let error = Error::new(ErrorKind::Interrupted, &report.target, what).with_step(Step::Resolve);
    Report { outcome: Outcome::Failed(error), ..report }
}

/// The report of a target whose thread came to a bad end. It has said where on standard error.
fn panicked_report(report: Report) -> Report {
    let what = "an internal error stopped it; nothing is locked any more";
    let error = Error::new(ErrorKind::Failed, &report.target, what);
    Report { outcome: Outcome::Failed(error), ..report }
}
