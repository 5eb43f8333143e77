//! One redrawn line for each drive, on a terminal.

use crate::console::{Style, print_err};
use crate::escape::{escape, escape_os};
use crate::{duration, messages, steps};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ffi::OsStr;
use std::time::{Duration, Instant};
use unmoor::{Event, Step};

/// Time before the first line is drawn; a shorter run would only flash.
const REDRAW_INTERVAL: Duration = Duration::from_millis(300);

/// Lines that are redrawn.
pub struct LiveLines {
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

impl LiveLines {
    pub fn new<'n>(names: impl Iterator<Item = &'n OsStr>, verbose: bool) -> LiveLines {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{prefix}: {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let line = |name: &OsStr| {
            let bar = all.add(ProgressBar::new_spinner().with_style(style.clone()));
            let name = escape_os(name);
            bar.set_prefix(name.clone());
            bar.set_message("resolving");
            Line { name, bar }
        };
        let lines = names.map(line).collect();
        LiveLines { all, lines, verbose, since: Instant::now(), drawn: false }
    }

    /// Shows one event of the target.
    pub fn on_event(&mut self, target: usize, event: &Event) {
        if !self.drawn && self.since.elapsed() >= REDRAW_INTERVAL {
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
                steps::lines(name, step).iter().for_each(|line| print_err(Style::Dim, line));
            });
        }
    }

    /// Removes the target's line, and lets `print` print its result.
    pub fn finish(&mut self, target: usize, print: impl FnOnce()) {
        let bar = &self.lines[target].bar;
        bar.finish_and_clear();
        self.all.remove(bar);
        self.all.suspend(print);
    }
}

/// Returns what the drive is doing, if the event says so.
fn state(event: &Event) -> Option<String> {
    Some(match event {
        Event::Started(step) => match step {
            Step::Resolve => "resolving",
            Step::Flush => "writing",
            Step::Lock => "checking whether it is in use",
            Step::Dismount => "dismounting",
            Step::Eject => "ejecting",
            Step::PowerOff => "powering off",
            Step::Load => "loading",
            Step::Mount => "mounting",
            Step::Verify => "verifying",
            _ => return None,
        }
        .into(),
        Event::Flushing { remaining: left, .. } if *left > 0 => {
            format!("writing, {} left", messages::size(*left))
        }
        Event::Waiting { error, remaining: left, .. } => {
            let waiting = duration::waiting(*left);
            format!("{}; {waiting} (Ctrl-C stops)", escape(&error.to_string()))
        }
        _ => return None,
    })
}
