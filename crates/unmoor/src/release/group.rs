//! Releases the drives of one group together, or none of them.
//!
//! An array, a volume group or a btrfs spans several drives, and a power-off takes all drives of a
//! device along. No drive of such a group takes the next step before all have taken the one before:
//! nothing is dismounted until everything on all of them was found idle. Volumes that several drives
//! share are dismounted once, with the first of them. From the ejection on each drive is on its own.
//!
//! A single drive is a group of one.

use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::event::Event;
use crate::model::report::{Outcome, Report};
use crate::model::step::Action;
use crate::options::Options;
use crate::policy::overrides::{is_kill_futile, must_kill_suffice};
use crate::policy::plan::opens_empty_tray;
use crate::release::lock::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::release::open_drive::OpenDrive;
use crate::release::operation::DriveOperation;
use std::collections::HashSet;
use std::sync::Arc;

/// An operation whose drive is resolved.
pub(crate) type Resolved<'p> = (DriveOperation<'p>, Drive);

/// The reports of a group, by [`DriveOperation::index`].
type Reports = Vec<Option<Report>>;

/// Releases these drives together and returns the report of each, in their order.
pub(crate) fn release(mut members: Vec<Resolved<'_>>) -> Vec<Report> {
    let mut reports = number(&mut members);
    let planned = plan_all(members, &mut reports, false);
    let mut drives = open_all(planned, &mut reports);
    let dismounted = advance_all(&mut drives, &mut reports, |drive| {
        let flushed = drive.flush();
        drive.accept_flush(flushed)
    }) && dismount_all(&mut drives, &mut reports);
    if dismounted {
        eject_all(drives, &mut reports);
    }
    reports.into_iter().flatten().collect()
}

/// Returns the plan of [`release`] for these drives.
pub(crate) fn dry_run(mut members: Vec<Resolved<'_>>) -> Vec<Report> {
    let mut reports = number(&mut members);
    for (operation, _) in plan_all(members, &mut reports, true) {
        let index = operation.index;
        reports[index] = Some(operation.finish(Ok(Outcome::Planned)));
    }
    reports.into_iter().flatten().collect()
}

fn number(members: &mut [Resolved<'_>]) -> Reports {
    members.iter_mut().enumerate().for_each(|(index, (operation, _))| operation.index = index);
    vec![None; members.len()]
}

/// Makes all plans. A drive without a plan leaves the group, and the others are planned anew: those
/// that share something with it are refused, because their group is incomplete now.
fn plan_all<'p>(
    mut members: Vec<Resolved<'p>>,
    reports: &mut Reports,
    dry_run: bool,
) -> Vec<Resolved<'p>> {
    let requested: Vec<Vec<Drive>> = members.iter().map(|(o, _)| o.options.group.clone()).collect();
    'replan: loop {
        let drives: Vec<Drive> = members.iter().map(|(_, drive)| drive.clone()).collect();
        for at in 0..members.len() {
            let (operation, drive) = &mut members[at];
            let others = drives.iter().enumerate().filter(|(other, _)| *other != at);
            operation.options.group = requested[operation.index].clone();
            operation.options.group.extend(others.map(|(_, drive)| drive.clone()));
            if let Err(error) = operation.plan(drive, dry_run) {
                let (operation, drive) = members.remove(at);
                let index = operation.index;
                let tray = !dry_run && opens_empty_tray(&drive, &operation.options, &error);
                reports[index] = Some(match tray {
                    true => open_empty_tray(operation, drive, error),
                    false => operation.fail(error),
                });
                continue 'replan;
            }
        }
        return members;
    }
}

/// Opens the tray of an empty drive. Reports the error that says it is empty.
fn open_empty_tray(operation: DriveOperation<'_>, drive: Drive, empty: Error) -> Report {
    match OpenDrive::open_checked(operation, drive) {
        Err(report) => *report,
        Ok(mut open) => match open.open_empty_tray() {
            Ok(true) => open.operation.fail(empty.append_detail("the tray is open now")),
            Ok(false) => open.operation.fail(empty),
            Err(error) => open.operation.fail(error),
        },
    }
}

/// Opens all drives. If one cannot be opened, all fail.
fn open_all<'p>(planned: Vec<Resolved<'p>>, reports: &mut Reports) -> Vec<OpenDrive<'p>> {
    let (mut volumes, mut siblings) = (HashSet::new(), HashSet::new());
    let mut drives = Vec::new();
    let mut rest = planned.into_iter();
    while let Some((operation, drive)) = rest.next() {
        let index = operation.index;
        match open_member(operation, drive, &mut volumes, &mut siblings) {
            Ok(open) => drives.push(open),
            Err(report) => {
                if let Some(error) = error_for_others(&report) {
                    fail_all(drives, &error, reports);
                    for (operation, _) in rest {
                        let index = operation.index;
                        reports[index] = Some(operation.fail(error.clone()));
                    }
                }
                reports[index] = Some(*report);
                return Vec::new();
            }
        }
    }
    drives
}

/// Opens one drive and, for a power-off, claims its siblings.
///
/// Volumes among `volumes` are left to the drive that was opened with them before.
fn open_member<'p>(
    mut operation: DriveOperation<'p>,
    drive: Drive,
    volumes: &mut HashSet<String>,
    siblings: &mut HashSet<String>,
) -> Result<OpenDrive<'p>, Box<Report>> {
    let action = operation.report.action.unwrap_or(Action::Nothing);
    let claimed = match action {
        Action::PowerOff => operation.claim_siblings(&drive, siblings),
        _ => Ok(Vec::new()),
    };
    let claimed = match claimed {
        Ok(claimed) => claimed,
        Err(error) => return Err(Box::new(operation.fail(error))),
    };
    operation.emit(Event::Resolved { drive: Arc::new(drive.clone()), action });
    let names: Vec<String> = drive.volumes.iter().map(|v| v.name.clone()).collect();
    let mut open = OpenDrive::open_checked(operation, drive)?;
    if let Err(error) = open.authorize() {
        return Err(Box::new(open.operation.fail(error)));
    }
    open.siblings = claimed;
    open.delegate(names.iter().filter(|name| volumes.contains(*name)).cloned().collect());
    volumes.extend(names);
    Ok(open)
}

/// Takes all drives through one step. If one fails, all are unlocked and fail. Returns true on success.
fn advance_all<'p>(
    drives: &mut Vec<OpenDrive<'p>>,
    reports: &mut Reports,
    step: impl FnMut(&mut OpenDrive<'p>) -> Result<()>,
) -> bool {
    match try_all(drives, step) {
        Ok(()) => true,
        Err((at, error)) => {
            fail_because_of(drives, at, error, reports);
            false
        }
    }
}

/// Takes one drive after the other through a step. Returns the index of the first one that fails, and its error.
fn try_all<'p>(
    drives: &mut [OpenDrive<'p>],
    step: impl FnMut(&mut OpenDrive<'p>) -> Result<()>,
) -> Result<(), (usize, Error)> {
    let mut results = drives.iter_mut().map(step).enumerate();
    results.try_for_each(|(at, result)| result.map_err(|error| (at, error)))
}

/// Fails all drives because of the error of one.
fn fail_because_of(
    drives: &mut Vec<OpenDrive<'_>>,
    at: usize,
    error: Error,
    reports: &mut Reports,
) {
    let failed = drives.remove(at);
    let index = failed.operation.index;
    let report = failed.fail(error);
    if let Some(error) = error_for_others(&report) {
        fail_all(drives.drain(..), &error, reports);
    }
    reports[index] = Some(report);
}

fn fail_all<'p>(
    drives: impl IntoIterator<Item = OpenDrive<'p>>,
    error: &Error,
    reports: &mut Reports,
) {
    drives.into_iter().for_each(|drive| fail(drive, error.clone(), reports));
}

fn fail(drive: OpenDrive<'_>, error: Error, reports: &mut Reports) {
    let index = drive.operation.index;
    reports[index] = Some(drive.fail(error));
}

/// Returns the error for the other drives of the group.
fn error_for_others(failed: &Report) -> Option<Error> {
    let name = failed.drive.as_ref().map_or("another", |drive| &drive.name);
    let why = format!("that is {name}'s, which is released together with it");
    Some(failed.error()?.clone().append_detail(why))
}

/// Locks and dismounts all drives. Returns true on success.
///
/// A lock that is only a probe keeps no program out. The release waits for what comes into use between
/// the lock and the dismount too, for [`Options::wait`] in all, with everything mounted meanwhile.
fn dismount_all(drives: &mut Vec<OpenDrive<'_>>, reports: &mut Reports) -> bool {
    let Some(first) = drives.first() else { return false };
    let (platform, wait) = (first.operation.platform, first.operation.options.wait);
    let give_up = platform.now() + wait.max(Options::MIN_RETRY);
    let mut pause = FIRST_PAUSE;
    loop {
        if !lock_all(drives, reports) {
            return false;
        }
        let Err((at, error)) = try_all(drives, OpenDrive::dismount_or_force) else { return true };
        for drive in &mut drives[..at] {
            // Its own report gets the error of the other one.
            let _ = drive.mount_again(error.clone());
        }
        let left = give_up.saturating_sub(platform.now());
        let may_pass = error.kind() == ErrorKind::Busy
            && platform.lock_is_probe()
            && !drives.iter().any(|drive| drive.forced.is_some());
        if !may_pass || left.is_zero() {
            fail_because_of(drives, at, error, reports);
            return false;
        }
        drives[at].refusal = Some(error.clone());
        drives[at].operation.emit(Event::Waiting { error, remaining: left });
        platform.sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
        let left = wait.min(give_up.saturating_sub(platform.now()));
        if !advance_all(drives, reports, |drive| drive.prepare_retry(left)) {
            return false;
        }
    }
}

/// Locks all drives, so that all are idle at the same moment.
///
/// While the lock of one drive waited, another drive may have come into use. All are locked anew then,
/// for [`Options::wait`] at most.
fn lock_all(drives: &mut Vec<OpenDrive<'_>>, reports: &mut Reports) -> bool {
    let several = drives.len() > 1;
    let Some(first) = drives.first() else { return false };
    let (platform, wait) = (first.operation.platform, first.operation.options.wait);
    if several {
        disable_futile_kill(drives);
    }
    let start = platform.now();
    let elapsed = || platform.now().saturating_sub(start);
    loop {
        let locked = advance_all(drives, reports, |drive| {
            if several {
                drive.operation.options.wait = wait.saturating_sub(elapsed());
            }
            drive.lock_or_force()
        });
        let waited = drives.iter().any(|drive| drive.had_to_wait);
        if !locked || !several || !waited || elapsed() > wait.max(Options::MIN_RETRY) {
            return locked;
        }
        for drive in drives.iter_mut() {
            // A volume that stays locked is locked again, or says why not.
            let _ = drive.session.unlock();
        }
    }
}

/// Disables [`Options::kill`] for the group if a member is blocked by what killing cannot resolve.
fn disable_futile_kill(drives: &mut [OpenDrive<'_>]) {
    let must_suffice = |options: &Options| options.kill.is_some() && must_kill_suffice(options);
    if !drives.iter().all(|drive| must_suffice(&drive.operation.options)) {
        return;
    }
    let blocked = drives.iter_mut().find_map(|drive| {
        let options = drive.operation.options.clone();
        let futile = is_kill_futile(&drive.blockers_or_unknown(), &options);
        futile.then(|| drive.drive.name.clone())
    });
    let Some(name) = blocked else { return };
    for OpenDrive { operation, .. } in drives {
        operation.options.kill = None;
        operation
            .warn(format!("no process was terminated: {name} is blocked by more than processes"));
    }
}

/// Ejects the drives, then verifies and unlocks those that accepted it.
fn eject_all(drives: Vec<OpenDrive<'_>>, reports: &mut Reports) {
    let mut powered_off: Vec<Drive> = Vec::new();
    let mut ejected = Vec::new();
    let mut rest = drives.into_iter();
    while let Some(mut drive) = rest.next() {
        match eject(&mut drive, rest.as_mut_slice(), &mut powered_off) {
            Ok(()) => ejected.push(drive),
            Err(error) => fail(drive, error, reports),
        }
    }
    for mut drive in ejected {
        let verified = drive.verify_if_requested();
        let unlocked = drive.unlock();
        let index = drive.operation.index;
        let outcome = verified.and(unlocked).map(|_| Outcome::Completed);
        reports[index] = Some(drive.operation.finish(outcome));
    }
}

/// Carries out the action of the plan. A device with several drives is powered off once.
fn eject(
    drive: &mut OpenDrive<'_>,
    rest: &mut [OpenDrive<'_>],
    powered_off: &mut Vec<Drive>,
) -> Result<()> {
    let action = drive.operation.report.action.unwrap_or(Action::Nothing);
    let before = drive.operation.report.drive.clone();
    let Some(before) = before.filter(|_| action == Action::PowerOff) else {
        return drive.perform(action).map(drop);
    };
    if let Some(other) = powered_off.iter().find(|other| other.siblings.contains(&before.name)) {
        return drive.record_left_with(&other.name);
    }
    // Our own handles of the other drives would keep the device on its bus.
    drive.siblings.iter_mut().for_each(OpenDrive::release_handles);
    for member in rest.iter_mut().filter(|m| before.siblings.contains(&m.drive.name)) {
        member.release_handles();
    }
    drive.perform(action)?;
    powered_off.push(before);
    Ok(())
}
