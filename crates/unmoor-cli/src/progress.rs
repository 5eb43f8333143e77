//! Shows the progress of one drive from the library's events.
//!
//! Bars are created by the first event that needs one; a short run without a terminal asks the system
//! nothing.

use crate::args::Output;
use crate::bar::Bar;
use crate::console::{self, Style, print_err};
use crate::escape::{escape, escape_os};
use crate::{blockers, duration, steps};
use std::cell::OnceCell;
use std::ffi::OsStr;
use std::time::{Duration, Instant};
use unmoor::{Error, Event, Step};

/// Time before a bar is drawn; a shorter run would only flash.
const REDRAW_INTERVAL: Duration = Duration::from_millis(300);

/// Maximum number of lines about changing blockers.
const MAX_REDRAWS: usize = 20;

/// Shows the events of one target.
pub struct Progress {
    /// Drive name, or the target's word before it is resolved.
    name: String,
    verbose: bool,
    /// Set when the first event asks.
    watched: OnceCell<bool>,
    quiet: bool,
    /// With `--wait`, waiting is announced once even without a terminal.
    tell_waiting: bool,
    bar: Option<Bar>,
    /// Largest number of bytes left so far: the length of the bar.
    whole: u64,
    /// Start of flushing.
    since: Option<Instant>,
    waiting: bool,
    /// Blockers as last printed.
    in_the_way: Option<Vec<String>>,
    /// Number of lines printed about blockers.
    changes: usize,
    /// Waiting is announced in a line that stays.
    waits_plainly: bool,
}

impl Progress {
    pub fn new(target: &OsStr, output: &Output, wait: Duration) -> Progress {
        let quiet = output.quiet || output.json;
        Progress {
            name: escape_os(target),
            verbose: output.verbose,
            watched: OnceCell::new(),
            quiet,
            tell_waiting: !wait.is_zero(),
            bar: None,
            whole: 0,
            since: None,
            waiting: false,
            in_the_way: None,
            changes: 0,
            waits_plainly: false,
        }
    }

    /// Draws nothing that a question would interrupt; with `several` drives, nothing at all.
    pub fn beside_questions(mut self, several: bool) -> Progress {
        self.waits_plainly = true;
        if several {
            self.watched = OnceCell::from(false);
        }
        self
    }

    /// Shows one event.
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::Resolved { drive, .. } => self.name = escape(&drive.name).into_owned(),
            Event::Flushing { remaining: left, .. } => self.show_flush(*left),
            Event::Waiting { error, remaining: left, .. } => self.show_wait(error, *left),
            Event::Started(Step::Eject | Step::Load | Step::Verify) | Event::Finished(_) => {
                self.clear();
            }
            _ => {}
        }
        if let (Event::Finished(step), true) = (event, self.verbose) {
            for line in steps::lines(&self.name, step) {
                print_err(Style::Dim, &line);
            }
        }
    }

    /// Removes whatever is drawn.
    pub fn clear(&mut self) {
        self.bar = None;
        self.whole = 0;
        self.since = None;
    }

    fn show_flush(&mut self, left: u64) {
        self.whole = self.whole.max(left);
        // Other waits report that nothing is left to write.
        if self.whole == 0 || (left == 0 && self.bar.is_none()) {
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < REDRAW_INTERVAL || !self.is_watched() {
            return;
        }
        if self.bar.is_none() {
            self.bar = Bar::of_flush(&self.name, self.whole);
        }
        if let Some(bar) = &self.bar {
            bar.set_left(left, self.whole);
        }
    }

    fn show_wait(&mut self, error: &Error, left: Duration) {
        // Without --wait the few retries are too short to announce.
        if self.quiet || !self.tell_waiting {
            return;
        }
        let (why, waiting) = (error.to_string(), duration::waiting(left));
        if self.is_watched() && !self.waits_plainly {
            if self.bar.is_none() {
                self.bar = Bar::of_wait();
            }
            if let Some(bar) = &self.bar {
                bar.set_message(format!("{}; {waiting} (Ctrl-C stops)", escape(&why)));
            }
        } else if !self.waiting {
            print_err(Style::Plain, &format!("{why}; {waiting}"));
        }
        self.waiting = true;
        if let Some(scan) = error.scan() {
            self.show_blockers(blockers::names(scan));
        }
    }

    /// Prints the blockers when first known, then those that left and those that remain.
    fn show_blockers(&mut self, now: Vec<String>) {
        let line = match &self.in_the_way {
            None => (!now.is_empty()).then(|| format!("  blocking: {}", few(&now))),
            Some(before) => {
                let left: Vec<String> =
                    before.iter().filter(|one| !now.contains(one)).cloned().collect();
                let rest = match now.is_empty() {
                    true => String::new(),
                    false => format!("; still blocking: {}", few(&now)),
                };
                (!left.is_empty()).then(|| format!("  left: {}{rest}", few(&left)))
            }
        };
        let Some(line) = line.filter(|_| self.changes < MAX_REDRAWS) else { return };
        self.changes += 1;
        self.in_the_way = Some(now);
        match &self.bar {
            Some(bar) => bar.suspend(|| print_err(Style::Plain, &line)),
            None => print_err(Style::Plain, &line),
        }
    }

    fn is_watched(&self) -> bool {
        !self.quiet && *self.watched.get_or_init(console::is_watched)
    }
}

/// Returns the first names, and how many more there are.
fn few(names: &[String]) -> String {
    match names.len() {
        0..=4 => names.join(", "),
        all => format!("{} and {} more", names[..3].join(", "), all - 3),
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a terminal, flushing for longer than a bar waits.
    fn progress() -> Progress {
        let output = Output { json: false, verbose: false, quiet: false };
        let mut progress = Progress::new(OsStr::new("sdb"), &output, Duration::ZERO);
        progress.watched = OnceCell::from(true);
        progress.since = Some(Instant::now() - REDRAW_INTERVAL);
        progress
    }

    #[test]
    fn nothing_to_write_is_not_worth_a_bar() {
        let mut progress = progress();
        progress.show_flush(0);
        assert!(progress.bar.is_none());
    }

    #[test]
    fn a_bar_goes_when_the_step_is_finished() {
        let mut progress = progress();
        progress.show_flush(5_000_000);
        assert!(progress.bar.is_some());
        progress.on_event(&Event::Started(Step::Verify));
        assert!(progress.bar.is_none());
        progress.show_flush(0);
        assert!(progress.bar.is_none());
    }
}
