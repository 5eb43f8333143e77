//! The words of a Windows command line, which is one text; and commands that a shell reads as meant.

use std::borrow::Cow;

/// Splits a command line as Microsoft's C library does.
///
/// See "Parsing C command-line arguments": spaces and tabs separate words, quotation marks hold them together, a backslash before a
/// quotation mark takes it for itself. The first word, the program, knows no backslashes.
pub fn words(line: &[u16]) -> Vec<Vec<u16>> {
    const QUOTE: u16 = b'"' as u16;
    const BACKSLASH: u16 = b'\\' as u16;
    let is_space = |unit: u16| unit == u16::from(b' ') || unit == u16::from(b'\t');
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().take_while(|&&u| is_space(u)).count()..];
        if rest.is_empty() {
            return words;
        }
        let first = words.is_empty();
        let (mut word, mut quoted) = (Vec::new(), false);
        while let Some((&unit, after)) = rest.split_first() {
            if !quoted && is_space(unit) {
                break;
            }
            rest = after;
            match unit {
                QUOTE if quoted && !first && rest.first() == Some(&QUOTE) => {
                    rest = &rest[1..];
                    word.push(QUOTE);
                }
                QUOTE => quoted = !quoted,
                BACKSLASH if !first => {
                    let more = rest.iter().take_while(|&&u| u == BACKSLASH).count();
                    let (count, after) = (1 + more, &rest[more..]);
                    let before_quote = after.first() == Some(&QUOTE);
                    let kept = if before_quote { count / 2 } else { count };
                    word.extend(std::iter::repeat_n(BACKSLASH, kept));
                    rest = after;
                    if before_quote && count % 2 == 1 {
                        word.push(QUOTE);
                        rest = &rest[1..];
                    }
                }
                other => word.push(other),
            }
        }
        words.push(word);
    }
}

/// A word in quotation marks, as both `cmd` and PowerShell read it back. `None` where one of them would
/// read something else: a quotation mark of any kind, what stands for a variable, what breaks a line.
pub(crate) fn quoted(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || r"-_.:\".contains(c);
    // PowerShell takes typographic quotation marks for the plain ones.
    let strange = |c: char| c.is_control() || "\"%$`!^".contains(c) || ('“'..='„').contains(&c);
    // A backslash at the end would belong to the quotation mark.
    let word = match word.strip_suffix('\\') {
        Some(shorter) if !shorter.ends_with(':') => Cow::from(shorter),
        _ => Cow::from(word),
    };
    match word.chars().next() {
        None | Some('-' | '/') => None,
        Some(_) if word.contains(strange) => None,
        Some(_) if word.chars().all(plain) => Some(word.into_owned()),
        Some(_) if word.ends_with('\\') => None,
        Some(_) => Some(format!("\"{word}\"")),
    }
}

/// A PowerShell command with a text in it, that `cmd` and PowerShell both run as it stands. `before` is
/// what comes in front of the text. `None` as for [`quoted`].
pub(crate) fn powershell(before: &str, text: &str) -> Option<String> {
    quoted(text)?;
    // Inside single quotes a single quote is written twice, and there are five kinds of it.
    let single = |c: char| ('‘'..='‛').contains(&c);
    let text = match text.contains(single) {
        true => return None,
        false => text.replace('\'', "''"),
    };
    Some(format!("powershell -NoProfile -Command \"{before} '{text}'\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &str) -> Vec<String> {
        let units: Vec<u16> = line.encode_utf16().collect();
        words(&units).iter().map(|word| String::from_utf16_lossy(word)).collect()
    }

    #[test]
    fn a_line_is_split_as_programs_split_it() {
        // The first four are the examples of the documentation.
        assert_eq!(split(r#"p "a b c" d e"#), ["p", "a b c", "d", "e"]);
        assert_eq!(split(r#"p "ab\"c" "\\" d"#), ["p", "ab\"c", r"\", "d"]);
        assert_eq!(split(r#"p a\\\b d"e f"g h"#), ["p", r"a\\\b", "de fg", "h"]);
        assert_eq!(split(r#"p a\\\"b c d"#), ["p", r#"a\"b"#, "c", "d"]);
        assert_eq!(split(r#""C:\Program Files\x\" y"#), [r"C:\Program Files\x\", "y"]);
        assert_eq!(split("  \t"), Vec::<String>::new());
        assert_eq!(split(r#"p "never closed"#), ["p", "never closed"]);
    }

    #[test]
    fn a_name_that_a_shell_reads_otherwise_gives_no_command() {
        assert_eq!(quoted(r"E:\a.txt").as_deref(), Some(r"E:\a.txt"));
        assert_eq!(quoted(r"E:\a b\").as_deref(), Some(r#""E:\a b""#));
        assert_eq!(quoted(r"E:\").as_deref(), Some(r"E:\"));
        for word in ["", "/x", "-x", "a\"b", "%TEMP%", "$x", "a`b", "a\nb", "“x”", "a^b", "a!b"]
        {
            assert_eq!(quoted(word), None, "{word:?}");
        }
    }

    #[test]
    fn a_powershell_command_doubles_what_would_end_its_text() {
        assert_eq!(
            powershell("Dismount-DiskImage -ImagePath", r"E:\it's.iso").as_deref(),
            Some(
                r#"powershell -NoProfile -Command "Dismount-DiskImage -ImagePath 'E:\it''s.iso'""#
            )
        );
        assert_eq!(powershell("x", "it’s"), None);
        assert_eq!(powershell("x", "$(calc)"), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u16>(), 0..60)) {
            prop_assert!(words(&line).len() <= line.len());
        }

        #[test]
        fn quotes_and_backslashes_in_any_order_end(line in r#"[a "\\]{0,40}"#) {
            let _ = split(&line);
        }

        #[test]
        fn quoted_text_is_read_back(word in r"[a-zA-Z0-9 :\\.'&()äß-]{1,20}") {
            if let Some(quoted) = quoted(&word) {
                let line = format!("p {quoted}");
                let read = split(&line);
                prop_assert_eq!(read.len(), 2);
                let trimmed = word.strip_suffix('\\').unwrap_or(&word);
                prop_assert!(word == read[1] || trimmed == read[1]);
            }
        }
    }
}
