//! One file per command: calls the library and prints text or JSON.

mod as_root;
pub mod attach;
mod batch;
mod changes;
mod document;
pub mod list;
pub mod release;
mod removable;
pub mod status;
pub mod watch_list;
pub mod watch_who;
pub mod who;

use crate::args::Output;
use crate::command_kind::CommandKind;
use crate::console::{self, Style, print_err, print_out};
use crate::outcome::{Outcome, WRONG_USAGE};
use crate::target_result::TargetResult;
use crate::typo::UnknownWord;
use crate::{blockers, json, messages, signals, steps};
use document::print_document;
use removable::Skipped;
use std::env::consts::{ARCH, OS};
use std::ffi::OsString;
use unmoor::{Cancel, Error, ErrorKind, Status, Target};

/// Parses the targets. A word that cannot be a target stops the command before anything is done, as any
/// usage error does.
pub fn parse(targets: Vec<OsString>) -> Result<Vec<(OsString, Target)>, Error> {
    targets.into_iter().map(|given| Target::parse(&given).map(|t| (given, t))).collect()
}

/// Handles one target after the other and prints each result; returns the worst exit code. A failed
/// target does not stop the others; an interrupt does.
pub fn run_each(
    command: CommandKind,
    targets: Vec<(OsString, Target)>,
    output: &Output,
    cancel: &Cancel,
    mut handle: impl FnMut(OsString, &Target) -> TargetResult,
) -> u8 {
    print_version(output);
    let mut results = Vec::with_capacity(targets.len());
    for (given, target) in targets {
        let result = match cancel.is_cancelled() {
            true => TargetResult::from_error(given, command, None, not_started(&target)),
            false => handle(given, &target),
        };
        if !output.json {
            print(command, &result, output);
        }
        results.push(result);
    }
    finish(command, &results, None, output)
}

/// Prints version and platform, the first line of a bug report.
fn print_version(output: &Output) {
    if output.verbose {
        print_err(Style::Dim, &format!("unmoor {} on {OS} ({ARCH})", env!("CARGO_PKG_VERSION")));
    }
}

/// Returns the worst exit code, and prints the JSON document with `--json`.
fn finish(
    command: CommandKind,
    results: &[TargetResult],
    skipped: Option<&[Skipped]>,
    output: &Output,
) -> u8 {
    // `who` finds out something in any case, so it does not ask.
    as_root::run_if_wanted(results, output, command != CommandKind::Who, &signals::cancel());
    let code = Outcome::worst(results.iter().map(|a| a.outcome.exit_code()));
    match output.json {
        true => print_document(&json::of_targets(command.name(), code, results, skipped), code),
        false => code,
    }
}

fn not_started(target: &Target) -> Error {
    Error::new(ErrorKind::Interrupted, target.to_string(), "not started: interrupted")
}

/// Reports a first word that is neither a command nor a drive.
pub fn refuse_word(unknown: &UnknownWord, targets: &[OsString]) -> u8 {
    let mut lines = messages::unknown_word(unknown, targets).into_iter();
    lines.next().into_iter().for_each(|line| print_err(Style::Bad, &line));
    lines.for_each(|line| print_err(Style::Plain, &line));
    WRONG_USAGE
}

/// Prints the result: what was asked for to standard output, errors to standard error.
fn print(command: CommandKind, result: &TargetResult, output: &Output) {
    if !output.quiet {
        for warning in &result.warnings {
            print_err(Style::Warning, &format!("warning: {warning}"));
        }
    }
    let good = result.outcome.is_success();
    if good && output.quiet {
        // Lost data is an error even if the user asked to discard it.
        result.lost.iter().for_each(|lost| print_err(Style::Bad, &lost.to_string()));
        return;
    }
    // `who` was asked for the blockers, so it prints them even with -q.
    let asked = good || command == CommandKind::Who;
    let width = if asked { console::width() } else { console::width_of_errors() };
    for (tone, line) in lines(command, result, output.verbose, width) {
        if asked { print_out(tone, &line) } else { print_err(tone, &line) }
    }
}

/// Formats the result: the message, the plan or the blockers, and the next step.
pub fn lines(
    command: CommandKind,
    result: &TargetResult,
    verbose: bool,
    width: Option<usize>,
) -> Vec<(Style, String)> {
    let tone = match result.outcome {
        Outcome::Planned => Style::Plain,
        outcome if outcome.is_success() => Style::Good,
        _ => Style::Bad,
    };
    let mut lines = vec![(tone, result.message.clone())];
    let mut add = |line| lines.push((Style::Plain, line));
    if result.outcome == Outcome::Planned {
        let planned = result.steps.iter().filter(|s| s.status != Status::Done);
        planned.enumerate().for_each(|(n, step)| add(steps::planned(n + 1, step)));
    }
    let room = blockers::Room { all: verbose || command == CommandKind::Who, width };
    result.scan.iter().flat_map(|scan| blockers::lines(scan, room)).for_each(&mut add);
    result.ended.iter().map(blockers::termination).for_each(&mut add);
    if let Some(code) = result.error.as_ref().and_then(Error::os_code).filter(|_| verbose) {
        add(format!("  system error code: {code}"));
    }
    if let Some(help) = &result.help {
        add(format!("  {help}"));
    }
    lines
}
