//! `eject --all-removable`: which drives that means here, and why not the others.

use super::print_document;
use crate::args::Output;
use crate::console::{Style, print_err};
use crate::outcome::Outcome;
use crate::{json, messages};
use std::ffi::OsString;
use unmoor::{Drive, Error, ErrorKind, Result, platform};
use unmoor_simulated::Simulated;

/// A drive that is left alone, and why.
pub type LeftOut = (Drive, String);

/// The drives that are meant, as targets, and those that are left out.
pub fn find(simulated: bool) -> Result<(Vec<OsString>, Vec<LeftOut>)> {
    let drives = match simulated {
        true => unmoor::list(&Simulated::demo(), true)?,
        false => unmoor::list(&*platform::native()?, true)?,
    };
    let (chosen, left_out) = unmoor::select_removable(drives);
    Ok((chosen.into_iter().map(|drive| drive.path.into_os_string()).collect(), left_out))
}

/// Says which drives are left out.
pub fn print_left_out(left_out: &[LeftOut]) {
    for (drive, reason) in left_out {
        print_err(Style::Dim, &format!("left out: {}: {reason}", messages::describe(drive)));
    }
}

/// There is nothing to release, or no list of what there is: that has an answer of its own.
pub fn nothing_to_release(verb: &str, error: &Error, left_out: &[LeftOut], output: &Output) -> u8 {
    let code = Outcome::from(error).exit_code();
    if output.json {
        return print_document(&json::of_no_targets(verb, code, error, left_out), code);
    }
    if output.verbose {
        print_left_out(left_out);
    }
    print_err(Style::Bad, &messages::failure(None, error));
    if let Some(help) = error.help() {
        print_err(Style::Plain, &format!("  {help}"));
    }
    code
}

/// The error that says so.
pub fn none_there() -> Error {
    let what = "there is nothing to release: no drive that can be taken out has a medium in it";
    Error::new(ErrorKind::NoMedium, "", what).with_help("`unmoor list --all` shows what there is")
}
