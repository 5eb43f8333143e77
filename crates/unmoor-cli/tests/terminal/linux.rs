use std::io::{Read, Write};
use std::process::{Command, Stdio};
use unmoor_test_support::{SCRIPT, Test, test};

/// Runs the command on a terminal of `script` (util-linux), and types this after the question.
fn on_a_terminal(words: &str, typed: &str) -> (i32, String) {
    let command = format!("'{}' {words}", env!("CARGO_BIN_EXE_unmoor"));
    let mut script = Command::new("timeout")
        .args(["100", "script", "-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"[y/N] ") && stdout.read(&mut byte).unwrap() > 0 {
        text.push(byte[0]);
    }
    stdin.write_all(typed.as_bytes()).unwrap();
    // What is typed has no end: the terminal stays.
    stdout.read_to_end(&mut text).unwrap();
    let ended = script.wait().unwrap();
    (ended.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

fn on_a_terminal_the_user_is_shown_who_would_be_ended_and_the_default_is_no() {
    for (typed, code) in [("y\n", 0), ("\n", 3), ("n\n", 3), ("what?\n", 3)] {
        let (ended, text) = on_a_terminal("--kill sim:busy", typed);
        assert_eq!(ended, code, "{typed:?}: {text}");
        let (shown, asked) = (text.find("letter.txt").unwrap(), text.find("[y/N]").unwrap());
        assert!(shown < asked, "{text}");
    }
    let (ended, text) = on_a_terminal("--kill --yes sim:busy", "");
    assert!(ended == 0 && !text.contains("[y/N]"), "{text}");
}

fn a_question_is_not_waited_for_past_the_timeout_nor_after_ctrl_c() {
    let (ended, text) = on_a_terminal("--timeout 2s --kill sim:busy", "");
    assert!(ended == 3 && text.contains("nothing was dismounted"), "{ended}: {text}");
    let (ended, text) = on_a_terminal("--kill sim:busy", "\x03");
    assert!(ended == 130, "{ended}: {text}");
}

/// Runs the command on a terminal that `script` (util-linux) makes.
fn printed(words: &str, environment: &[(&str, &str)]) -> String {
    let command = format!("'{}' {words}", env!("CARGO_BIN_EXE_unmoor"));
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm");
    let run = script.envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// A colour, not another escape sequence.
fn is_coloured(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        rest.split_once('m').is_some_and(|(code, _)| {
            !code.is_empty() && code.chars().all(|c| c.is_ascii_digit() || c == ';')
        })
    })
}

fn colours_follow_the_option_then_the_environment_then_the_terminal() {
    for (words, environment, coloured) in [
        ("sim:stick", &[][..], true),
        ("sim:stick", &[("NO_COLOR", "1")], false),
        // no-color.org: only if it is not empty.
        ("sim:stick", &[("NO_COLOR", "")], true),
        ("sim:stick", &[("TERM", "dumb")], false),
        ("--color always sim:stick", &[("NO_COLOR", "1")], true),
        ("--color=never sim:stick", &[], false),
        ("--color auto sim:stick", &[], true),
        ("list --color never --simulated", &[], false),
    ] {
        let text = printed(words, environment);
        assert_eq!(is_coloured(&text), coloured, "{words} {environment:?}: {text:?}");
    }
}

fn a_terminal_gets_no_escape_sequence_where_nothing_is_animated() {
    // None of these has anything to write or to wait for, however slow the machine is.
    for words in [
        "--color never sim:cd",
        "--color never flush sim:cd",
        "--color never who sim:busy",
        "--color never list --simulated",
        "--color never status sim:stick",
    ] {
        let text = printed(words, &[]);
        assert!(!text.contains('\x1b'), "{words}: {text:?}");
        assert!(!text.contains("0 B left"), "{words}: {text:?}");
    }
}

const TESTS: &[Test] = &[
    test!(on_a_terminal_the_user_is_shown_who_would_be_ended_and_the_default_is_no, SCRIPT),
    test!(a_question_is_not_waited_for_past_the_timeout_nor_after_ctrl_c, SCRIPT),
    test!(colours_follow_the_option_then_the_environment_then_the_terminal, SCRIPT),
    test!(a_terminal_gets_no_escape_sequence_where_nothing_is_animated, SCRIPT),
];

pub fn run() {
    unmoor_test_support::run(&[TESTS]);
}
