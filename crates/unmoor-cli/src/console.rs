//! Prints results to standard output and everything else to standard error, escaped.
//!
//! Asks nothing about the terminal before a line needs a colour or a width.

use crate::escape::escape;
use std::io::{self, IsTerminal, Write};

/// Kind of line, which decides its colour on a terminal.
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
    // A closed pipe (`unmoor list | head -1`) is no reason to stop or panic.
    _ = out.write_all(line.as_bytes());
}

/// Prints one line on standard error.
pub fn print_err(style: Style, line: &str) {
    let mut err = io::stderr().lock();
    let line =
        styled(style, line, style != Style::Plain && err.is_terminal(), console::Style::for_stderr);
    _ = err.write_all(line.as_bytes());
}

/// Returns the line with its colours and newline, to be written in one piece.
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

/// Returns true if standard error is a terminal that can redraw lines.
pub fn is_watched() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
}

/// Returns the width of the terminal on standard output, or `None` without one.
pub fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
}

/// Returns the width of the terminal on standard error, or `None` without one.
pub fn width_of_errors() -> Option<usize> {
    if !io::stderr().is_terminal() {
        return None;
    }
    console::Term::stderr().size_checked().map(|(_, columns)| usize::from(columns))
}

/// Returns true if the locale can show line-drawing characters.
pub fn has_lines() -> bool {
    if cfg!(windows) {
        return true;
    }
    // In the order of setlocale(3).
    let set = |name: &&str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find(set).and_then(std::env::var_os);
    locale.is_some_and(|l| {
        let l = l.to_string_lossy().to_ascii_lowercase();
        l.contains("utf-8") || l.contains("utf8")
    })
}
