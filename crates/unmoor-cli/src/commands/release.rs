//! `eject`, `load`, `flush`, `remount`: the operations on drives.

use super::batch::{self, Request};
use super::removable;
use crate::args::{Eject, Flush, Load, Remount};
use crate::command_kind::CommandKind;
use crate::{confirm, signals};
#[cfg(windows)]
use std::ffi::OsString;
use std::time::Duration;
#[cfg(windows)]
use unmoor::Target;
use unmoor::{Confirm, Error, ErrorKind, Goal, Kill, Operation, Options};

pub fn eject(args: Eject) -> Result<u8, Error> {
    let goal = match (args.dismount_only, args.power_off) {
        (true, _) => Goal::Dismount,
        (_, true) => Goal::PowerOff,
        _ => Goal::Eject,
    };
    let mut options = only_timeout(args.timeout);
    options.goal = goal;
    options.only_volume = args.volume;
    options.force = args.force;
    options.discard_unwritten = args.discard_unwritten;
    options.swapoff = args.swapoff;
    options.kill = kill(&args)?;
    options.wait = args.wait.unwrap_or_default();
    options.offline = args.offline;
    options.verify = !args.no_verify;
    options.interactive = args.interactive || confirm::can_answer();
    let command = CommandKind::Eject(goal);
    let (targets, skipped) = match args.all_removable {
        false => (args.targets, None),
        true => match removable::find(args.simulated) {
            Ok((targets, skipped)) if !targets.is_empty() => (targets, Some(skipped)),
            Ok((_, skipped)) => {
                let error = removable::none_there();
                return Ok(removable::nothing_to_release(
                    command.name(),
                    &error,
                    &skipped,
                    &args.output,
                ));
            }
            Err(error) => {
                return Ok(removable::nothing_to_release(
                    command.name(),
                    &error,
                    &[],
                    &args.output,
                ));
            }
        },
    };
    #[cfg(windows)]
    if !args.dry_run
        && let Some(code) = run_elsewhere(&targets)?
    {
        return Ok(code);
    }
    let operation = if args.dry_run { Operation::DryRun } else { Operation::Release };
    let mut request = Request::new(command, operation, targets, &args.output, &options);
    request.skipped = skipped;
    request.first_word = args.first_word.as_deref();
    #[cfg(all(target_os = "linux", feature = "notify"))]
    {
        request.notify = args.notify;
    }
    batch::run(request)
}

/// Runs a copy of the program if it lies on the drive to be released (Windows).
#[cfg(windows)]
fn run_elsewhere(targets: &[OsString]) -> Result<Option<u8>, Error> {
    let targets: Vec<Target> = targets.iter().filter_map(|t| Target::parse(t).ok()).collect();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = crate::windows::self_copy::run(&targets, &words)?;
    Ok(code.map(|code| u8::try_from(code).unwrap_or(crate::outcome::Outcome::Failed.exit_code())))
}

pub fn load(args: Load) -> Result<u8, Error> {
    let options = only_timeout(args.timeout);
    let command = CommandKind::Load;
    batch::run(Request::new(command, Operation::Load, args.targets, &args.output, &options))
}

pub fn flush(args: Flush) -> Result<u8, Error> {
    let options = only_timeout(args.timeout);
    let command = CommandKind::Flush;
    batch::run(Request::new(command, Operation::Flush, args.targets, &args.output, &options))
}

pub fn remount(args: Remount) -> Result<u8, Error> {
    let options = only_timeout(None);
    let command = CommandKind::Remount;
    batch::run(Request::new(command, Operation::Remount, args.targets, &args.output, &options))
}

/// Returns how to terminate programs. Without a terminal, `--yes` must confirm it beforehand.
fn kill(args: &Eject) -> Result<Option<Kill>, Error> {
    let consent = match (args.kill, args.yes || args.dry_run) {
        (false, _) => return Ok(None),
        (true, true) => Confirm::Always,
        (true, false) if confirm::can_answer() => Confirm::Prompt(confirm::user()),
        (true, false) => {
            let why = "there is no terminal for the question whether programs may be ended";
            return Err(Error::new(ErrorKind::InvalidTarget, "--kill", why)
                .with_help("add --yes to confirm beforehand"));
        }
    };
    let mut kill = Kill::new(args.grace.unwrap_or(Kill::GRACE), consent);
    kill.services = args.services;
    Ok(Some(kill))
}

fn only_timeout(timeout: Option<Duration>) -> Options {
    let mut options = Options::cancelled_by(signals::cancel());
    options.timeout = timeout;
    options
}
