//! What is shown while a procedure runs: it only listens to the events.
//!
//! The bar and the line that waits are made when the first event asks for one; a short run that is
//! watched by nobody asks the system nothing.

use crate::args::Output;
use crate::console::{self, Tone, tell};
use crate::text::{escape, escape_os};
use crate::{duration, steps, words};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ffi::OsStr;
use std::time::Duration;
use unmoor::{Event, Step};

/// Shows the events of one target.
pub struct Progress {
    /// The drive's name, or before it is known what was asked for.
    name: String,
    verbose: bool,
    watched: bool,
    quiet: bool,
    /// The user asked to wait: that it waits is said once even where nobody watches.
    tell_waiting: bool,
    bar: Option<ProgressBar>,
    /// The most bytes that were left: the whole of the bar.
    whole: u64,
    waiting: bool,
}

impl Progress {
    pub fn new(target: &OsStr, output: &Output, wait: Duration) -> Progress {
        let quiet = output.quiet || output.json;
        Progress {
            name: escape_os(target),
            verbose: output.verbose,
            watched: !quiet && console::is_watched(),
            quiet,
            tell_waiting: !wait.is_zero(),
            bar: None,
            whole: 0,
            waiting: false,
        }
    }

    /// Shows what this event tells.
    pub fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Resolved { drive, .. } => self.name = escape(&drive.name).into_owned(),
            Event::Flushing { left } => self.show_flush(*left),
            Event::Waiting { error, left } => self.show_wait(&error.to_string(), *left),
            Event::Started(Step::Eject | Step::Load | Step::Verify) | Event::Finished(_) => {
                self.clear();
            }
            _ => {}
        }
        if let (Event::Finished(step), true) = (event, self.verbose) {
            for line in steps::lines(&self.name, step) {
                tell(Tone::Dim, &line);
            }
        }
    }

    /// Takes away whatever is drawn.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.whole = 0;
    }

    fn show_flush(&mut self, left: u64) {
        if !self.watched {
            return;
        }
        if self.whole == 0 && left == 0 {
            return;
        }
        self.whole = self.whole.max(left);
        let bar = self.bar.get_or_insert_with(|| {
            bar("{prefix}: writing {wide_bar} {msg} left, {decimal_bytes_per_sec}, {eta}")
        });
        bar.set_prefix(self.name.clone());
        bar.set_length(self.whole);
        bar.set_message(words::size(left));
        bar.set_position(self.whole - left);
    }

    fn show_wait(&mut self, why: &str, left: Duration) {
        if self.quiet {
            return;
        }
        if self.watched {
            // The first tries are over before anybody could read of them.
            if self.tell_waiting {
                let bar = self.bar.get_or_insert_with(|| bar("{spinner} {msg}"));
                bar.set_message(format!(
                    "{}; waiting {} yet (Ctrl-C stops)",
                    escape(why),
                    duration::words(left)
                ));
                bar.tick();
            }
        } else if self.tell_waiting && !self.waiting {
            tell(Tone::Plain, &format!("{why}; waiting up to {}", duration::words(left)));
        }
        self.waiting = true;
    }
}

fn bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
