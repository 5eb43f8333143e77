//! What is shown while several drives are worked on: a line for each on a terminal, redrawn as it goes
//! on. It only listens to the events.
//!
//! A single drive has the line to itself ([`Progress`]); where nobody watches, each says in plain lines
//! what it would say alone.

use crate::args::Output;
use crate::console::{self, Tone, tell};
use crate::progress::Progress;
use crate::text::{escape, escape_os};
use crate::{duration, steps, words};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ffi::OsStr;
use std::time::{Duration, Instant};
use unmoor::{Consent, Event, Kill, Options, Step};

/// What is over sooner is not worth a line: it would only flash.
const BLINK: Duration = Duration::from_millis(300);

/// Shows the events of the targets of one call.
pub enum Watch {
    /// Each as if it were alone.
    Plain(Vec<Progress>),
    /// A line for each.
    Live(Live),
}

impl Watch {
    pub fn new<'n>(
        names: impl ExactSizeIterator<Item = &'n OsStr>,
        output: &Output,
        options: &Options,
    ) -> Watch {
        let silent = output.quiet || output.json;
        let asks = matches!(&options.kill, Some(Kill { consent: Consent::Ask(_), .. }));
        let several = names.len() > 1;
        match several && !silent && !asks && console::is_watched() {
            true => Watch::Live(Live::new(names, output.verbose)),
            false => {
                let alone = |name| {
                    let progress = Progress::new(name, output, options.wait);
                    // Nothing is drawn over a question.
                    if asks { progress.beside_questions(several) } else { progress }
                };
                Watch::Plain(names.map(alone).collect())
            }
        }
    }

    /// Shows what this event of that target tells.
    pub fn hear(&mut self, target: usize, event: &Event<'_>) {
        match self {
            Watch::Plain(all) => all[target].hear(event),
            Watch::Live(live) => live.hear(target, event),
        }
    }

    /// The target is over: its line goes, and `print` says what came of it.
    pub fn over(&mut self, target: usize, print: impl FnOnce()) {
        match self {
            Watch::Plain(all) => {
                all[target].clear();
                print();
            }
            Watch::Live(live) => live.over(target, print),
        }
    }
}

/// Lines that are redrawn.
pub struct Live {
    all: MultiProgress,
    lines: Vec<Line>,
    verbose: bool,
    since: Instant,
    drawn: bool,
}

struct Line {
    name: String,
    bar: ProgressBar,
}

impl Live {
    fn new<'n>(names: impl Iterator<Item = &'n OsStr>, verbose: bool) -> Live {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{prefix}: {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let line = |name: &OsStr| {
            let bar = all.add(ProgressBar::new_spinner().with_style(style.clone()));
            let name = escape_os(name);
            bar.set_prefix(name.clone());
            bar.set_message("looking for it");
            Line { name, bar }
        };
        let lines = names.map(line).collect();
        Live { all, lines, verbose, since: Instant::now(), drawn: false }
    }

    fn hear(&mut self, target: usize, event: &Event<'_>) {
        if !self.drawn && self.since.elapsed() >= BLINK {
            self.drawn = true;
            self.all.set_draw_target(ProgressDrawTarget::stderr());
        }
        let line = &mut self.lines[target];
        if let Event::Resolved { drive, .. } = event {
            line.name = escape(&drive.name).into_owned();
            line.bar.set_prefix(line.name.clone());
        }
        if let Some(state) = state(event) {
            line.bar.set_message(state);
            line.bar.tick();
        }
        if let (Event::Finished(step), true) = (event, self.verbose) {
            let name = &line.name;
            self.all.suspend(|| {
                steps::lines(name, step).iter().for_each(|line| tell(Tone::Dim, line));
            });
        }
    }

    fn over(&mut self, target: usize, print: impl FnOnce()) {
        let bar = &self.lines[target].bar;
        bar.finish_and_clear();
        self.all.remove(bar);
        self.all.suspend(print);
    }
}

/// What the drive is at, where the event tells.
fn state(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Started(step) => match step {
            Step::Resolve => "looking for it",
            Step::Flush => "writing",
            Step::Lock => "looking whether it is in use",
            Step::Dismount => "dismounting",
            Step::Eject => "ejecting",
            Step::PowerOff => "powering off",
            Step::Load => "loading",
            Step::Mount => "mounting",
            Step::Verify => "looking whether it really happened",
            _ => return None,
        }
        .into(),
        Event::Flushing { left } if *left > 0 => format!("writing, {} left", words::size(*left)),
        Event::Waiting { error, left } => {
            let left = duration::words(*left);
            format!("{}; {left} left to wait (Ctrl-C stops)", escape(&error.to_string()))
        }
        _ => return None,
    })
}
