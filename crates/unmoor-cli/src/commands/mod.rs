//! One file a command: library calls in, words or JSON out.

pub mod attach;
mod batch;
pub mod list;
pub mod release;
mod removable;
pub mod status;
pub mod who;

use crate::args::Output;
use crate::command_kind::CommandKind;
use crate::console::{self, Style, print_err, print_out};
use crate::outcome::Outcome;
use crate::target_result::TargetResult;
use crate::{blockers, json, steps};
use removable::LeftOut;
use std::env::consts::{ARCH, OS};
use std::ffi::OsString;
use std::io::Write;
use unmoor::{Cancel, Error, ErrorKind, Status, Target};

/// A target that cannot be understood stops the whole command before anything is done: it is a slip
/// in the command line, not a drive's answer.
pub fn parse(targets: Vec<OsString>) -> Result<Vec<(OsString, Target)>, Error> {
    targets.into_iter().map(|given| Target::parse(&given).map(|t| (given, t))).collect()
}

/// Handles one target after the other and prints each answer; returns the worst exit code. One bad
/// target does not stop the others; the wish to stop does.
pub fn run_each(
    verb: CommandKind,
    targets: Vec<(OsString, Target)>,
    output: &Output,
    cancel: &Cancel,
    mut handle: impl FnMut(OsString, &Target) -> TargetResult,
) -> u8 {
    introduce(output);
    let mut answers = Vec::with_capacity(targets.len());
    for (given, target) in targets {
        let answer = match cancel.is_cancelled() {
            true => TargetResult::from_error(given, verb, None, not_begun(&target)),
            false => handle(given, &target),
        };
        if !output.json {
            print(verb, &answer, output);
        }
        answers.push(answer);
    }
    conclude(verb, &answers, None, output)
}

/// The first line of a bug report.
fn introduce(output: &Output) {
    if output.verbose {
        print_err(Style::Dim, &format!("unmoor {} on {OS} ({ARCH})", env!("CARGO_PKG_VERSION")));
    }
}

/// The worst exit code; with `--json`, the document.
fn conclude(
    verb: CommandKind,
    answers: &[TargetResult],
    left_out: Option<&[LeftOut]>,
    output: &Output,
) -> u8 {
    let code = Outcome::worst(answers.iter().map(|a| a.outcome.exit_code()));
    match output.json {
        true => print_document(&json::of_targets(verb.name(), code, answers, left_out), code),
        false => code,
    }
}

fn not_begun(target: &Target) -> Error {
    Error::new(ErrorKind::Interrupted, target.to_string(), "not begun: stopped at your wish")
}

/// The answer in words: what was asked for to standard output, the rest to standard error.
fn print(verb: CommandKind, answer: &TargetResult, output: &Output) {
    if !output.quiet {
        for warning in &answer.warnings {
            print_err(Style::Warning, &format!("warning: {warning}"));
        }
    }
    let good = answer.outcome.is_success();
    if good && output.quiet {
        // What is lost is an error, also where giving it up was the wish.
        answer.lost.iter().for_each(|lost| print_err(Style::Bad, &lost.to_string()));
        return;
    }
    // For `who`, what is in the way is the result that was asked for, even with -q.
    let asked = good || verb == CommandKind::Who;
    let width = if asked { console::width() } else { console::width_of_errors() };
    for (tone, line) in lines(verb, answer, output.verbose, width) {
        if asked { print_out(tone, &line) } else { print_err(tone, &line) }
    }
}

/// The answer in words: how it ended, below it the plan or who is in the way, and what to do next.
pub fn lines(
    verb: CommandKind,
    answer: &TargetResult,
    verbose: bool,
    width: Option<usize>,
) -> Vec<(Style, String)> {
    let tone = match answer.outcome {
        Outcome::Planned => Style::Plain,
        outcome if outcome.is_success() => Style::Good,
        _ => Style::Bad,
    };
    let mut lines = vec![(tone, answer.message.clone())];
    let mut add = |line| lines.push((Style::Plain, line));
    if answer.outcome == Outcome::Planned {
        let planned = answer.steps.iter().filter(|s| s.status != Status::Done);
        planned.enumerate().for_each(|(n, step)| add(steps::planned(n + 1, step)));
    }
    let room = blockers::Room { all: verbose || verb == CommandKind::Who, width };
    answer.scan.iter().flat_map(|scan| blockers::lines(scan, room)).for_each(&mut add);
    answer.ended.iter().map(blockers::termination).for_each(&mut add);
    if let Some(code) = answer.error.as_ref().and_then(Error::os_code).filter(|_| verbose) {
        add(format!("  the system's number for it: {code}"));
    }
    if let Some(help) = &answer.help {
        add(format!("  {help}"));
    }
    lines
}

/// Prints the document. One that could not be written is a failure: whoever reads it must not take
/// silence for success.
pub fn print_document(document: &str, code: u8) -> u8 {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{document}").and_then(|()| out.flush()) {
        Ok(()) => code,
        Err(error) => {
            print_err(Style::Bad, &format!("the JSON document could not be written: {error}"));
            Outcome::worst([code, Outcome::Failed.exit_code()])
        }
    }
}
