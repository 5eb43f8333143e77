//! What is done with several drives at a time: each is answered as soon as it is over.

use super::removable::{LeftOut, tell_left_out};
use super::{conclude, introduce, parse, print};
use crate::answer::{Answer, Verb};
use crate::args::Output;
use crate::machines::Machines;
use crate::watch::Watch;
use std::ffi::OsString;
use unmoor::{Error, Job, News, Options, Procedure};

/// Carries the procedure out with every target and answers each; returns the worst exit code.
pub fn many(
    verb: Verb,
    procedure: Procedure,
    targets: Vec<OsString>,
    left_out: Option<Vec<LeftOut>>,
    output: &Output,
    options: &Options,
) -> Result<u8, Error> {
    let targets = parse(targets)?;
    let machines = Machines::default();
    introduce(output);
    if output.verbose {
        tell_left_out(left_out.as_deref().unwrap_or_default());
    }
    let mut answers: Vec<Option<Answer>> = targets.iter().map(|_| None).collect();
    // A system that this program knows no drives of has none of these.
    let (mut jobs, mut numbers) = (Vec::new(), Vec::new());
    for (number, (given, target)) in targets.iter().enumerate() {
        match machines.of(target) {
            Ok(platform) => {
                jobs.push(Job { platform, target });
                numbers.push(number);
            }
            Err(error) => {
                let answer = Answer::from_error(given.clone(), verb, None, error);
                if !output.json {
                    print(verb, &answer, output);
                }
                answers[number] = Some(answer);
            }
        }
    }
    let names = numbers.iter().map(|number| &*targets[*number].0);
    let mut watch = Watch::new(names, output, options);
    unmoor::many(procedure, &jobs, options, &mut |job, news| match news {
        News::Event(event) => watch.hear(job, event),
        News::Over(report) => {
            let given = targets[numbers[job]].0.clone();
            let answer = Answer::from_report(given, verb, (*report).clone());
            watch.over(job, || {
                if !output.json {
                    print(verb, &answer, output);
                }
            });
            answers[numbers[job]] = Some(answer);
        }
    });
    drop(watch);
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    Ok(conclude(verb, &answers, left_out.as_deref(), output))
}
