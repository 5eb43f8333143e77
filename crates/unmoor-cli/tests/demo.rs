//! The demonstration runs to its end, and always removes its files and loop devices.

mod common;

use common::line;

#[test]
fn the_demonstration_succeeds_with_and_without_loop_devices() {
    for words in ["demo", "demo --simulated"] {
        let run = line(words);
        assert_eq!(run.code, 0, "{words}: {}{}", run.out, run.err);
        for part in ["Shown on a", "(exit code 3)", "(exit code 0)", "byte for byte"] {
            assert!(run.out.contains(part), "{words}, {part}: {}", run.out);
        }
    }
}

/// Interrupts the demonstration with Ctrl-C at this line, and checks that nothing remains.
#[cfg(unix)]
fn interrupt_at(words: &[&str], heading: &str) -> (Option<i32>, String) {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    let mut demo = Command::new(env!("CARGO_BIN_EXE_unmoor"))
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let pid = demo.id().to_string();
    let mut lines = BufReader::new(demo.stdout.take().expect("it is piped"));
    let mut output = String::new();
    while !output.contains(heading) && lines.read_line(&mut output).expect("it prints text") > 0 {}
    let kill = Command::new("kill").args(["-INT", &pid]).status().expect("kill starts");
    assert!(kill.success(), "it had ended before: {output}");
    lines.read_to_string(&mut output).expect("it prints text");
    let code = demo.wait().expect("it ends").code();
    let folder = std::env::temp_dir().join(format!("unmoor-demo-{pid}"));
    assert!(!folder.exists(), "{} is left", folder.display());
    let attached = Command::new("losetup").arg("--list").output();
    let attached = attached.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    assert!(!attached.unwrap_or_default().contains(&format!("unmoor-demo-{pid}")));
    (code, output)
}

#[cfg(unix)]
#[test]
fn an_interrupted_demonstration_leaves_nothing_behind() {
    for words in [&["demo"][..], &["demo", "--simulated"][..]] {
        for heading in ["1. ", "2. "] {
            let (code, output) = interrupt_at(words, heading);
            assert_eq!(code, Some(130), "{words:?} at {heading}: {output}");
        }
    }
}
