//! Prints the JSON document.

use crate::console::{Style, print_err};
use crate::json;
use crate::outcome::Outcome;
use std::borrow::Cow;
use std::io::{IsTerminal, Write};

/// Prints the document. Fails if it cannot be written, so that scripts never take silence for success.
pub fn print_document(document: &str, code: u8) -> u8 {
    let mut out = std::io::stdout().lock();
    let document = match cfg!(windows) && !out.is_terminal() {
        true => Cow::Owned(json::ascii(document)),
        false => Cow::Borrowed(document),
    };
    match writeln!(out, "{document}").and_then(|()| out.flush()) {
        Ok(()) => code,
        Err(error) => {
            print_err(Style::Bad, &format!("the JSON document could not be written: {error}"));
            Outcome::worst([code, Outcome::Failed.exit_code()])
        }
    }
}
