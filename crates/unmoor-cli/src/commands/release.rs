//! `eject`, `load`, `flush`: the procedures that change something.

use super::{each, parse};
use crate::answer::{Answer, Verb};
use crate::args::{Eject, Flush, Load, Output, Remount};
use crate::machines::Machines;
use crate::progress::Progress;
use crate::{repeats, signals};
use std::ffi::OsString;
use std::time::Duration;
use unmoor::platform::Platform;
use unmoor::{Error, Goal, Listener, Options, Report, Target};

pub fn eject(args: Eject) -> Result<u8, Error> {
    let goal = match (args.dismount_only, args.power_off) {
        (true, _) => Goal::Dismount,
        (_, true) => Goal::PowerOff,
        _ => Goal::Eject,
    };
    let options = Options {
        goal,
        force: args.force,
        discard_unwritten: args.discard_unwritten,
        swapoff: args.swapoff,
        together: Vec::new(),
        wait: args.wait.unwrap_or_default(),
        timeout: args.timeout,
        offline: args.offline,
        verify: !args.no_verify,
        cancel: signals::cancel(),
    };
    let verb = Verb::Eject(goal);
    #[cfg(windows)]
    if !args.dry_run
        && let Some(code) = run_elsewhere(&args.targets)?
    {
        return Ok(code);
    }
    if args.dry_run {
        return run(verb, args.targets, &args.output, &options, |machine, target, options, _| {
            unmoor::dry_run(machine, target, options)
        });
    }
    run(verb, args.targets, &args.output, &options, unmoor::release)
}

/// On Windows, a program on the drive to be released would be in its own way: a copy does it then.
#[cfg(windows)]
fn run_elsewhere(targets: &[OsString]) -> Result<Option<u8>, Error> {
    let targets: Vec<Target> = targets.iter().filter_map(|t| Target::parse(t).ok()).collect();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = unmoor::platform::windows::run_elsewhere(&targets, &words)?;
    Ok(code.map(|code| u8::try_from(code).unwrap_or(crate::outcome::Outcome::Failed.exit_code())))
}

pub fn load(args: Load) -> Result<u8, Error> {
    let options = only_timeout(args.timeout);
    run(Verb::Load, args.targets, &args.output, &options, unmoor::load)
}

pub fn flush(args: Flush) -> Result<u8, Error> {
    let options = only_timeout(args.timeout);
    run(Verb::Flush, args.targets, &args.output, &options, unmoor::flush)
}

pub fn remount(args: Remount) -> Result<u8, Error> {
    let options = only_timeout(None);
    run(Verb::Remount, args.targets, &args.output, &options, unmoor::remount)
}

fn only_timeout(timeout: Option<Duration>) -> Options {
    Options { timeout, cancel: signals::cancel(), ..Options::default() }
}

fn run(
    verb: Verb,
    targets: Vec<OsString>,
    output: &Output,
    options: &Options,
    procedure: impl Fn(&dyn Platform, &Target, &Options, Listener<'_>) -> Report,
) -> Result<u8, Error> {
    let targets = parse(targets)?;
    let machines = Machines::default();
    let (same_as, together) = repeats::find(&targets, &machines);
    let options = &Options { together, ..options.clone() };
    let mut reports: Vec<Option<Report>> = Vec::new();
    Ok(each(verb, targets, output, &options.cancel, |given, target| {
        let first = same_as[reports.len()].and_then(|number| reports[number].clone());
        if let Some(report) = first {
            reports.push(None);
            return Answer::from_report(
                given,
                verb,
                Report { target: target.to_string(), ..report },
            );
        }
        let machine = match machines.of(target) {
            Ok(machine) => machine,
            Err(error) => {
                reports.push(None);
                return Answer::from_error(given, verb, None, error);
            }
        };
        let mut progress = Progress::new(&given, output, options.wait);
        let report = procedure(machine, target, options, &mut |event| progress.hear(event));
        drop(progress);
        reports.push(Some(report.clone()));
        Answer::from_report(given, verb, report)
    }))
}
