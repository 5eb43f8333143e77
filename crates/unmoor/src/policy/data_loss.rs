//! Data loss: the decision whether a release continues without data that could not be written.

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::options::Options;

/// Returns the error as a loss to report, if the options discard unwritten data.
///
/// # Errors
/// The error itself, if it is another one or [`Options::discard_unwritten`] is not set.
pub(crate) fn discard(error: Error, options: &Options) -> Result<Error> {
    match error.kind() {
        ErrorKind::Unwritten if options.discard_unwritten => Ok(error),
        ErrorKind::Unwritten => Err(error.with_hint(Hint::DiscardUnwritten)),
        _ => Err(error),
    }
}
