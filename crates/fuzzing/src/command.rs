//! Parsers of the command's input, and the escaping of its output.

use crate::args::{Cli, with_command_first};
use crate::bytes::os;
use crate::escape::{self, escape_os};
use crate::table::Table;
use crate::{Parser, duration};
use clap::Parser as _;
use std::ffi::OsString;
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

/// Parsers of the command.
pub const PARSERS: [Parser; 4] =
    [("arguments", arguments), ("duration", duration), ("escape", escape), ("table", table)];

/// Escapes hostile text for a terminal. The result is one line without anything that a terminal obeys,
/// and escaping it again changes nothing.
pub fn escape(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let line = escape::escape(&text);
    assert!(is_harmless(&line));
    assert_eq!(escape::escape(&line), line);
    let line = escape_os(os(bytes));
    assert!(is_harmless(&line));
    assert_eq!(escape::escape(&line), line);
    // Ordinary text is unchanged.
    if bytes.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
        assert_eq!(line.as_bytes(), bytes);
    }
}

/// Formats tables for a terminal: cells with any content, in columns cut to its width.
pub fn table(bytes: &[u8]) {
    let (width, text) = bytes.split_first().unwrap_or((&80, &[]));
    let mut table = Table::new(&[1]);
    for row in text.split(|b| *b == b'\n') {
        table.row(row.split(|b| *b == b'\t').map(|c| String::from_utf8_lossy(c).into_owned()));
    }
    let width = usize::from(*width).max(1);
    for line in table.lines(Some(width)) {
        assert!(is_harmless(&line) && line.width() <= width);
    }
    for line in table.lines(None) {
        assert!(is_harmless(&line));
    }
}

/// Parses lengths of time. The result is at most a year and survives writing and parsing again, to the
/// microsecond: a year has more nanoseconds than a floating-point number has digits.
pub fn duration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(time) = duration::parse(&text) {
        assert!(time <= Duration::from_secs(366 * 24 * 60 * 60));
        let ms = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let again = duration::parse(&format!("{}ms", ms.as_millis())).expect("what was written");
        assert!(again.abs_diff(ms) < Duration::from_micros(1));
        assert!(is_harmless(&duration::words(time)));
    }
}

/// Parses a command line whose words are separated by 0.
pub fn arguments(bytes: &[u8]) {
    let given: Vec<OsString> =
        [&b"unmoor"[..]].into_iter().chain(bytes.split(|b| *b == 0)).map(os).collect();
    let ordered = with_command_first(given.clone());
    let asks = |word: &OsString| ["--version", "--help", "help"].iter().any(|ask| word == *ask);
    if !ordered.get(1).is_some_and(asks) {
        // No word is lost, and only the default command is added.
        let mut left = ordered.clone();
        for word in &given {
            let at = left.iter().position(|w| w == word);
            left.remove(at.expect("a word was lost"));
        }
        assert!(left.is_empty() || left == ["eject"], "{left:?} was made up");
    }
    if let Err(error) = Cli::try_parse_from(ordered) {
        for line in error.render().to_string().lines() {
            assert!(is_harmless(&escape::escape(line)));
        }
    }
}

/// Returns true if the text has nothing that a terminal obeys. That excludes control characters,
/// changes of direction, and invisible characters that `unmoor` promises to write out.
fn is_harmless(line: &str) -> bool {
    let bad = |c: char| {
        c.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
            || ['\u{61c}', '\u{200b}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{feff}']
                .contains(&c)
    };
    !line.contains(bad)
}
