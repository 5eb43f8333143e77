//! A command that was mistyped is no target: `unmoor stats sdb` must not eject sdb.

use crate::args::{COMMANDS, first_word};
use std::ffi::OsString;

/// Alike enough to be a slip of the finger (Jaro-Winkler; clap takes 0.7 for its own suggestions).
const MIN_SIMILARITY: f64 = 0.8;

/// The word, and the command that it nearly is. Only where targets follow: a single word may well be the
/// label of something, and nothing happens to anything else.
pub fn command(words: &[OsString]) -> Option<(&str, &'static str)> {
    let at = first_word(words)?;
    let word = words[at].to_str().filter(|word| word.chars().all(|c| c.is_ascii_alphabetic()))?;
    first_word(&words[at..])?;
    if COMMANDS.contains(&word) {
        return None;
    }
    let alike = |command: &&str| strsim::jaro_winkler(word, command);
    let nearest = COMMANDS.into_iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(&nearest) > MIN_SIMILARITY).then_some((word, nearest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearly(line: &str) -> Option<&'static str> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        command(&words).map(|(_, command)| command)
    }

    #[test]
    fn a_slip_of_the_finger_is_noticed() {
        assert_eq!(nearly("unmoor stats sdb"), Some("status"));
        assert_eq!(nearly("unmoor -q lsit sdb"), Some("list"));
        assert_eq!(nearly("unmoor --timeout 10s ejct sdb sdc"), Some("eject"));
        assert_eq!(nearly("unmoor flsh sdb -v"), Some("flush"));
    }

    #[test]
    fn drives_and_commands_are_none() {
        for line in [
            "unmoor sdb sdc",
            "unmoor stats",
            "unmoor stats --json",
            "unmoor status sdb",
            "unmoor E: F:",
            "unmoor -- stats sdb",
            "unmoor eject stats sdb",
            "unmoor /media/stats sdb",
            "unmoor mmcblk nvme",
        ] {
            assert_eq!(nearly(line), None, "{line}");
        }
    }
}
