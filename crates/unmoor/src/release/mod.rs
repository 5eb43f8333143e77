//! The operations on a drive, each as one function. Knows no system call.

pub(crate) mod batch;
pub(crate) mod dismount;
pub(crate) mod group;
pub(crate) mod lock;
pub(crate) mod open_drive;
pub(crate) mod operation;
pub(crate) mod siblings;
pub(crate) mod signaled;
pub(crate) mod stages;
pub(crate) mod terminate;

use crate::model::drive::Presence;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::event::EventHandler;
use crate::model::report::{Outcome, Report};
use crate::model::step::Step;
use crate::model::target::Target;
use crate::options::Options;
use crate::platform::Platform;
use crate::policy::plan::PlannedStep;
use crate::release::group::Resolved;
use crate::release::open_drive::OpenDrive;
use crate::release::operation::{DriveOperation, planned};

/// Releases the drive of this target: flush, lock, dismount, eject, verify, unlock.
///
/// Blocks until the release has finished. Always returns a report; [`Report::into_result`] turns one
/// that failed into its error.
pub fn release(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    events: &mut EventHandler<'_>,
) -> Report {
    match resolve_for(Operation::Release, platform, target, options, events) {
        Ok(resolved) => group::release(vec![resolved]).remove(0),
        Err(report) => *report,
    }
}

/// Returns the plan of a release and carries nothing out.
pub fn dry_run(platform: &dyn Platform, target: &Target, options: &Options) -> Report {
    match resolve(platform, target, options, &mut |_| {}) {
        Ok(resolved) => group::dry_run(vec![resolved]).remove(0),
        Err(report) => *report,
    }
}

/// Loads the medium and verifies that one is in the drive.
///
/// [`Options`]: `timeout` and `cancel`.
pub fn load(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    events: &mut EventHandler<'_>,
) -> Report {
    match resolve(platform, target, options, events) {
        Ok(resolved) => load_resolved(resolved),
        Err(report) => *report,
    }
}

/// Flushes the cache of every volume and of the drive itself.
///
/// [`Options`]: `timeout` and `cancel`.
pub fn flush(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    events: &mut EventHandler<'_>,
) -> Report {
    match resolve(platform, target, options, events) {
        Ok(resolved) => flush_resolved(resolved),
        Err(report) => *report,
    }
}

/// Mounts again what was dismounted and is still in the drive. Releases no lock.
///
/// [`Options`]: `timeout` and `cancel`.
pub fn remount(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    events: &mut EventHandler<'_>,
) -> Report {
    match resolve(platform, target, options, events) {
        Ok(resolved) => remount_resolved(resolved),
        Err(report) => *report,
    }
}

/// Attaches a device that was powered off and is still plugged in.
///
/// `target` is a [`Target::Port`]. The report's drive is the one that came back. [`Options`]: `timeout`
/// and `cancel`.
pub fn attach(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    events: &mut EventHandler<'_>,
) -> Report {
    let mut operation = new_operation(platform, target, options, events);
    let attached = operation.step(Step::Attach, |deadline| platform.attach(target, deadline));
    let drive = attached.and_then(|_| {
        operation.resolve_in(Step::Verify, target, |error| match error.kind() {
            ErrorKind::NoSuchTarget => {
                let why = "reported success, but no drive appeared";
                Error::new(ErrorKind::Failed, target.to_string(), why)
                    .with_help("unplug it and plug it in again")
            }
            _ => error,
        })
    });
    operation.finish(drive.map(|_| Outcome::Completed))
}

/// Returns the methods that [`attach`] would try and carries nothing out.
pub fn attach_dry_run(platform: &dyn Platform, target: &Target, options: &Options) -> Report {
    let mut operation =
        DriveOperation::new(platform, target.to_string(), options, Box::new(|_| {}));
    let methods = match platform.attach_methods(target) {
        Ok(methods) => methods,
        Err(error) => return operation.fail(error.with_step(Step::Attach)),
    };
    for (step, what) in [(Step::Attach, methods), (Step::Verify, vec![target.to_string()])] {
        operation.report.steps.push(planned(&PlannedStep::new(step, what)));
    }
    operation.finish(Ok(Outcome::Planned))
}

/// An operation on a drive; [`run_batch()`](crate::run_batch()) carries it out on several at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
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

impl Operation {
    /// Carries the operation out on the drives of one group and returns the report of each.
    pub(crate) fn run(self, group: Vec<Resolved<'_>>) -> Vec<Report> {
        match self {
            Operation::Release => group::release(group),
            Operation::DryRun => group::dry_run(group),
            Operation::Load => group.into_iter().map(load_resolved).collect(),
            Operation::Flush => group.into_iter().map(flush_resolved).collect(),
            Operation::Remount => group.into_iter().map(remount_resolved).collect(),
        }
    }
}

fn new_operation<'p>(
    platform: &'p dyn Platform,
    target: &Target,
    options: &Options,
    events: &'p mut EventHandler<'_>,
) -> DriveOperation<'p> {
    let events = Box::new(events);
    DriveOperation::new(platform, target.to_string(), options, events)
}

fn resolve<'p>(
    platform: &'p dyn Platform,
    target: &Target,
    options: &Options,
    events: &'p mut EventHandler<'_>,
) -> Result<Resolved<'p>, Box<Report>> {
    resolve_for(Operation::DryRun, platform, target, options, events)
}

/// Resolves the target for this operation. A release removes what is left of a drive that is gone.
pub(crate) fn resolve_for<'p>(
    kind: Operation,
    platform: &'p dyn Platform,
    target: &Target,
    options: &Options,
    events: &'p mut EventHandler<'_>,
) -> Result<Resolved<'p>, Box<Report>> {
    let mut operation = new_operation(platform, target, options, events);
    match operation.resolve(target) {
        Ok(drive) => Ok((operation, drive)),
        Err(error) if kind == Operation::Release && error.kind() == ErrorKind::Gone => {
            let error = operation.remove_remains(target, error);
            Err(Box::new(operation.fail(error)))
        }
        Err(error) => Err(Box::new(operation.fail(error))),
    }
}

fn load_resolved((operation, drive): Resolved<'_>) -> Report {
    let mut open = match OpenDrive::open_checked(operation, drive) {
        Ok(open) => open,
        Err(report) => return *report,
    };
    let loaded = open.load().and_then(|_| open.presence()).and_then(|seen| {
        let (kind, why) = match seen {
            Presence::Absent => {
                (ErrorKind::NoMedium, "the drive is closed, and there is no medium in it")
            }
            Presence::TrayOpen => {
                (ErrorKind::Failed, "reported success, but the tray is still open")
            }
            Presence::Gone => (ErrorKind::Gone, "the drive is gone"),
            _ => return Ok(Outcome::Completed),
        };
        Err(Error::new(kind, &open.drive.name, why).with_step(Step::Verify))
    });
    open.operation.finish(loaded)
}

fn flush_resolved((operation, drive): Resolved<'_>) -> Report {
    match OpenDrive::open_checked(operation, drive) {
        Ok(mut open) => {
            let flushed = open.flush();
            open.operation.finish(flushed.map(|_| Outcome::Completed))
        }
        Err(report) => *report,
    }
}

fn remount_resolved((mut operation, drive): Resolved<'_>) -> Report {
    let platform = operation.platform;
    let mounted = operation.step(Step::Mount, |_| platform.remount(&drive));
    operation.finish(mounted.map(|_| Outcome::Completed))
}
