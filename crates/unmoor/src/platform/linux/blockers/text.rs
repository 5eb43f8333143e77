//! Bytes: replacing in them, and quoting them for a shell.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `text` with every `from` replaced.
pub(super) fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                out.extend(to);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = &rest[1..];
            }
        }
    }
    out
}

/// A command line of these words, as a POSIX shell reads it back. `None` where a word is not UTF-8 or
/// has control characters: such a name cannot be shown and pasted again.
pub(super) fn command<'w>(words: impl IntoIterator<Item = &'w OsStr>) -> Option<String> {
    let mut line = String::new();
    for word in words {
        let word = word.to_str()?;
        if word.chars().any(char::is_control) {
            return None;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
        match !word.is_empty() && word.chars().all(plain) {
            true => line.push_str(word),
            false => {
                line.push('\'');
                line.push_str(&word.replace('\'', r"'\''"));
                line.push('\'');
            }
        }
    }
    Some(line)
}

/// A command whose last word is a path.
pub(super) fn command_on(words: &[&str], path: &Path) -> Option<String> {
    // A path that begins with a dash would be read as an option; none of the kernel's does.
    command(words.iter().map(OsStr::new).chain([OsStr::from_bytes(path.as_os_str().as_bytes())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_the_words_back(words in proptest::collection::vec("[^\\x00-\\x1f\\x7f-\\x9f]{0,12}", 1..4)) {
            let all = std::iter::once("printf").chain(["%s\\n"]).chain(words.iter().map(|w| &**w));
            let line = command(all.map(OsStr::new)).unwrap();
            let out = Command::new("sh").args(["-c", &line]).output().unwrap().stdout;
            let expected: String = words.iter().map(|w| format!("{w}\n")).collect();
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn what_cannot_be_pasted_is_no_command() {
        assert_eq!(command_on(&["umount"], Path::new("/a\nb")), None);
        assert_eq!(command_on(&["umount"], Path::new(OsStr::from_bytes(b"/\xff"))), None);
        assert_eq!(command_on(&["umount"], Path::new("/a b")), Some("umount '/a b'".into()));
    }

    #[test]
    fn everything_that_matches_is_replaced() {
        assert_eq!(replace(br"a\012\012b", br"\012", b"\n"), b"a\n\nb");
    }
}
