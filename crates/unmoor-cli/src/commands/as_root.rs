//! Runs the command again as root, if that is what its results lack.

use crate::args::Output;
use crate::console::{Style, print_err};
use crate::outcome::Outcome;
use crate::target_result::TargetResult;
use crate::{confirm, elevation};
use unmoor::{Cancel, Hint};

/// Runs the command as root in place of this one, if that is what these results lack.
///
/// With `--elevate` at once; else on a terminal after a question, unless `ask` is false. Returns if it was not
/// requested, not possible, or declined.
pub fn run_if_wanted(results: &[TargetResult], output: &Output, ask: bool, cancel: &Cancel) {
    let lacks = |result: &TargetResult| {
        result.outcome == Outcome::NotPermitted
            && result.error.as_ref().is_none_or(|error| error.hint() == Some(&Hint::Elevate))
    };
    let untouched = |result: &TargetResult| lacks(result) || result.outcome == Outcome::NotStarted;
    let wanted = results.iter().any(lacks) && results.iter().all(untouched);
    if !cfg!(unix) || !wanted || cancel.is_cancelled() || elevation::elevator().is_none() {
        return;
    }
    let asks = ask && !output.json && !output.quiet && confirm::can_answer();
    if elevation::is_requested()
        || (asks && confirm::yes_or_no("Run it now as root? [y/N] ", cancel))
    {
        let error = elevation::run();
        print_err(Style::Bad, &format!("unmoor: {error}"));
    }
}
