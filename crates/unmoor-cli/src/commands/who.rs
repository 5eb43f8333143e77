//! `who`: what keeps a drive from being released. Changes nothing.

use super::{parse, run_each};
use crate::args;
use crate::blockers::{processes, user};
use crate::command_kind::CommandKind;
use crate::outcome::Outcome;
use crate::platforms::Platforms;
use crate::target_result::TargetResult;
use crate::{messages, signals, working_directory};
use std::ffi::OsString;
use unmoor::platform::Platform;
use unmoor::{Blocker, BlockerKind, BlockerScan, Drive, Error, ErrorKind, Opened, Options, Target};

pub fn run(args: args::Who) -> Result<u8, Error> {
    let targets = parse(args.targets)?;
    let platforms = Platforms::default();
    let options = Options::cancelled_by(signals::cancel());
    let drives: Vec<Result<Resolved<'_>, Error>> =
        targets.iter().map(|(_, target)| find(&platforms, target)).collect();
    working_directory::leave();
    let mut drives = drives.into_iter();
    let try_lock = args.try_lock;
    Ok(run_each(CommandKind::Who, targets, &args.output, &options.cancel, |given, _| {
        look(given, drives.next().expect("one for each target"), &options, try_lock)
    }))
}

pub type Resolved<'p> = (&'p dyn Platform, Drive);

/// Returns the drive of a target, and its platform.
pub fn find<'p>(platforms: &'p Platforms, target: &Target) -> Result<Resolved<'p>, Error> {
    let platform = platforms.of(target)?;
    Ok((platform, unmoor::resolve(platform, target)?))
}

/// Searches for what uses the drive of a target.
pub fn look(
    given: OsString,
    drive: Result<Resolved<'_>, Error>,
    options: &Options,
    try_lock: bool,
) -> TargetResult {
    match drive.and_then(|(platform, drive)| search(platform, drive, options, try_lock)) {
        Ok((drive, scan, as_whom)) => result(given, drive, scan, as_whom),
        Err(error) => TargetResult::from_error(given, CommandKind::Who, None, error),
    }
}

/// Drive, scan, and the account that could see more.
type Scanned = (Drive, BlockerScan, Option<&'static str>);

fn search(
    platform: &dyn Platform,
    drive: Drive,
    options: &Options,
    try_lock: bool,
) -> Result<Scanned, Error> {
    let mut opened = Opened::open(platform, drive, options)?;
    let scan = opened.blockers();
    // A drive that is never released, or is empty, is not reported as free.
    let planned = unmoor::plan(opened.drive(), options, |_| Vec::new());
    if let Err(error) = planned
        && scan.blockers.is_empty()
        && matches!(error.kind(), ErrorKind::Refused | ErrorKind::NoMedium)
    {
        return Err(error.with_scan(scan));
    }
    let drive = opened.drive().clone();
    let scan = match try_lock && scan.blockers.is_empty() && !scan.complete {
        true => complete_by_lock(opened, scan)?,
        false => scan,
    };
    Ok((drive, scan, platform.elevated_account()))
}

/// Locks the drive for a moment. Nothing is open on a drive that can be locked, so the scan is complete.
fn complete_by_lock(opened: Opened<'_>, mut scan: BlockerScan) -> Result<BlockerScan, Error> {
    match opened.lock() {
        Ok(locked) => {
            drop(locked);
            scan.complete = true;
            scan.notes.push("nothing is open on it: it could be locked".into());
            Ok(scan)
        }
        Err(failed) if failed.error.kind() == ErrorKind::Busy => {
            Ok(failed.error.scan().cloned().unwrap_or(scan))
        }
        Err(failed) => Err(failed.error),
    }
}

fn result(
    target: OsString,
    drive: Drive,
    scan: BlockerScan,
    as_whom: Option<&str>,
) -> TargetResult {
    let (outcome, what) = verdict(&scan, as_whom.is_some());
    let help = as_whom.filter(|_| !scan.complete);
    TargetResult {
        target,
        outcome,
        message: format!("{}: {what}.", messages::describe(&drive)),
        help: help.map(|whom| format!("run it as {whom} to see everything")),
        drive: Some(drive),
        action: None,
        medium_after: None,
        steps: Vec::new(),
        scan: Some(scan),
        ended: Vec::new(),
        warnings: Vec::new(),
        lost: Vec::new(),
        error: None,
    }
}

/// Returns "not in use" only after a complete scan. If another account could see more, the outcome is
/// `NotPermitted`.
fn verdict(scan: &BlockerScan, could_see_more: bool) -> (Outcome, String) {
    let users = scan.blockers.iter().filter(|b| user(b).is_some()).count();
    let others: Vec<&Blocker> = scan.blockers.iter().filter(|b| user(b).is_none()).collect();
    match (users, others.len()) {
        (0, 0) if scan.complete => (Outcome::Done, "not in use".into()),
        (0, 0) if scan.inaccessible_processes > 0 => {
            let unseen = processes(scan.inaccessible_processes);
            let what = format!("no user was found, but {unseen} could not be inspected");
            (Outcome::NotPermitted, what)
        }
        (0, 0) => {
            let outcome = if could_see_more { Outcome::NotPermitted } else { Outcome::Failed };
            (outcome, "no user was found, but the search was incomplete".into())
        }
        (users, 0) => (Outcome::Busy, format!("in use by {}", processes(users))),
        (0, _) => (Outcome::Busy, format!("in use by {}", describe_kinds(&others))),
        (users, _) => (
            Outcome::Busy,
            format!("in use by {} and {}", processes(users), describe_kinds(&others)),
        ),
    }
}

/// Formats counts by kind: `1 mount, 2 swap areas`.
fn describe_kinds(blockers: &[&Blocker]) -> String {
    let one = |kind: BlockerKind| {
        let count = blockers.iter().filter(|b| b.kind == kind).count();
        let (one, many) = match kind {
            BlockerKind::Mount => ("mount", "mounts"),
            BlockerKind::Namespace => ("mount namespace", "mount namespaces"),
            BlockerKind::Loop => ("image", "images"),
            BlockerKind::Swap => ("swap area", "swap areas"),
            BlockerKind::Mapping => ("mapping", "mappings"),
            BlockerKind::MultiDevice => {
                ("volume over several drives", "volumes over several drives")
            }
            BlockerKind::Overlay => ("overlay", "overlays"),
            BlockerKind::Export => ("NFS export", "NFS exports"),
            BlockerKind::Kernel => ("file of the kernel", "files of the kernel"),
            _ => ("user that was not found", "users that were not found"),
        };
        format!("{count} {}", if count == 1 { one } else { many })
    };
    let mut seen = Vec::new();
    for kind in blockers.iter().map(|blocker| blocker.kind) {
        if !seen.contains(&kind) {
            seen.push(kind);
        }
    }
    seen.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scan: BlockerScan) -> (u8, String) {
        let (outcome, what) = verdict(&scan, false);
        (outcome.exit_code(), what)
    }

    #[test]
    fn nothing_is_said_only_when_everything_was_seen() {
        let (code, message) = of(BlockerScan::complete(Vec::new()));
        assert!(code == 0 && message.contains("not in use"), "{message}");
        let mut unseen = BlockerScan::default();
        unseen.inaccessible_processes = 3;
        let (code, message) = of(unseen);
        assert!(code == 5 && message.contains("3 processes could not"), "{message}");
        let (code, message) = of(BlockerScan::default());
        assert!(code == 1 && message.contains("incomplete"), "{message}");
        // As under /proc mounted with hidepid, where the number of hidden processes is unknown.
        assert_eq!(verdict(&BlockerScan::default(), true).0.exit_code(), 5);
    }

    #[test]
    fn something_in_the_way_is_three() {
        let blocker = Blocker::new(BlockerKind::Swap, "swap file /mnt/swap");
        let scan = BlockerScan::complete(vec![blocker]);
        assert_eq!(of(scan).0, 3);
    }
}
