//! Progress of several drives: one line each on a terminal, redrawn on every event.
//!
//! A single drive uses [`Progress`]; without a terminal, every drive prints plain lines as if alone.

use crate::args::Output;
#[cfg(feature = "progress")]
use crate::console;
#[cfg(feature = "progress")]
use crate::live_lines::LiveLines;
use crate::progress::Progress;
use std::ffi::OsStr;
use unmoor::{Confirm, Event, Kill, Options};

/// Shows the events of all targets of one call.
pub enum LiveProgress {
    /// Plain lines for each target.
    Plain(Vec<Progress>),
    /// One redrawn line per target.
    #[cfg(feature = "progress")]
    Lines(LiveLines),
}

impl LiveProgress {
    pub fn new<'n>(
        names: impl ExactSizeIterator<Item = &'n OsStr>,
        output: &Output,
        options: &Options,
    ) -> LiveProgress {
        let asks = matches!(&options.kill, Some(Kill { confirm: Confirm::Prompt(_), .. }));
        let several = names.len() > 1;
        #[cfg(feature = "progress")]
        if several && !output.quiet && !output.json && !asks && console::is_watched() {
            return LiveProgress::Lines(LiveLines::new(names, output.verbose));
        }
        let alone = |name| {
            let progress = Progress::new(name, output, options.wait);
            // Nothing is drawn over a question.
            if asks { progress.beside_questions(several) } else { progress }
        };
        LiveProgress::Plain(names.map(alone).collect())
    }

    /// Shows one event of the target.
    pub fn on_event(&mut self, target: usize, event: &Event) {
        match self {
            LiveProgress::Plain(all) => all[target].on_event(event),
            #[cfg(feature = "progress")]
            LiveProgress::Lines(live) => live.on_event(target, event),
        }
    }

    /// Removes the target's line, and lets `print` print its result.
    pub fn finish(&mut self, target: usize, print: impl FnOnce()) {
        match self {
            LiveProgress::Plain(all) => {
                all[target].clear();
                print();
            }
            #[cfg(feature = "progress")]
            LiveProgress::Lines(live) => live.finish(target, print),
        }
    }
}
