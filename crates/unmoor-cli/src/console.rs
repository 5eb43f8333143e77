//! Where words go: results to standard output, everything else to standard error, all of it escaped.
//!
//! Nothing here asks the system anything before there is something to colour or to measure.

use crate::text::escape;
use console::Style;
use std::io::{self, IsTerminal, Write};

/// What a line is about, which decides its colour on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Bad,
    Warning,
    Dim,
    Strong,
}

/// Prints one line on standard output.
pub fn say(tone: Tone, line: &str) {
    let mut out = io::stdout().lock();
    let line = dressed(tone, line, tone != Tone::Plain && out.is_terminal(), Style::for_stdout);
    // A reader who left (`unmoor list | head -1`) is no reason to stop, still less to panic.
    _ = out.write_all(line.as_bytes());
}

/// Prints one line on standard error.
pub fn tell(tone: Tone, line: &str) {
    let mut err = io::stderr().lock();
    let line = dressed(tone, line, tone != Tone::Plain && err.is_terminal(), Style::for_stderr);
    _ = err.write_all(line.as_bytes());
}

/// The line as it is written, in one piece. Where there is no terminal, nothing is asked about its
/// colours.
fn dressed(tone: Tone, line: &str, terminal: bool, on: fn(Style) -> Style) -> String {
    let line = escape(line);
    match terminal && tone != Tone::Plain {
        true => format!("{}\n", on(style(tone)).apply_to(line)),
        false => format!("{line}\n"),
    }
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().green(),
        Tone::Bad => Style::new().red(),
        Tone::Warning => Style::new().yellow(),
        Tone::Dim => Style::new().dim(),
        Tone::Strong => Style::new().bold(),
    }
}

/// Is somebody watching standard error, on a terminal that can draw a line anew.
pub fn is_watched() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
}

/// The width of the terminal that standard output goes to; `None` when it goes elsewhere.
pub fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
}

/// The same of standard error.
pub fn width_of_errors() -> Option<usize> {
    if !io::stderr().is_terminal() {
        return None;
    }
    console::Term::stderr().size_checked().map(|(_, columns)| usize::from(columns))
}

/// Can the reader's system show line-drawing characters.
pub fn has_lines() -> bool {
    if cfg!(windows) {
        return true;
    }
    // The order in which setlocale(3) looks.
    let set = |name: &&str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find(set).and_then(std::env::var_os);
    locale.is_some_and(|l| {
        let l = l.to_string_lossy().to_ascii_lowercase();
        l.contains("utf-8") || l.contains("utf8")
    })
}
