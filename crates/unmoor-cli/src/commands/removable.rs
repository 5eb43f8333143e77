//! `eject --all-removable`: selects the drives, with a reason for each one skipped.

use super::document::print_document;
use crate::args::Output;
use crate::console::{Style, print_err};
use crate::outcome::Outcome;
use crate::{json, messages, platforms};
use std::ffi::OsString;
use unmoor::{Drive, Error, ErrorKind, Result, platform};

/// Skipped drive and the reason.
pub type Skipped = (Drive, String);

/// Returns the selected drives as targets, and the skipped ones.
pub fn find(simulated: bool) -> Result<(Vec<OsString>, Vec<Skipped>)> {
    let platform = if simulated { platforms::simulated()? } else { platform::native()? };
    let drives = unmoor::list(&*platform, true)?;
    let (chosen, skipped) = unmoor::select_removable(drives);
    Ok((chosen.into_iter().map(|drive| drive.path.into_os_string()).collect(), skipped))
}

/// Prints the skipped drives.
pub fn print_skipped(skipped: &[Skipped]) {
    for (drive, reason) in skipped {
        print_err(Style::Dim, &format!("skipped: {}: {reason}", messages::describe(drive)));
    }
}

/// Prints why there is nothing to release, and returns the exit code.
pub fn nothing_to_release(
    command: &str,
    error: &Error,
    skipped: &[Skipped],
    output: &Output,
) -> u8 {
    let code = Outcome::from(error).exit_code();
    if output.json {
        return print_document(&json::of_no_targets(command, code, error, skipped), code);
    }
    if output.verbose {
        print_skipped(skipped);
    }
    print_err(Style::Bad, &messages::failure(None, error));
    if let Some(help) = error.hint().map(messages::hint) {
        print_err(Style::Plain, &format!("  {help}"));
    }
    code
}

/// Returns the error for "nothing to release".
pub fn none_there() -> Error {
    let what = "there is nothing to release: no drive that can be taken out has a medium in it";
    Error::new(ErrorKind::NoMedium, "", what).with_help("`unmoor list --all` shows all drives")
}
