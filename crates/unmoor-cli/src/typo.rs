//! Words that are no command of this program: a mistyped command, or the verb of another program.
//! `unmoor info sdb` must not eject sdb.

use crate::args::{COMMANDS, first_word};
use std::ffi::{OsStr, OsString};

/// Minimum similarity of a typing error (Jaro-Winkler; clap takes 0.7 for its own suggestions).
const MIN_SIMILARITY: f64 = 0.8;

/// Verbs of other programs, and what this program calls them. An empty string is something that this
/// program does not do.
const VERBS: [(&str, &[&str]); 12] = [
    (
        "eject -u",
        &["dismount", "mountvol", "pumount", "umount", "umountdisk", "unmount", "unmountdisk"],
    ),
    (
        "eject -p",
        &[
            "detach",
            "disconnect",
            "down",
            "forcedstop",
            "off",
            "power-off",
            "poweroff",
            "remove",
            "removedrive",
            "safe-remove",
            "safely-remove",
            "saferemove",
            "safelyremove",
            "stop",
            "unplug",
        ],
    ),
    ("eject", &["free", "open", "out", "release", "toggle", "tray", "unload"]),
    ("eject --kill", &["kill"]),
    ("eject --wait 30s", &["wait"]),
    ("load", &["close", "in", "insert", "trayclose"]),
    ("flush", &["fsync", "sync"]),
    (
        "status",
        &[
            "blkid", "describe", "df", "dump", "get", "info", "query", "show", "stat", "test",
            "verify",
        ],
    ),
    ("who", &["blockers", "busy", "check", "fuser", "handles", "lsof", "users", "wholocks"]),
    (
        "list",
        &[
            "activity", "devices", "dir", "drives", "ls", "lsblk", "lsusb", "monitor", "scan",
            "watch",
        ],
    ),
    ("attach", &["connect", "forcedreturn", "reattach", "rescan", "return", "up"]),
    (
        "",
        &[
            "burn",
            "clean",
            "copy",
            "delete",
            "erase",
            "format",
            "fsck",
            "lock",
            "loop-delete",
            "loop-setup",
            "mkfs",
            "mount",
            "mountdisk",
            "pmount",
            "rename",
            "repair",
            "set",
            "unlock",
            "wipe",
            "write",
        ],
    ),
];

/// A first word that is neither a command nor a drive.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownWord {
    pub word: String,
    /// Command that does what the word says elsewhere, or that it resembles.
    pub suggestion: Option<&'static str>,
}

/// Returns the first word if it cannot be meant as a drive: the verb of another program, or a mistyped
/// command before a target.
pub fn wrong_command(words: &[OsString]) -> Option<UnknownWord> {
    let at = first_word(words)?;
    let word = bare_word(&words[at]).filter(|word| !COMMANDS.contains(word))?;
    let verb = other_verb(word);
    if verb.is_none() && first_word(&words[at..]).is_none() {
        // A single word may be a label that resembles a command, and nothing else is touched.
        return None;
    }
    let suggestion = match verb {
        Some(command) => Some(command).filter(|command| !command.is_empty()),
        None => Some(similar_command(word)?),
    };
    Some(UnknownWord { word: word.into(), suggestion })
}

/// Returns the first word, which names no drive, with the command that it resembles.
pub fn unknown(word: &OsStr) -> Option<UnknownWord> {
    let word = bare_word(word)?;
    Some(UnknownWord { word: word.into(), suggestion: similar_command(word) })
}

/// Returns the word if it could be a command: not a path, a tag, a port or a drive letter.
fn bare_word(word: &OsStr) -> Option<&str> {
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    word.to_str().filter(|word| !word.is_empty() && word.chars().all(plain))
}

fn other_verb(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let entry = VERBS.iter().find(|(_, verbs)| verbs.contains(&&*word));
    entry.map(|(command, _)| *command)
}

fn similar_command(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let similarity = |command: &&str| strsim::jaro_winkler(&word, command);
    let nearest =
        COMMANDS.iter().copied().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(&nearest) > MIN_SIMILARITY).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion(line: &str) -> Option<&'static str> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        wrong_command(&words).and_then(|unknown| unknown.suggestion)
    }

    #[test]
    fn a_typing_error_before_a_target_is_a_wrong_command() {
        assert_eq!(suggestion("unmoor stats sdb"), Some("status"));
        assert_eq!(suggestion("unmoor -q lsit sdb"), Some("list"));
        assert_eq!(suggestion("unmoor --timeout 10s ejct sdb sdc"), Some("eject"));
        assert_eq!(suggestion("unmoor flsh sdb -v"), Some("flush"));
    }

    #[test]
    fn a_verb_of_another_program_is_a_wrong_command_even_alone() {
        assert_eq!(suggestion("unmoor -f UnmountDisk sdb"), Some("eject -u"));
        assert_eq!(suggestion("unmoor info"), Some("status"));
        let words = ["unmoor", "format", "sdb"].map(OsString::from);
        let unknown = wrong_command(&words).unwrap();
        assert_eq!((&*unknown.word, unknown.suggestion), ("format", None));
    }

    #[test]
    fn drives_and_commands_are_not() {
        for line in [
            "unmoor sdb sdc",
            "unmoor stats",
            "unmoor stats --json",
            "unmoor status sdb",
            "unmoor E: F:",
            "unmoor -- stats sdb",
            "unmoor eject stats sdb",
            "unmoor /media/stats sdb",
            "unmoor LABEL=info sdb",
            "unmoor mmcblk0 nvme0n1",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(wrong_command(&words), None, "{line}");
        }
    }

    #[test]
    fn every_suggestion_is_a_command() {
        for (command, verbs) in VERBS {
            let first = command.split(' ').next().unwrap();
            assert!(first.is_empty() || COMMANDS.contains(&first), "{command}");
            assert!(verbs.iter().all(|verb| !COMMANDS.contains(verb)), "{command}");
        }
    }
}
