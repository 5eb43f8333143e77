//! What is done with several drives at a time: each is answered as soon as it is over.

use super::removable::{LeftOut, print_left_out};
use super::{conclude, introduce, parse, print};
use crate::args::Output;
use crate::command_kind::CommandKind;
use crate::live_progress::LiveProgress;
use crate::platforms::Platforms;
use crate::target_result::TargetResult;
use std::ffi::OsString;
use unmoor::{BatchEvent, BatchItem, Error, Operation, Options};

/// Carries the procedure out with every target and answers each; returns the worst exit code.
pub fn run_batch(
    verb: CommandKind,
    procedure: Operation,
    targets: Vec<OsString>,
    left_out: Option<Vec<LeftOut>>,
    output: &Output,
    options: &Options,
) -> Result<u8, Error> {
    let targets = parse(targets)?;
    let machines = Platforms::default();
    introduce(output);
    if output.verbose {
        print_left_out(left_out.as_deref().unwrap_or_default());
    }
    let mut answers: Vec<Option<TargetResult>> = targets.iter().map(|_| None).collect();
    // A system that this program knows no drives of has none of these.
    let (mut jobs, mut numbers) = (Vec::new(), Vec::new());
    for (number, (given, target)) in targets.iter().enumerate() {
        match machines.of(target) {
            Ok(platform) => {
                jobs.push(BatchItem { platform, target });
                numbers.push(number);
            }
            Err(error) => {
                let answer = TargetResult::from_error(given.clone(), verb, None, error);
                if !output.json {
                    print(verb, &answer, output);
                }
                answers[number] = Some(answer);
            }
        }
    }
    let names = numbers.iter().map(|number| &*targets[*number].0);
    let mut watch = LiveProgress::new(names, output, options);
    unmoor::run_batch(procedure, &jobs, options, &mut |job, news| match news {
        BatchEvent::Event(event) => watch.on_event(job, event),
        BatchEvent::Finished(report) => {
            let given = targets[numbers[job]].0.clone();
            let answer = TargetResult::from_report(given, verb, (*report).clone());
            watch.finish(job, || {
                if !output.json {
                    print(verb, &answer, output);
                }
            });
            answers[numbers[job]] = Some(answer);
        }
    });
    drop(watch);
    let answers: Vec<TargetResult> = answers.into_iter().flatten().collect();
    Ok(conclude(verb, &answers, left_out.as_deref(), output))
}
