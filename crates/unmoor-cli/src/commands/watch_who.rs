//! `who --watch`: what uses the drives, each time that it changes.

use super::changes::Changes;
use super::who::{Resolved, find, look};
use super::{as_root, lines, parse, print, print_version};
use crate::args;
use crate::command_kind::CommandKind;
use crate::console::write_out;
use crate::outcome::Outcome;
use crate::platforms::Platforms;
use crate::target_result::TargetResult;
use crate::{json, signals, working_directory};
use std::time::Duration;
use unmoor::{Error, ErrorKind, Medium, Options, Target};

/// Interval between searches: no event says that a file was opened or closed.
const INTERVAL: Duration = Duration::from_secs(1);

pub fn run(args: args::Who) -> Result<u8, Error> {
    let targets = parse(args.targets)?;
    let platforms = Platforms::default();
    let options = Options::cancelled_by(signals::cancel());
    let simulated = targets.iter().any(|(_, target)| matches!(target, Target::Simulated(_)));
    let mut changes = Changes::start(platforms.listed(simulated)?, options.cancel.clone())?;
    let output = &args.output;
    print_version(output);
    let mut drives: Vec<Result<Resolved<'_>, Error>> =
        targets.iter().map(|(_, target)| find(&platforms, target)).collect();
    // A relative path means nothing from here on.
    working_directory::leave();
    let mut printed: Option<Vec<String>> = None;
    loop {
        let results: Vec<TargetResult> = targets
            .iter()
            .zip(&drives)
            .map(|((given, _), drive)| look(given.clone(), drive.clone(), &options, false))
            .collect();
        if options.cancel.is_cancelled() {
            return Ok(changes.exit_code());
        }
        let code = Outcome::worst(results.iter().map(|result| result.outcome.exit_code()));
        let text = results.iter().flat_map(|result| lines(CommandKind::Who, result, true, None));
        let text: Vec<String> = text.map(|(_, line)| line).collect();
        if printed.as_ref() != Some(&text) {
            match output.json {
                true => write_line(&json::line_of_targets("who", code, &results)),
                false => results.iter().for_each(|one| print(CommandKind::Who, one, output)),
            }
        }
        if printed.replace(text).is_none() {
            as_root::run_if_wanted(&results, output, false, &options.cancel);
        }
        if results.iter().all(|result| result.drive.is_none()) {
            return Ok(code);
        }
        if !changes.wait(Some(INTERVAL))? {
            return Ok(changes.exit_code());
        }
        for drive in &mut drives {
            *drive = drive.clone().and_then(find_again);
        }
    }
}

/// Returns the drive as it is now.
fn find_again((platform, drive): Resolved<'_>) -> Result<Resolved<'_>, Error> {
    let now = unmoor::resolve(platform, &Target::parse(&drive.path)?)?;
    if now.id == drive.id {
        return Ok((platform, now));
    }
    let (kind, why) = match now.medium {
        Medium::Absent | Medium::TrayOpen => (ErrorKind::Gone, "its medium was taken out"),
        _ => (ErrorKind::Replaced, "another drive or medium has this name now"),
    };
    Err(Error::new(kind, &drive.name, why))
}

/// Prints one line of JSON.
fn write_line(line: &str) {
    let line = if cfg!(windows) { json::ascii(line) } else { line.into() };
    write_out(&(line + "\n"));
}
