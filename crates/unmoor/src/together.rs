//! One procedure with the drives of one stack: they are released as one, or not at all.
//!
//! An array, a volume group or a btrfs lies on several drives, and `--power-off` takes all the drives of
//! a device along. So no drive of a stack goes on to the next stage before all of them are through the
//! one before: nothing is dismounted until everything on all of them was found idle. What they have in
//! common is taken down once, with the first of them. From the ejection on each is by itself: there is
//! nothing left that one could spoil for another.
//!
//! A drive by itself is a stack of one.

use crate::blocker::{Blocker, BlockerKind};
use crate::drive::Drive;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::plan::Action;
use crate::release::Procedure;
use crate::report::{Event, Outcome, Report};
use crate::run::{Ready, Run, planned};
use crate::stages::{Dismounted, Ejected, Halted, Opened};
use std::collections::HashSet;

/// Carries it out with these drives, and reports of each, in their order.
pub(crate) fn carry_out(procedure: Procedure, stack: Vec<(Run<'_>, Drive)>) -> Vec<Report> {
    match procedure {
        Procedure::Load => each(stack, Run::load),
        Procedure::Flush => each(stack, Run::flush),
        Procedure::Remount => each(stack, |run, drive| run.remount(&drive)),
        Procedure::Release => {
            let mut over = Over::of(stack.len());
            release(stack, &mut over);
            over.reports()
        }
        Procedure::DryRun => {
            let mut over = Over::of(stack.len());
            for Member { number, run, .. } in plan_all(stack, &mut over, false) {
                over.keep(number, run.over(Ok(Outcome::Planned)));
            }
            over.reports()
        }
    }
}

/// What concerns each drive by itself.
fn each<'r>(
    stack: Vec<(Run<'r>, Drive)>,
    work: impl Fn(&mut Run<'r>, Drive) -> Result<Outcome>,
) -> Vec<Report> {
    let report = |(mut run, drive): (Run<'r>, Drive)| {
        let outcome = work(&mut run, drive);
        run.over(outcome)
    };
    stack.into_iter().map(report).collect()
}

/// One drive of the stack, at some stage.
struct Member<'r, S> {
    number: usize,
    run: Run<'r>,
    action: Action,
    at: S,
}

/// Returns early where no drive is left: the reports are written by then.
fn release(stack: Vec<(Run<'_>, Drive)>, over: &mut Over) {
    let planned = plan_all(stack, over, true);
    let Some(opened) = open_all(planned, over) else { return };
    let flushed = all(opened, over, |run, mut opened: Opened<'_>| {
        run.flush_first(&mut opened)?;
        Ok(opened)
    });
    let Some(ready) = flushed.and_then(|opened| lock_all(opened, over)) else { return };
    let Some(dismounted) = all(ready, over, |run, ready| Ok(run.dismount(ready)?)) else { return };
    let mut left: Vec<Drive> = Vec::new();
    let mut ejected = Vec::new();
    let mut rest = dismounted.into_iter();
    while let Some(Member { number, mut run, action, at }) = rest.next() {
        match let_go(&mut run, at, action, &mut left, rest.as_mut_slice()) {
            Ok(at) => ejected.push(Member { number, run, action, at }),
            Err(Halted { error, opened }) => over.stop(number, run, Some(opened), error),
        }
    }
    for Member { number, mut run, action, at: mut ejected } in ejected {
        let verified = run.verify(&mut ejected, action);
        let unlocked = run.unlock(ejected.into_opened());
        over.keep(number, run.over(verified.and(unlocked).map(|()| Outcome::Released)));
    }
}

/// Makes all plans. A drive that has none leaves the stack; those it shares something with find their
/// stack incomplete then, and are refused for that.
fn plan_all<'r>(
    stack: Vec<(Run<'r>, Drive)>,
    over: &mut Over,
    carried_out: bool,
) -> Vec<Member<'r, Drive>> {
    let mut members: Vec<Member<'r, Drive>> = (0..)
        .zip(stack)
        .map(|(number, (run, at))| Member { number, run, action: Action::Nothing, at })
        .collect();
    let given: Vec<Vec<Drive>> = members.iter().map(|m| m.run.options.together.clone()).collect();
    'again: loop {
        let drives: Vec<Drive> = members.iter().map(|m| m.at.clone()).collect();
        for at in 0..members.len() {
            let Member { number, run, action, .. } = &mut members[at];
            let others = drives.iter().enumerate().filter(|(other, _)| *other != at);
            run.options.together = given[*number].clone();
            run.options.together.extend(others.map(|(_, drive)| drive.clone()));
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
                    let tray = carried_out && run.wants_the_tray(&drive, &error);
                    let error = if tray { run.open_empty_tray(drive, error) } else { error };
                    over.keep(number, run.stopped(error));
                    continue 'again;
                }
            }
        }
        return members;
    }
}

fn open_all<'r>(
    planned: Vec<Member<'r, Drive>>,
    over: &mut Over,
) -> Option<Vec<Member<'r, Opened<'r>>>> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut siblings: HashSet<String> = HashSet::new();
    all(planned, over, |run, drive: Drive| {
        let action = run.report.action.unwrap_or(Action::Nothing);
        if action == Action::PowerOff {
            run.take_siblings(&drive, &mut siblings)?;
        }
        run.tell(&Event::Resolved { drive: &drive, action });
        let names: Vec<String> = drive.volumes.iter().map(|v| v.name.clone()).collect();
        let opened = run.open(drive)?;
        let shared = names.iter().filter(|name| taken.contains(*name)).cloned().collect();
        taken.extend(names);
        Ok(opened.leaving(shared))
    })
}

/// Finds all of them idle at the same time: while one was waited for, another may have been taken into
/// use, so whoever had to wait looks at all of them once more.
fn lock_all<'r>(
    mut opened: Vec<Member<'r, Opened<'r>>>,
    over: &mut Over,
) -> Option<Vec<Member<'r, Ready<'r>>>> {
    let several = opened.len() > 1;
    let (platform, wait) = opened.first().map(|m| (m.run.platform, m.run.options.wait))?;
    if several {
        spare_programs_in_vain(&mut opened);
    }
    let begun = platform.now();
    let spent = || platform.now().saturating_sub(begun);
    loop {
        let ready = all(opened, over, |run, mut opened: Opened<'r>| {
            run.waited.set(false);
            if several {
                opened.wait_for(wait.saturating_sub(spent()));
            }
            Ok(run.lock(opened)?)
        })?;
        let waited = ready.iter().any(|m| m.run.waited.get());
        if !several || !waited || spent() > wait.max(Options::LEAST_WAIT) {
            return Some(ready);
        }
        opened = Vec::new();
        for Member { number, run, action, at } in ready {
            let mut at = at.back()?;
            // What could not be unlocked is locked again, or says why not.
            let _ = at.unlock();
            opened.push(Member { number, run, action, at });
        }
    }
}

/// Programs in the way of one drive are not ended while something else keeps another of the stack.
fn spare_programs_in_vain(opened: &mut [Member<'_, Opened<'_>>]) {
    let wished = |m: &Member<'_, Opened<'_>>| m.run.options.kill.is_some() && !m.run.options.force;
    if !opened.iter().all(wished) {
        return;
    }
    let kept = opened.iter_mut().find_map(|member| {
        let stays = |b: &Blocker| b.kind != BlockerKind::Unknown && b.may_be_ended().is_err();
        let name = member.at.drive().name.clone();
        member.at.blockers().blockers.iter().any(stays).then_some(name)
    });
    let Some(name) = kept else { return };
    for Member { run, .. } in opened {
        run.options.kill = None;
        run.warn(format!("nobody was ended: what is in the way of {name} is not only programs"));
    }
}

fn let_go<'r>(
    run: &mut Run<'r>,
    dismounted: Dismounted<'r>,
    action: Action,
    left: &mut Vec<Drive>,
    rest: &mut [Member<'r, Dismounted<'r>>],
) -> Result<Ejected<'r>, Halted<'r>> {
    let Some(drive) = run.report.drive.clone().filter(|_| action == Action::PowerOff) else {
        return run.let_go(dismounted, action);
    };
    if let Some(with) = left.iter().find(|other| other.siblings.contains(&drive.name)) {
        return run.left_with(dismounted, &with.name);
    }
    // What we hold of its other drives would be the first to keep the device where it is.
    run.siblings_stand_back();
    for member in rest {
        let name = member.run.report.drive.as_ref().map(|drive| &drive.name);
        if name.is_some_and(|name| drive.siblings.contains(name)) {
            member.run.siblings_stand_back();
            member.at.stand_back();
        }
    }
    let ejected = run.let_go(dismounted, action)?;
    left.push(drive);
    Ok(ejected)
}

/// Takes every drive through one stage. When one does not come through, none goes on: the others are
/// unlocked and stop for the same reason.
fn all<'r, S: Stage<'r>, T: Stage<'r>>(
    members: Vec<Member<'r, S>>,
    over: &mut Over,
    mut pass: impl FnMut(&mut Run<'r>, S) -> Result<T, Fallen<'r>>,
) -> Option<Vec<Member<'r, T>>> {
    let mut through = Vec::new();
    let mut rest = members.into_iter();
    while let Some(Member { number, mut run, action, at }) = rest.next() {
        match pass(&mut run, at) {
            Ok(at) => through.push(Member { number, run, action, at }),
            Err(Fallen { error, opened }) => {
                let whose = run.report.drive.as_ref().map_or("another", |drive| &drive.name);
                let others = error
                    .clone()
                    .and_detail(format!("that is {whose}'s, which is released together with it"));
                over.stop(number, run, opened, error);
                let before = through.into_iter().map(|m| (m.number, m.run, m.at.back()));
                let after = rest.map(|m| (m.number, m.run, m.at.back()));
                for (number, run, opened) in before.chain(after) {
                    over.stop(number, run, opened, others.clone());
                }
                return None;
            }
        }
    }
    Some(through)
}

/// A drive that did not come through a stage, and what has to be unlocked.
struct Fallen<'r> {
    error: Error,
    opened: Option<Opened<'r>>,
}

impl From<Error> for Fallen<'_> {
    fn from(error: Error) -> Self {
        Fallen { error, opened: None }
    }
}

impl<'r> From<Halted<'r>> for Fallen<'r> {
    fn from(Halted { error, opened }: Halted<'r>) -> Self {
        Fallen { error, opened: Some(opened) }
    }
}

/// A drive at some stage, which gives it back.
trait Stage<'r> {
    /// The drive, if it is open.
    fn back(self) -> Option<Opened<'r>>;
}

impl<'r> Stage<'r> for Drive {
    fn back(self) -> Option<Opened<'r>> {
        None
    }
}

impl<'r> Stage<'r> for Opened<'r> {
    fn back(self) -> Option<Opened<'r>> {
        Some(self)
    }
}

impl<'r> Stage<'r> for Ready<'r> {
    fn back(self) -> Option<Opened<'r>> {
        Some(match self {
            Ready::Locked(locked) => locked.into_opened(),
            Ready::ByForce(opened) => opened,
        })
    }
}

impl<'r> Stage<'r> for Dismounted<'r> {
    fn back(self) -> Option<Opened<'r>> {
        Some(self.into_opened())
    }
}

/// The reports so far.
struct Over(Vec<Option<Report>>);

impl Over {
    fn of(count: usize) -> Self {
        Over(vec![None; count])
    }

    fn keep(&mut self, number: usize, report: Report) {
        self.0[number] = Some(report);
    }

    fn stop(&mut self, number: usize, mut run: Run<'_>, opened: Option<Opened<'_>>, error: Error) {
        let error = match opened {
            Some(opened) => run.unlock_halted(Halted { error, opened }),
            None => error,
        };
        self.keep(number, run.stopped(error));
    }

    fn reports(self) -> Vec<Report> {
        self.0.into_iter().flatten().collect()
    }
}
