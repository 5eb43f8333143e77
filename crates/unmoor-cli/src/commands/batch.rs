//! Runs one operation on several drives at a time; each result is printed as soon as it is known.

use super::removable::{Skipped, print_skipped};
use super::{finish, parse, print, print_version, refuse_word};
use crate::args::Output;
use crate::command_kind::CommandKind;
use crate::live_progress::LiveProgress;
use crate::notification::Notifications;
use crate::platforms::Platforms;
use crate::target_result::TargetResult;
use crate::{typo, working_directory};
use std::ffi::{OsStr, OsString};
use unmoor::{BatchEvent, BatchItem, Error, ErrorKind, Event, Operation, Options, Status, Step};

/// An operation on targets, and how its results are shown.
pub struct Request<'a> {
    pub command: CommandKind,
    pub operation: Operation,
    pub targets: Vec<OsString>,
    /// Drives that `--all-removable` does not mean.
    pub skipped: Option<Vec<Skipped>>,
    pub output: &'a Output,
    pub options: &'a Options,
    /// First word of a command line without a command, which may be a mistyped one.
    pub first_word: Option<&'a OsStr>,
    /// True if the desktop shows the results too.
    pub notify: bool,
}

impl<'a> Request<'a> {
    /// Returns the request of a command that was named, with its targets.
    pub fn new(
        command: CommandKind,
        operation: Operation,
        targets: Vec<OsString>,
        output: &'a Output,
        options: &'a Options,
    ) -> Self {
        let (skipped, first_word) = (None, None);
        let notify = false;
        Request { command, operation, targets, skipped, output, options, first_word, notify }
    }
}

/// Runs the operation on every target and prints the results; returns the worst exit code.
pub fn run(request: Request<'_>) -> Result<u8, Error> {
    let Request { command, operation, targets, skipped, output, options, first_word, notify } =
        request;
    let mut notifications = Notifications::new(notify);
    let targets = parse(targets)?;
    let unknown = first_word.and_then(typo::unknown);
    let platforms = Platforms::default();
    print_version(output);
    if output.verbose {
        print_skipped(skipped.as_deref().unwrap_or_default());
    }
    let mut results: Vec<Option<TargetResult>> = targets.iter().map(|_| None).collect();
    // On a system that is not supported, only simulated drives exist.
    let (mut items, mut indices) = (Vec::new(), Vec::new());
    for (index, (given, target)) in targets.iter().enumerate() {
        match platforms.of(target) {
            Ok(platform) => {
                items.push(BatchItem::new(platform, target));
                indices.push(index);
            }
            Err(error) => {
                let result = TargetResult::from_error(given.clone(), command, None, error);
                if !output.json {
                    print(command, &result, output);
                }
                results[index] = Some(result);
            }
        }
    }
    let names = indices.iter().map(|index| &*targets[*index].0);
    let mut progress = LiveProgress::new(names, output, options);
    let (mut is_unknown, mut resolved) = (false, 0);
    unmoor::run_batch(operation, &items, options, &mut |item, event| match event {
        BatchEvent::Event(event) => {
            resolved += usize::from(is_resolved(&event));
            if resolved == items.len() {
                working_directory::leave();
            }
            progress.on_event(item, &event);
        }
        BatchEvent::Finished(report) => {
            let kind = report.error().map(Error::kind);
            is_unknown |= unknown.is_some() && item == 0 && kind == Some(ErrorKind::NoSuchTarget);
            let given = targets[indices[item]].0.clone();
            let result = TargetResult::from_report(given, command, *report);
            progress.finish(item, || {
                if !output.json && !is_unknown {
                    print(command, &result, output);
                }
            });
            if !is_unknown {
                notifications.show(command, &result);
            }
            results[indices[item]] = Some(result);
        }
        _ => {}
    });
    drop(progress);
    notifications.wait();
    if let Some(unknown) = unknown.filter(|_| is_unknown) {
        let others: Vec<OsString> = targets.into_iter().skip(1).map(|(given, _)| given).collect();
        return Ok(refuse_word(&unknown, &others));
    }
    let results: Vec<TargetResult> = results.into_iter().flatten().collect();
    Ok(finish(command, &results, skipped.as_deref(), output))
}

/// Returns true if the event says that a target is resolved. No drive is touched before all of them are.
fn is_resolved(event: &Event) -> bool {
    matches!(event, Event::Finished(step) if step.step == Step::Resolve && step.status == Status::Done)
}
