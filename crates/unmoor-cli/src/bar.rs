//! Lines on standard error that are redrawn: a bar, or a message while waiting.

use crate::{console, messages};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;

/// Line that is redrawn.
pub struct Bar(ProgressBar);

impl Bar {
    /// Returns a bar with bytes left, rate and time left.
    pub fn of_flush(name: &str, whole: u64) -> Option<Bar> {
        let left = |state: &ProgressState, out: &mut dyn Write| {
            let left = state.len().unwrap_or_default().saturating_sub(state.pos());
            _ = out.write_str(&messages::size(left));
        };
        let template = "{prefix}: writing {bar:30} {left} left, {decimal_bytes_per_sec}, {eta}";
        let style = style(template).with_key("left", left);
        let blocks = if console::has_lines() { "█▉▊▋▌▍▎▏░" } else { "#>-" };
        Some(drawn(whole, style.progress_chars(blocks), name))
    }

    /// Returns a line for a message.
    pub fn of_wait() -> Option<Bar> {
        Some(drawn(0, style("{spinner} {msg}"), ""))
    }

    pub fn set_left(&self, left: u64, whole: u64) {
        self.0.update(|state| {
            state.set_len(whole);
            state.set_pos(whole - left);
        });
    }

    pub fn set_message(&self, message: String) {
        self.0.set_message(message);
        self.0.tick();
    }

    /// Removes the line while `print` prints others.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Returns a bar that is drawn only after everything is set.
fn drawn(whole: u64, style: ProgressStyle, name: &str) -> Bar {
    let bar = ProgressBar::with_draw_target(Some(whole), ProgressDrawTarget::hidden());
    bar.set_style(style);
    bar.set_prefix(name.to_string());
    bar.set_draw_target(ProgressDrawTarget::stderr());
    Bar(bar)
}
