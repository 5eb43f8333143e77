//! Where words go: results to standard output, everything else to standard error, all of it escaped.
//!
//! Nothing here asks the system anything before there is something to colour or to measure.

use crate::escape::escape;
use std::io::{self, IsTerminal, Write};

/// What a line is about, which decides its colour on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Good,
    Bad,
    Warning,
    Dim,
    Strong,
}

/// Prints one line on standard output.
pub fn print_out(style: Style, line: &str) {
    let mut out = io::stdout().lock();
    let line =
        styled(style, line, style != Style::Plain && out.is_terminal(), console::Style::for_stdout);
    // A reader who left (`unmoor list | head -1`) is no reason to stop, still less to panic.
    _ = out.write_all(line.as_bytes());
}

/// Prints one line on standard error.
pub fn print_err(style: Style, line: &str) {
    let mut err = io::stderr().lock();
    let line =
        styled(style, line, style != Style::Plain && err.is_terminal(), console::Style::for_stderr);
    _ = err.write_all(line.as_bytes());
}

/// The line as it is written, in one piece. Where there is no terminal, nothing is asked about its
/// colours.
fn styled(
    style: Style,
    line: &str,
    terminal: bool,
    on: fn(console::Style) -> console::Style,
) -> String {
    let line = escape(line);
    match terminal && style != Style::Plain {
        true => format!("{}\n", on(terminal_style(style)).apply_to(line)),
        false => format!("{line}\n"),
    }
}

fn terminal_style(style: Style) -> console::Style {
    match style {
        Style::Plain => console::Style::new(),
        Style::Good => console::Style::new().green(),
        Style::Bad => console::Style::new().red(),
        Style::Warning => console::Style::new().yellow(),
        Style::Dim => console::Style::new().dim(),
        Style::Strong => console::Style::new().bold(),
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
