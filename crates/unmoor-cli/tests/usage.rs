//! Wrong usage is 2, says why on standard error, and never panics.

mod common;

use common::{line, unmoor};

#[test]
fn a_command_line_that_cannot_be_understood_is_two_and_prints_no_result() {
    for wrong in [
        "eject",
        "eject --nonsense sim:stick",
        "eject --wait soon sim:stick",
        "eject --wait -1 sim:stick",
        "eject --timeout 9999999h sim:stick",
        "eject --dismount-only --power-off sim:stick",
        "eject -v -q sim:stick",
        "eject --all-removable sim:stick",
        "eject --simulated sim:stick",
        "--json",
        "eject --kill sim:busy",
        "eject --yes sim:stick",
        "eject --grace 2s sim:stick",
        "list --all sim:stick",
        "list -o nonsense",
    ] {
        for words in [wrong.to_string(), format!("{wrong} --json")] {
            let run = line(&words);
            assert_eq!(run.code, 2, "{words}: {}{}", run.out, run.err);
            assert!(run.out.is_empty() && !run.err.is_empty(), "{words}");
        }
    }
    assert_eq!(unmoor::<&str>([]).code, 2);
}

#[test]
fn a_name_that_no_target_can_have_stops_everything() {
    for words in [["eject", "sim:stick", ""], ["who", "sim:stick", "LABEL="]] {
        let run = unmoor(words);
        assert_eq!(run.code, 2);
        assert!(run.out.is_empty() && run.err.starts_with("unmoor: "), "{}", run.err);
    }
}

#[test]
fn long_nonsense_is_an_unknown_target() {
    for nonsense in ["x".repeat(300), "é".repeat(300), "/".repeat(300) + "x", "sim:".repeat(75)] {
        let run = unmoor([nonsense.as_str()]);
        assert!([2, 6].contains(&run.code), "{nonsense}: {} {}", run.code, run.err);
    }
}

#[test]
fn typed_escape_sequences_cannot_reach_the_terminal() {
    for words in [["sim:\x1b[2J\u{202e}x\nforged"], ["--\x1b[2J\u{202e}x\nforged"]] {
        let run = unmoor(words);
        assert!([2, 6].contains(&run.code));
        assert!(!run.err.contains(['\x1b', '\u{202e}']), "{:?}", run.err);
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_text_is_a_target_like_any_other() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let name = OsStr::from_bytes(b"/media/\xff\xfe/x");
    let run = unmoor([OsStr::new("--json"), OsStr::new("eject"), name]);
    assert_eq!(run.code, 6, "{}{}", run.out, run.err);
    unmoor_contract::check(&run.out, Some(6)).expect("it keeps the contract");
    assert!(run.out.contains(r#""target_bytes": "2f6d656469612ffffe2f78""#), "{}", run.out);
    let run = unmoor([OsStr::new("--"), name]);
    assert_eq!(run.code, 6);
}

#[test]
fn help_and_version_are_results() {
    for words in ["--help", "-h", "help", "help eject", "eject --help", "--version", "demo --help"]
    {
        let run = line(words);
        assert_eq!(run.code, 0, "{words}");
        assert!(!run.out.is_empty() && run.err.is_empty(), "{words}");
    }
}

#[test]
fn a_drive_named_like_a_command_can_be_reached() {
    let run = line("eject list");
    assert_ne!(run.code, 0);
    assert!(!run.err.is_empty());
}
