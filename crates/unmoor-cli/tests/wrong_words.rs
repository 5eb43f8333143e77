//! A wrong word never releases a drive.

mod common;

use common::{document, line};

/// Commands of other programs, and obvious guesses.
const VERBS: [&str; 62] = [
    "stop",
    "forcedstop",
    "return",
    "forcedreturn",
    "info",
    "lock",
    "unlock",
    "power-off",
    "monitor",
    "dump",
    "loop-setup",
    "loop-delete",
    "unmountDisk",
    "mountDisk",
    "activity",
    "tray",
    "open",
    "close",
    "dismount",
    "disconnect",
    "detach",
    "release",
    "show",
    "check",
    "verify",
    "test",
    "sync",
    "lsof",
    "fuser",
    "kill",
    "wait",
    "set",
    "get",
    "insert",
    "toggle",
    "up",
    "down",
    "free",
    "devices",
    "poweroff",
    "umountdisk",
    "mount",
    "unmount",
    "umount",
    "remove",
    "wholocks",
    "stat",
    "unload",
    "ls",
    "safely-remove",
    "safe-remove",
    "mountvol",
    "pumount",
    "UMOUNT",
    "Info",
    "erase",
    "format",
    "fsck",
    "lsblk",
    "blkid",
    "df",
    "burn",
];

#[test]
fn a_verb_of_another_program_releases_nothing() {
    for verb in VERBS {
        for words in [format!("{verb} sim:stick"), format!("-f {verb} sim:stick sim:cd")] {
            let run = line(&words);
            assert_eq!(run.code, 2, "{words}: {}{}", run.out, run.err);
            assert!(run.out.is_empty(), "{words}: {}", run.out);
            assert!(run.err.contains("unknown command or drive"), "{words}: {}", run.err);
            assert!(!run.err.contains("sim:stick ("), "{words}: {}", run.err);
        }
    }
}

#[test]
fn a_verb_of_another_program_names_the_right_one() {
    for (words, right) in [
        ("umount sim:stick", "unmoor eject -u sim:stick"),
        ("info sim:stick sim:cd", "unmoor status sim:stick sim:cd"),
        ("safely-remove sim:stick", "unmoor eject -p sim:stick"),
        ("poweroff sim:stick", "unmoor eject -p sim:stick"),
        ("unmountDisk sim:stick", "unmoor eject -u sim:stick"),
        ("lsof sim:stick", "unmoor who sim:stick"),
        ("sync sim:stick", "unmoor flush sim:stick"),
        ("close sim:cd", "unmoor load sim:cd"),
        ("lsblk", "unmoor list"),
        ("stats sim:stick", "unmoor status sim:stick"),
        ("lsit", "unmoor list"),
    ] {
        let run = line(words);
        assert_eq!(run.code, 2, "{words}: {}{}", run.out, run.err);
        assert!(run.err.contains(right), "{words}: {}", run.err);
    }
}

#[test]
fn a_first_word_that_names_nothing_is_wrong_usage() {
    for words in
        ["nosuchdrive", "nosuchdrive sim:stick", "-q nosuchdrive sim:stick", "--json nosuchdrive"]
    {
        let run = line(words);
        assert_eq!(run.code, 2, "{words}: {}{}", run.out, run.err);
        assert!(
            run.out.is_empty() && run.err.contains("unknown command or drive"),
            "{words}: {}",
            run.err
        );
    }
    // A path is not a command, and neither is a word after the command.
    for words in ["/nosuch/drive", "eject nosuchdrive", "eject info"] {
        let run = line(words);
        assert_eq!(run.code, 6, "{words}: {}{}", run.out, run.err);
    }
}

#[test]
fn no_drive_is_touched_if_any_target_does_not_resolve() {
    for words in
        ["sim:stick sim:nosuch", "eject sim:cd nosuchdrive sim:stick", "flush sim:stick sim:nosuch"]
    {
        let run = line(words);
        assert_eq!(run.code, 6, "{words}: {}{}", run.out, run.err);
        assert!(run.out.is_empty(), "{words}: {}", run.out);
        assert!(run.err.contains("not touched"), "{words}: {}", run.err);
    }
    let document = document("--json sim:stick sim:nosuch");
    assert_eq!(document["targets"][0]["outcome"], "not-started");
    assert_eq!(document["targets"][1]["outcome"], "no-such-target");
}
