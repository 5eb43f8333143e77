//! The demonstration runs to its end, and removes everything it made, whatever happens.

mod common;

use common::line;

#[test]
fn the_story_ends_well_where_a_real_stick_can_be_made_and_where_not() {
    for words in ["demo", "demo --simulated"] {
        let run = line(words);
        assert_eq!(run.code, 0, "{words}: {}{}", run.out, run.err);
        for part in ["Shown on a", "(exit code 3)", "(exit code 0)", "byte for byte"] {
            assert!(run.out.contains(part), "{words}, {part}: {}", run.out);
        }
    }
}

/// Stops the demonstration with Ctrl-C when this line appears, and looks what is left.
#[cfg(unix)]
fn stopped_at(words: &[&str], chapter: &str) -> (Option<i32>, String) {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    let mut demo = unmoor_test_support::with_default_signals(env!("CARGO_BIN_EXE_unmoor"))
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let pid = demo.id().to_string();
    let mut lines = BufReader::new(demo.stdout.take().expect("it is piped"));
    let mut told = String::new();
    while !told.contains(chapter) && lines.read_line(&mut told).expect("it prints text") > 0 {}
    let kill = Command::new("kill").args(["-INT", &pid]).status().expect("kill starts");
    assert!(kill.success(), "it had ended before: {told}");
    lines.read_to_string(&mut told).expect("it prints text");
    let code = demo.wait().expect("it ends").code();
    let folder = std::env::temp_dir().join(format!("unmoor-demo-{pid}"));
    assert!(!folder.exists(), "{} is left", folder.display());
    let attached = Command::new("losetup").arg("--list").output();
    let attached = attached.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    assert!(!attached.unwrap_or_default().contains(&format!("unmoor-demo-{pid}")));
    (code, told)
}

#[cfg(unix)]
#[test]
fn an_interrupted_story_leaves_nothing_behind() {
    for words in [&["demo"][..], &["demo", "--simulated"][..]] {
        for chapter in ["1. ", "2. "] {
            let (code, told) = stopped_at(words, chapter);
            assert_eq!(code, Some(130), "{words:?} at {chapter}: {told}");
        }
    }
}
