//! One redrawn line for each drive, on a terminal.

use crate::console::{Style, print_err};
use crate::escape::{escape, escape_os};
use crate::{duration, messages, steps};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ffi::OsStr;
use std::thread;
use std::time::Duration;
use unmoor::{Event, Step};

/// Time before the first line is drawn; a shorter run would only flash.
const REDRAW_INTERVAL: Duration = Duration::from_millis(300);

/// Lines that are redrawn.
pub struct LiveLines {
    all: MultiProgress,
    lines: Vec<Line>,
    verbose: bool,
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
        let lines: Vec<Line> = names.map(line).collect();
        draw_later(all.clone(), lines.iter().map(|line| line.bar.clone()).collect());
        LiveLines { all, lines, verbose }
    }

    /// Shows one event of the target.
    pub fn on_event(&mut self, target: usize, event: &Event) {
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

/// Draws all lines after [`REDRAW_INTERVAL`].
///
/// A drive may have had its last event before that, and its step may take minutes.
fn draw_later(all: MultiProgress, bars: Vec<ProgressBar>) {
    let draw = move || {
        thread::sleep(REDRAW_INTERVAL);
        all.set_draw_target(ProgressDrawTarget::stderr());
        bars.iter().filter(|bar| !bar.is_finished()).for_each(ProgressBar::tick);
    };
    // Without a thread, nothing is drawn, and the results are printed all the same.
    let _ = thread::Builder::new().spawn(draw);
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
