//! What is shown while a procedure runs: it only listens to the events.
//!
//! The bar and the line that waits are made when the first event asks for one; a short run that is
//! watched by nobody asks the system nothing.

use crate::args::Output;
use crate::console::{self, Style, print_err};
use crate::escape::{escape, escape_os};
use crate::{blockers, duration, messages, steps};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fmt::Write;
use std::time::{Duration, Instant};
use unmoor::{Error, Event, Step};

/// What is over sooner is not worth a bar: it would only flash.
const REDRAW_INTERVAL: Duration = Duration::from_millis(300);

/// Who comes and goes all the time is not told of for ever.
const MAX_REDRAWS: usize = 20;

/// Shows the events of one target.
pub struct Progress {
    /// The drive's name, or before it is known what was asked for.
    name: String,
    verbose: bool,
    /// Asked when the first event wants to know.
    watched: OnceCell<bool>,
    quiet: bool,
    /// The user asked to wait: that it waits is said once even where nobody watches.
    tell_waiting: bool,
    bar: Option<ProgressBar>,
    /// The most bytes that were left: the whole of the bar.
    whole: u64,
    /// When flushing began.
    since: Option<Instant>,
    waiting: bool,
    /// Who was in the way when that was last told.
    in_the_way: Option<Vec<String>>,
    /// How often that was told.
    changes: usize,
    /// That it waits is told in a line that stays.
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

    /// The user may be asked something meanwhile: nothing is drawn that a question would stand in, nor,
    /// where `several` are worked on, anything at all.
    pub fn beside_questions(mut self, several: bool) -> Progress {
        self.waits_plainly = true;
        if several {
            self.watched = OnceCell::from(false);
        }
        self
    }

    /// Shows what this event tells.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Resolved { drive, .. } => self.name = escape(&drive.name).into_owned(),
            Event::Flushing { remaining: left } => self.show_flush(*left),
            Event::Waiting { error, remaining: left } => self.show_wait(error, *left),
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

    /// Takes away whatever is drawn.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.whole = 0;
        self.since = None;
    }

    fn show_flush(&mut self, left: u64) {
        self.whole = self.whole.max(left);
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < REDRAW_INTERVAL || !self.is_watched() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| flush_bar(&self.name, self.whole));
        let whole = self.whole;
        bar.update(|state| {
            state.set_len(whole);
            state.set_pos(whole - left);
        });
    }

    fn show_wait(&mut self, error: &Error, left: Duration) {
        // Without --wait the few tries are over before anybody could read of them.
        if self.quiet || !self.tell_waiting {
            return;
        }
        let (why, left) = (error.to_string(), duration::words(left));
        if self.is_watched() && !self.waits_plainly {
            let bar = self.bar.get_or_insert_with(wait_line);
            bar.set_message(format!("{}; {left} left to wait (Ctrl-C stops)", escape(&why)));
            bar.tick();
        } else if !self.waiting {
            print_err(Style::Plain, &format!("{why}; waiting up to {left}"));
        }
        self.waiting = true;
        if let Some(scan) = error.scan() {
            self.show_blockers(blockers::names(scan));
        }
    }

    /// Who is in the way, when that is first known; then who has left, and who is left over.
    fn show_blockers(&mut self, now: Vec<String>) {
        let line = match &self.in_the_way {
            None => (!now.is_empty()).then(|| format!("  in the way: {}", few(&now))),
            Some(before) => {
                let left: Vec<String> =
                    before.iter().filter(|one| !now.contains(one)).cloned().collect();
                let rest = match now.is_empty() {
                    true => String::new(),
                    false => format!("; still in the way: {}", few(&now)),
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

/// The first of them, and how many more.
fn few(names: &[String]) -> String {
    match names.len() {
        0..=4 => names.join(", "),
        all => format!("{} and {} more", names[..3].join(", "), all - 3),
    }
}

/// Bytes left, rate, time left.
fn flush_bar(name: &str, whole: u64) -> ProgressBar {
    let left = |state: &ProgressState, out: &mut dyn Write| {
        let left = state.len().unwrap_or_default().saturating_sub(state.pos());
        _ = out.write_str(&messages::size(left));
    };
    let template = "{prefix}: writing {bar:30} {left} left, {decimal_bytes_per_sec}, {eta}";
    let style = style(template).with_key("left", left);
    let blocks = if console::has_lines() { "█▉▊▋▌▍▎▏░" } else { "#>-" };
    drawn(whole, style.progress_chars(blocks), name)
}

fn wait_line() -> ProgressBar {
    drawn(0, style("{spinner} {msg}"), "")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Nothing is drawn before everything is set.
fn drawn(whole: u64, style: ProgressStyle, name: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(whole), ProgressDrawTarget::hidden());
    bar.set_style(style);
    bar.set_prefix(name.to_string());
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
