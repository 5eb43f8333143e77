//! What can be done with a drive, each as one function; how it goes is [`run`](crate::release::operation)'s and
//! [`together`](crate::release::group)'s business, and which system it runs on nobody's here.

pub(crate) mod batch;
pub(crate) mod group;
pub(crate) mod lock_or_terminate;
pub(crate) mod open_drive;
pub(crate) mod opened;
pub(crate) mod operation;
pub(crate) mod siblings;
pub(crate) mod stages;
pub(crate) mod steps;
pub(crate) mod terminate;
pub(crate) mod verbs;

use crate::model::report::Event;
use crate::model::report::Outcome;
use crate::model::report::Report;
use crate::model::step::Step;
use crate::model::target::Target;
use crate::options::Options;
use crate::platform::Platform;
use crate::policy::plan::PlannedStep;
use crate::release::operation::{DriveOperation, planned};
use std::cell::RefCell;
use std::rc::Rc;

/// Who is told what happens while a procedure runs.
pub type EventHandler<'l> = &'l mut dyn FnMut(&Event<'_>);

/// Releases the drive that `target` means. Never fails without a report.
pub fn release(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: EventHandler<'_>,
) -> Report {
    run_operation(Operation::Release, platform, target, options, listener)
}

/// Makes the plan of a release and carries nothing out.
pub fn dry_run(platform: &dyn Platform, target: &Target, options: &Options) -> Report {
    run_operation(Operation::DryRun, platform, target, options, &mut |_| {})
}

/// Takes the medium in, and looks whether there is one then.
pub fn load(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: EventHandler<'_>,
) -> Report {
    run_operation(Operation::Load, platform, target, options, listener)
}

/// Writes everything that is in the cache for this drive, and leaves it as it is.
pub fn flush(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: EventHandler<'_>,
) -> Report {
    run_operation(Operation::Flush, platform, target, options, listener)
}

/// Has the system mount again what was dismounted and is still in the drive. Unlocks nothing: whoever
/// holds a lock keeps it.
pub fn remount(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: EventHandler<'_>,
) -> Report {
    run_operation(Operation::Remount, platform, target, options, listener)
}

/// Brings back what a power-off took off its bus and nobody has unplugged since. `target` is a
/// [`Target::Port`]; the report's drive is the one that came back.
pub fn attach(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: EventHandler<'_>,
) -> Report {
    let ear = Rc::new(RefCell::new(|event: &Event<'_>| listener(event)));
    let mut run = DriveOperation::new(platform, target, options, ear, platform.now());
    let outcome = run.attach();
    run.finish(outcome)
}

/// Names what [`attach`] would try, and carries nothing out.
pub fn attach_dry_run(platform: &dyn Platform, target: &Target, options: &Options) -> Report {
    let ear = Rc::new(RefCell::new(|_: &Event<'_>| {}));
    let mut run = DriveOperation::new(platform, target, options, ear, platform.now());
    let methods = match platform.attach_methods(target) {
        Ok(methods) => methods,
        Err(error) => return run.fail(error.with_step(Step::Attach)),
    };
    for (step, what) in [(Step::Attach, methods), (Step::Verify, vec![target.to_string()])] {
        run.report.steps.push(planned(&PlannedStep { step, what, note: None }));
    }
    run.finish(Ok(Outcome::Planned))
}

/// What is done with a drive; [`run_batch()`](crate::run_batch()) does it with several at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`release()`]
    Release,
    /// [`dry_run()`]
    DryRun,
    /// [`load()`]
    Load,
    /// [`flush()`]
    Flush,
    /// [`remount()`]
    Remount,
}

/// One target on the caller's own thread.
pub(crate) fn run_operation(
    procedure: Operation,
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: EventHandler<'_>,
) -> Report {
    let ear = Rc::new(RefCell::new(|event: &Event<'_>| listener(event)));
    let mut run = DriveOperation::new(platform, target, options, ear, platform.now());
    match run.resolve() {
        Ok(drive) => group::run_group(procedure, vec![(run, drive)]).remove(0),
        Err(error) => run.fail(error),
    }
}
