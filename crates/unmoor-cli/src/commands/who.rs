//! `who`: what is in the way of a release. Changes nothing.

use super::{each, parse};
use crate::answer::{Answer, Verb};
use crate::args;
use crate::blockers::processes;
use crate::machines::Machines;
use crate::outcome::Outcome;
use crate::{signals, words};
use std::ffi::OsString;
use unmoor::{Drive, Error, Opened, Options, Scan, Target};

pub fn run(args: args::Who) -> Result<u8, Error> {
    let targets = parse(args.targets)?;
    let machines = Machines::default();
    let options = Options { cancel: signals::cancel(), ..Options::default() };
    Ok(each(Verb::Who, targets, &args.output, &options.cancel, |given, target| {
        match search(&machines, target, &options) {
            Ok((drive, scan)) => answer(given, drive, scan),
            Err(error) => Answer::from_error(given, Verb::Who, None, error),
        }
    }))
}

fn search(machines: &Machines, target: &Target, options: &Options) -> Result<(Drive, Scan), Error> {
    let mut opened = Opened::new(machines.of(target)?, target, options)?;
    let scan = opened.blockers();
    Ok((opened.drive().clone(), scan))
}

fn answer(target: OsString, drive: Drive, scan: Scan) -> Answer {
    let (outcome, what) = verdict(&scan);
    let blind = outcome == Outcome::NotPermitted || (outcome == Outcome::Busy && !scan.complete);
    let help = "run it as root (Windows: as administrator) to see everything";
    Answer {
        target,
        outcome,
        message: format!("{}: {what}.", words::describe(&drive)),
        help: blind.then(|| help.to_string()),
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

/// "Nothing is in the way" is said only when everything was seen.
fn verdict(scan: &Scan) -> (Outcome, String) {
    let users = scan.blockers.iter().filter(|b| b.process.is_some()).count();
    let others = scan.blockers.len() - users;
    match (users, others) {
        (0, 0) if scan.complete => (Outcome::Done, "nothing is in the way of a release".into()),
        (0, 0) if scan.unseen_processes > 0 => {
            let unseen = processes(scan.unseen_processes);
            let what = format!("nothing was found, but {unseen} could not be looked into");
            (Outcome::NotPermitted, what)
        }
        (0, 0) => (Outcome::Failed, "nothing was found, but not everything could be seen".into()),
        (users, 0) => (Outcome::Busy, format!("in use by {}", processes(users))),
        (0, others) => (Outcome::Busy, format!("in use by {}", things(others))),
        (users, others) => {
            (Outcome::Busy, format!("in use by {} and {}", processes(users), things(others)))
        }
    }
}

fn things(count: usize) -> String {
    if count == 1 {
        "1 thing in the system".into()
    } else {
        format!("{count} things in the system")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmoor::{Blocker, BlockerKind};

    fn of(scan: Scan) -> (u8, String) {
        let (outcome, what) = verdict(&scan);
        (outcome.exit_code(), what)
    }

    #[test]
    fn nothing_is_said_only_when_everything_was_seen() {
        let (code, message) = of(Scan { complete: true, ..Scan::default() });
        assert!(code == 0 && message.contains("nothing is in the way"), "{message}");
        let (code, message) = of(Scan { unseen_processes: 3, ..Scan::default() });
        assert!(code == 5 && message.contains("3 processes could not"), "{message}");
        let (code, message) = of(Scan::default());
        assert!(code == 1 && message.contains("not everything"), "{message}");
    }

    #[test]
    fn something_in_the_way_is_three() {
        let blocker = Blocker::new(BlockerKind::Swap, "swap file /mnt/swap");
        let scan = Scan { blockers: vec![blocker], complete: true, ..Scan::default() };
        assert_eq!(of(scan).0, 3);
    }
}
