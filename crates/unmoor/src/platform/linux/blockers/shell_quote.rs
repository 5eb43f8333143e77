//! Quoting of words for a shell.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Returns a command line that a POSIX shell reads back as these words.
///
/// The line is shown and pasted. A word with control or invisible characters, or with invalid UTF-8, is written in
/// octal. `None` if a word contains a 0, or ends with a newline, which the shell would remove.
pub fn shell_command<'w>(words: impl IntoIterator<Item = &'w OsStr>) -> Option<String> {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
        let visible = |c: char| if c.is_ascii() { !c.is_control() } else { c.is_alphanumeric() };
        match word.to_str() {
            Some(word) if !word.is_empty() && word.chars().all(plain) => line.push_str(word),
            Some(word) if word.chars().all(visible) => {
                line.push('\'');
                line.push_str(&word.replace('\'', r"'\''"));
                line.push('\'');
            }
            _ => in_octal(word.as_bytes(), &mut line)?,
        }
    }
    Some(line)
}

/// Writes a word in octal, for printf(1p).
fn in_octal(word: &[u8], line: &mut String) -> Option<()> {
    if word.contains(&0) || word.ends_with(b"\n") {
        return None;
    }
    line.push_str("\"$(printf '");
    for (at, byte) in word.iter().enumerate() {
        match byte {
            b'%' => line.push_str("%%"),
            // Else printf would read it as an option.
            b'-' if at == 0 => line.push_str("\\055"),
            b'\\' | b'\'' => _ = write!(line, "\\{byte:03o}"),
            b' '..=b'~' => line.push(char::from(*byte)),
            _ => _ = write!(line, "\\{byte:03o}"),
        }
    }
    line.push_str("')\"");
    Some(())
}

/// Returns a command whose last word is a path.
pub fn command_on(words: &[&str], path: &Path) -> Option<String> {
    // A path that begins with a dash would be read as an option; paths from the kernel do not.
    shell_command(
        words.iter().map(OsStr::new).chain([OsStr::from_bytes(path.as_os_str().as_bytes())]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn read_back(words: &[&[u8]]) -> (String, Vec<u8>) {
        let words = words.iter().map(|word| OsStr::from_bytes(word));
        let print = [OsStr::new("printf"), OsStr::new("%s\\n")];
        let line = shell_command(print.into_iter().chain(words)).unwrap();
        let out = Command::new("sh").args(["-c", &line]).output().unwrap().stdout;
        (line, out)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_words_back(words in proptest::collection::vec("[^\\x00-\\x1f\\x7f-\\x9f]{0,12}", 1..4)) {
            let bytes: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
            let expected: String = words.iter().map(|w| format!("{w}\n")).collect();
            prop_assert_eq!(read_back(&bytes).1, expected.as_bytes());
        }

        #[test]
        fn a_shell_reads_any_bytes_back(word in proptest::collection::vec(1u8.., 0..40)) {
            prop_assume!(!word.ends_with(b"\n"));
            let (line, out) = read_back(&[&word]);
            prop_assert_eq!(out, [&word[..], b"\n"].concat());
            prop_assert!(line.chars().all(|c| !c.is_control()));
        }
    }

    #[test]
    fn invisible_characters_are_written_in_octal() {
        let umount = |path: &[u8]| command_on(&["umount"], Path::new(OsStr::from_bytes(path)));
        assert_eq!(umount(b"/a b").unwrap(), "umount '/a b'");
        assert_eq!(umount("/Füße".as_bytes()).unwrap(), "umount '/Füße'");
        assert_eq!(umount(b"/a\nb%'").unwrap(), r#"umount "$(printf '/a\012b%%\047')""#);
        assert_eq!(umount(b"/\xff").unwrap(), r#"umount "$(printf '/\377')""#);
        let turned = umount("/\u{202e}x".as_bytes()).unwrap();
        assert_eq!(turned, r#"umount "$(printf '/\342\200\256x')""#);
        assert_eq!(umount(b"/a\n"), None);
    }
}
