//! Prints results to standard output and everything else to standard error, escaped.
//!
//! Asks nothing about the terminal before a line needs a colour or a width.

use crate::args::Color;
use crate::escape::escape;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Use of colors, set once the command line is parsed.
static COLOR: OnceLock<Color> = OnceLock::new();

/// First error of writing to standard output.
static WRITE_ERROR: OnceLock<io::Error> = OnceLock::new();

/// True once a write found that the reader of standard output has left.
static READER_LEFT: AtomicBool = AtomicBool::new(false);

/// Sets the use of colors.
pub fn set_color(color: Color) {
    _ = COLOR.set(color);
}

/// Returns the first error of writing to standard output.
pub fn write_error() -> Option<&'static io::Error> {
    WRITE_ERROR.get()
}

/// Prints one line on standard output. An error is kept for [`write_error`].
pub fn print_out(style: Style, line: &str) {
    write_out(&styled(style, line, io::stdout().is_terminal()));
}

/// Prints these lines on standard output, in one piece. An error is kept for [`write_error`].
pub fn print_lines<'l>(lines: impl Iterator<Item = (Style, &'l str)>) {
    let terminal = io::stdout().is_terminal();
    write_out(&lines.map(|(style, line)| styled(style, line, terminal)).collect::<String>());
}

/// Prints one line on standard error.
pub fn print_err(style: Style, line: &str) {
    write_err(&styled(style, line, io::stderr().is_terminal()));
}

/// Writes escaped text to standard output. An error is kept for [`write_error`].
pub fn write_out(text: &str) {
    let mut out = io::stdout().lock();
    let bytes = encoded(text, out.is_terminal());
    match out.write_all(&bytes) {
        // A closed pipe (`unmoor list | head -1`) is no reason to stop or panic.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            READER_LEFT.store(true, Ordering::Relaxed);
        }
        Err(error) => _ = WRITE_ERROR.set(error),
        Ok(()) => {}
    }
}

/// Returns true if nothing more can be written to standard output.
pub fn is_output_closed() -> bool {
    READER_LEFT.load(Ordering::Relaxed) || write_error().is_some() || has_reader_left()
}

/// Returns true if the other end of the pipe on standard output is closed (poll(2): POLLERR).
#[cfg(target_os = "linux")]
fn has_reader_left() -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let stdout = io::stdout();
    let mut pipe = [PollFd::new(&stdout, PollFlags::empty())];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut pipe, Some(&now)).is_ok_and(|count| count > 0)
}

/// Returns false: only a write shows it.
#[cfg(not(target_os = "linux"))]
fn has_reader_left() -> bool {
    false
}

/// Writes escaped text to standard error.
pub fn write_err(text: &str) {
    let mut err = io::stderr().lock();
    let bytes = encoded(text, err.is_terminal());
    _ = err.write_all(&bytes);
}

/// Returns the bytes of text: UTF-8, or what the readers of pipes and files expect on Windows.
#[cfg(not(windows))]
fn encoded(text: &str, _terminal: bool) -> Cow<'_, [u8]> {
    Cow::Borrowed(text.as_bytes())
}

/// Returns the bytes of text: UTF-8, or what the readers of pipes and files expect on Windows.
#[cfg(windows)]
fn encoded(text: &str, terminal: bool) -> Cow<'_, [u8]> {
    match terminal || RELAYED.load(Ordering::Relaxed) {
        true => Cow::Borrowed(text.as_bytes()),
        false => Cow::Owned(crate::windows::code_page::encode(text)),
    }
}

/// True if another process of this program reads the output, as UTF-8.
#[cfg(windows)]
static RELAYED: AtomicBool = AtomicBool::new(false);

/// Says that another process of this program reads the output.
#[cfg(windows)]
pub fn set_relayed() {
    RELAYED.store(true, Ordering::Relaxed);
}

/// Returns the line with its colours and newline, to be written in one piece.
fn styled(style: Style, line: &str, terminal: bool) -> String {
    let line = escape(line);
    match style != Style::Plain && uses_color(terminal) {
        true => format!("{}\n", terminal_style(style).force_styling(true).apply_to(line)),
        false => format!("{line}\n"),
    }
}

/// Returns true if lines are coloured: by `--color`, else on a terminal that can, unless `NO_COLOR` is
/// set and not empty (no-color.org).
pub fn uses_color(terminal: bool) -> bool {
    match COLOR.get().copied().unwrap_or_default() {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
                && (cfg!(unix) || console::Term::stdout().features().colors_supported())
        }
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

/// Returns true if standard error is a terminal that can redraw lines, and this build does so.
pub fn is_watched() -> bool {
    cfg!(feature = "progress")
        && io::stderr().is_terminal()
        && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
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
