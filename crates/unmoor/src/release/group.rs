//! One procedure with the drives of one stack: they are released as one, or not at all.
//!
//! An array, a volume group or a btrfs lies on several drives, and `--power-off` takes all the drives of
//! a device along. So no drive of a stack goes on to the next stage before all of them are through the
//! one before: nothing is dismounted until everything on all of them was found idle. What they have in
//! common is taken down once, with the first of them. From the ejection on each is by itself: there is
//! nothing left that one could spoil for another.
//!
//! A drive by itself is a stack of one.

use crate::model::blocker::{Blocker, BlockerKind};
use crate::model::drive::Drive;
use crate::model::error::{Error, Result};
use crate::model::report::{Event, Outcome, Report};
use crate::model::step::Action;
use crate::options::Options;
use crate::release::Operation;
use crate::release::opened::{Dismounted, Ejected, Opened, StageError};
use crate::release::operation::{DriveOperation, LockState, planned};
use std::collections::HashSet;

/// Carries it out with these drives, and reports of each, in their order.
pub(crate) fn run_group(
    procedure: Operation,
    stack: Vec<(DriveOperation<'_>, Drive)>,
) -> Vec<Report> {
    match procedure {
        Operation::Load => run_each(stack, DriveOperation::load),
        Operation::Flush => run_each(stack, DriveOperation::flush),
        Operation::Remount => run_each(stack, |run, drive| run.remount(&drive)),
        Operation::Release => {
            let mut over = Reports::of(stack.len());
            release(stack, &mut over);
            over.reports()
        }
        Operation::DryRun => {
            let mut over = Reports::of(stack.len());
            for Member { number, run, .. } in plan_all(stack, &mut over, false) {
                over.set(number, run.finish(Ok(Outcome::Planned)));
            }
            over.reports()
        }
    }
}

/// What concerns each drive by itself.
fn run_each<'r>(
    stack: Vec<(DriveOperation<'r>, Drive)>,
    work: impl Fn(&mut DriveOperation<'r>, Drive) -> Result<Outcome>,
) -> Vec<Report> {
    let report = |(mut run, drive): (DriveOperation<'r>, Drive)| {
        let outcome = work(&mut run, drive);
        run.finish(outcome)
    };
    stack.into_iter().map(report).collect()
}

/// One drive of the stack, at some stage.
struct Member<'r, S> {
    number: usize,
    run: DriveOperation<'r>,
    action: Action,
    at: S,
}

/// Returns early where no drive is left: the reports are written by then.
fn release(stack: Vec<(DriveOperation<'_>, Drive)>, over: &mut Reports) {
    let planned = plan_all(stack, over, true);
    let Some(opened) = open_all(planned, over) else { return };
    let flushed = advance_all(opened, over, |run, mut opened: Opened<'_>| {
        run.flush_first(&mut opened)?;
        Ok(opened)
    });
    let Some(ready) = flushed.and_then(|opened| lock_all(opened, over)) else { return };
    let Some(dismounted) = advance_all(ready, over, |run, ready| Ok(run.dismount(ready)?)) else {
        return;
    };
    let mut left: Vec<Drive> = Vec::new();
    let mut ejected = Vec::new();
    let mut rest = dismounted.into_iter();
    while let Some(Member { number, mut run, action, at }) = rest.next() {
        match eject_member(&mut run, at, action, &mut left, rest.as_mut_slice()) {
            Ok(at) => ejected.push(Member { number, run, action, at }),
            Err(StageError { error, opened }) => over.fail(number, run, Some(opened), error),
        }
    }
    for Member { number, mut run, action, at: mut ejected } in ejected {
        let verified = run.verify(&mut ejected, action);
        let unlocked = run.unlock(ejected.into_opened());
        over.set(number, run.finish(verified.and(unlocked).map(|()| Outcome::Completed)));
    }
}

/// Makes all plans. A drive that has none leaves the stack; those it shares something with find their
/// stack incomplete then, and are refused for that.
fn plan_all<'r>(
    stack: Vec<(DriveOperation<'r>, Drive)>,
    over: &mut Reports,
    carried_out: bool,
) -> Vec<Member<'r, Drive>> {
    let mut members: Vec<Member<'r, Drive>> = (0..)
        .zip(stack)
        .map(|(number, (run, at))| Member { number, run, action: Action::Nothing, at })
        .collect();
    let given: Vec<Vec<Drive>> = members.iter().map(|m| m.run.options.group.clone()).collect();
    'again: loop {
        let drives: Vec<Drive> = members.iter().map(|m| m.at.clone()).collect();
        for at in 0..members.len() {
            let Member { number, run, action, .. } = &mut members[at];
            let others = drives.iter().enumerate().filter(|(other, _)| *other != at);
            run.options.group = given[*number].clone();
            run.options.group.extend(others.map(|(_, drive)| drive.clone()));
            match run.plan(&drives[at], carried_out) {
                Ok(plan) => {
                    *action = plan.action;
                    run.report.steps.truncate(1);
                    if !carried_out {
                        run.report.steps.extend(plan.steps.iter().map(planned));
                    }
                }
                Err(error) => {
                    let Member { number, mut run, at: drive, .. } = members.remove(at);
                    let tray = carried_out && run.should_open_tray(&drive, &error);
                    let error = if tray { run.open_empty_tray(drive, error) } else { error };
                    over.set(number, run.fail(error));
                    continue 'again;
                }
            }
        }
        return members;
    }
}

fn open_all<'r>(
    planned: Vec<Member<'r, Drive>>,
    over: &mut Reports,
) -> Option<Vec<Member<'r, Opened<'r>>>> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut siblings: HashSet<String> = HashSet::new();
    advance_all(planned, over, |run, drive: Drive| {
        let action = run.report.action.unwrap_or(Action::Nothing);
        if action == Action::PowerOff {
            run.claim_siblings(&drive, &mut siblings)?;
        }
        run.emit(&Event::Resolved { drive: &drive, action });
        let names: Vec<String> = drive.volumes.iter().map(|v| v.name.clone()).collect();
        let opened = run.open(drive)?;
        let shared = names.iter().filter(|name| taken.contains(*name)).cloned().collect();
        taken.extend(names);
        Ok(opened.without_volumes(shared))
    })
}

/// Finds all of them idle at the same time: while one was waited for, another may have been taken into
/// use, so whoever had to wait looks at all of them once more.
fn lock_all<'r>(
    mut opened: Vec<Member<'r, Opened<'r>>>,
    over: &mut Reports,
) -> Option<Vec<Member<'r, LockState<'r>>>> {
    let several = opened.len() > 1;
    let (platform, wait) = opened.first().map(|m| (m.run.platform, m.run.options.wait))?;
    if several {
        skip_useless_kill(&mut opened);
    }
    let begun = platform.now();
    let spent = || platform.now().saturating_sub(begun);
    loop {
        let ready = advance_all(opened, over, |run, mut opened: Opened<'r>| {
            run.had_to_wait.set(false);
            if several {
                opened.set_busy_timeout(wait.saturating_sub(spent()));
            }
            Ok(run.lock(opened)?)
        })?;
        let waited = ready.iter().any(|m| m.run.had_to_wait.get());
        if !several || !waited || spent() > wait.max(Options::MIN_RETRY) {
            return Some(ready);
        }
        opened = Vec::new();
        for Member { number, run, action, at } in ready {
            let mut at = at.into_opened()?;
            // What could not be unlocked is locked again, or says why not.
            let _ = at.unlock();
            opened.push(Member { number, run, action, at });
        }
    }
}

/// Programs in the way of one drive are not ended while something else keeps another of the stack.
fn skip_useless_kill(opened: &mut [Member<'_, Opened<'_>>]) {
    let wished = |m: &Member<'_, Opened<'_>>| m.run.options.kill.is_some() && !m.run.options.force;
    if !opened.iter().all(wished) {
        return;
    }
    let kept = opened.iter_mut().find_map(|member| {
        let stays = |b: &Blocker| b.kind != BlockerKind::Unknown && b.check_terminable().is_err();
        let name = member.at.drive().name.clone();
        member.at.blockers().blockers.iter().any(stays).then_some(name)
    });
    let Some(name) = kept else { return };
    for Member { run, .. } in opened {
        run.options.kill = None;
        run.warn(format!(
            "no program was ended: {name} is also blocked by something that is not a program"
        ));
    }
}

fn eject_member<'r>(
    run: &mut DriveOperation<'r>,
    dismounted: Dismounted<'r>,
    action: Action,
    left: &mut Vec<Drive>,
    rest: &mut [Member<'r, Dismounted<'r>>],
) -> Result<Ejected<'r>, StageError<'r>> {
    let Some(drive) = run.report.drive.clone().filter(|_| action == Action::PowerOff) else {
        return run.perform(dismounted, action);
    };
    if let Some(with) = left.iter().find(|other| other.siblings.contains(&drive.name)) {
        return run.already_powered_off(dismounted, &with.name);
    }
    // What we hold of its other drives would be the first to keep the device where it is.
    run.release_sibling_handles();
    for member in rest {
        let name = member.run.report.drive.as_ref().map(|drive| &drive.name);
        if name.is_some_and(|name| drive.siblings.contains(name)) {
            member.run.release_sibling_handles();
            member.at.release_handles();
        }
    }
    let ejected = run.perform(dismounted, action)?;
    left.push(drive);
    Ok(ejected)
}

/// Takes every drive through one stage. When one does not come through, none goes on: the others are
/// unlocked and stop for the same reason.
fn advance_all<'r, S: Stage<'r>, T: Stage<'r>>(
    members: Vec<Member<'r, S>>,
    over: &mut Reports,
    mut pass: impl FnMut(&mut DriveOperation<'r>, S) -> Result<T, StageFailure<'r>>,
) -> Option<Vec<Member<'r, T>>> {
    let mut through = Vec::new();
    let mut rest = members.into_iter();
    while let Some(Member { number, mut run, action, at }) = rest.next() {
        match pass(&mut run, at) {
            Ok(at) => through.push(Member { number, run, action, at }),
            Err(StageFailure { error, opened }) => {
                let whose = run.report.drive.as_ref().map_or("another", |drive| &drive.name);
                let others = error.clone().append_detail(format!(
                    "that is {whose}'s, which is released together with it"
                ));
                over.fail(number, run, opened, error);
                let before = through.into_iter().map(|m| (m.number, m.run, m.at.into_opened()));
                let after = rest.map(|m| (m.number, m.run, m.at.into_opened()));
                for (number, run, opened) in before.chain(after) {
                    over.fail(number, run, opened, others.clone());
                }
                return None;
            }
        }
    }
    Some(through)
}

/// A drive that did not come through a stage, and what has to be unlocked.
struct StageFailure<'r> {
    error: Error,
    opened: Option<Opened<'r>>,
}

impl From<Error> for StageFailure<'_> {
    fn from(error: Error) -> Self {
        StageFailure { error, opened: None }
    }
}

impl<'r> From<StageError<'r>> for StageFailure<'r> {
    fn from(StageError { error, opened }: StageError<'r>) -> Self {
        StageFailure { error, opened: Some(opened) }
    }
}

/// A drive at some stage, which gives it back.
trait Stage<'r> {
    /// The drive, if it is open.
    fn into_opened(self) -> Option<Opened<'r>>;
}

impl<'r> Stage<'r> for Drive {
    fn into_opened(self) -> Option<Opened<'r>> {
        None
    }
}

impl<'r> Stage<'r> for Opened<'r> {
    fn into_opened(self) -> Option<Opened<'r>> {
        Some(self)
    }
}

impl<'r> Stage<'r> for LockState<'r> {
    fn into_opened(self) -> Option<Opened<'r>> {
        Some(match self {
            LockState::Locked(locked) => locked.into_opened(),
            LockState::Forced(opened) => opened,
        })
    }
}

impl<'r> Stage<'r> for Dismounted<'r> {
    fn into_opened(self) -> Option<Opened<'r>> {
        Some(self.into_opened())
    }
}

/// The reports so far.
struct Reports(Vec<Option<Report>>);

impl Reports {
    fn of(count: usize) -> Self {
        Reports(vec![None; count])
    }

    fn set(&mut self, number: usize, report: Report) {
        self.0[number] = Some(report);
    }

    fn fail(
        &mut self,
        number: usize,
        mut run: DriveOperation<'_>,
        opened: Option<Opened<'_>>,
        error: Error,
    ) {
        let error = match opened {
            Some(opened) => run.unlock_failed(StageError { error, opened }),
            None => error,
        };
        self.set(number, run.fail(error));
    }

    fn reports(self) -> Vec<Report> {
        self.0.into_iter().flatten().collect()
    }
}
