//! Escapes untrusted text before it reaches a terminal.
//!
//! Labels, file names, process names and drive models may hold escape sequences that repaint the
//! screen, newlines that forge a line, and bidirectional controls that reverse a name. All text for
//! people passes through [`escape`] right before it is printed, so the code that builds sentences need
//! not care.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write;

/// Returns the text on one line, with control and invisible characters written out: `\n`, `\x1b`,
/// `\u{202e}`. Keeps backslashes, since Windows paths are full of them.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if !is_harmful(c) => out.push(c),
            c if c.is_ascii() => _ = write!(out, "\\x{:02x}", u32::from(c)),
            c => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
        }
    }
    Cow::Owned(out)
}

/// As [`escape`], for text that need not be UTF-8: an invalid byte becomes `\xff`.
pub fn escape_os(text: impl AsRef<OsStr>) -> String {
    let text = text.as_ref();
    match text.to_str() {
        Some(text) => escape(text).into_owned(),
        None => escape_unreadable(text),
    }
}

#[cfg(unix)]
fn escape_unreadable(text: &OsStr) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut out = String::new();
    for chunk in text.as_bytes().utf8_chunks() {
        out.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Windows: an unpaired UTF-16 surrogate becomes U+FFFD.
#[cfg(not(unix))]
fn escape_unreadable(text: &OsStr) -> String {
    escape(&text.to_string_lossy()).into_owned()
}

/// Returns true for control characters (C0, DEL, C1), line and paragraph separators, and invisible
/// format characters. The two joiners are allowed: some languages and emoji need them.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Quotes the word for a shell.
pub fn shell_quoted(word: &OsStr) -> String {
    let text = escape_os(word);
    let plain = |c: char| c.is_alphanumeric() || "/._-:=+,@%".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_are_written_out() {
        assert_eq!(escape("a\x1b[2Jb\nc\td\r"), "a\\x1b[2Jb\\nc\\td\\r");
        assert_eq!(escape("\u{9b}31m\u{7f}"), "\\u{9b}31m\\x7f");
        assert_eq!(escape("exe.\u{202e}txt"), "exe.\\u{202e}txt");
    }

    #[test]
    fn ordinary_names_of_all_languages_stay() {
        for name in ["E:\\letter.txt", "Ferien 2026", "写真", "صور", "👩\u{200d}🚀", "café"]
        {
            assert_eq!(escape(name), name);
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_shown_as_bytes() {
        use std::os::unix::ffi::OsStrExt;
        assert_eq!(escape_os(OsStr::from_bytes(b"a\xff\x1b\xc3")), "a\\xff\\x1b\\xc3");
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(text in any::<String>()) {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(is_harmful));
            prop_assert!(escaped.chars().all(|c| !c.is_control()));
        }

        #[test]
        fn escaping_again_changes_nothing(text in any::<String>()) {
            let once = escape(&text);
            prop_assert_eq!(&escape(&once), &once);
        }

        #[cfg(unix)]
        #[test]
        fn any_bytes_become_one_harmless_line(bytes in any::<Vec<u8>>()) {
            use std::os::unix::ffi::OsStrExt;
            let escaped = escape_os(OsStr::from_bytes(&bytes));
            prop_assert!(!escaped.contains(is_harmful));
        }
    }

    #[test]
    fn a_command_to_try_can_be_pasted() {
        assert_eq!(shell_quoted(OsStr::new("/media/stick")), "/media/stick");
        assert_eq!(shell_quoted(OsStr::new("LABEL=My Stick's")), "'LABEL=My Stick'\\''s'");
    }
}
