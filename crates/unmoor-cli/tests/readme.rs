//! README.md shows the command's real output.
//!
//! After a change, rewrite it with `UNMOOR_WRITE_README=1 cargo test -p unmoor-cli --test readme` and
//! read the difference.
#![cfg(target_os = "linux")] // Elsewhere the simulated drives are mounted elsewhere.

mod common;

use common::line;
use std::fs;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

#[test]
fn the_readme_shows_what_the_command_prints() {
    let shown = fs::read_to_string(README).expect("the readme is there");
    let real = with_real_output(&shown);
    if std::env::var_os("UNMOOR_WRITE_README").is_some() {
        fs::write(README, real).expect("the readme can be written");
        return;
    }
    for (shown, real) in shown.lines().zip(real.lines()) {
        assert_eq!(without_times(shown), without_times(real));
    }
    assert_eq!(shown.lines().count(), real.lines().count());
}

/// Returns the text with every `console` block run anew.
fn with_real_output(text: &str) -> String {
    let mut out = String::new();
    let mut in_block = false;
    for shown in text.lines() {
        match shown.strip_prefix("$ unmoor ") {
            Some(words) if in_block => {
                let run = line(words);
                let code = if run.code == 0 {
                    String::new()
                } else {
                    format!("# exit code {}\n", run.code)
                };
                out.extend([shown, "\n", &run.out, &run.err, &code]);
            }
            _ if in_block && shown != "```" => {}
            _ => {
                in_block = shown == "```console";
                out.extend([shown, "\n"]);
            }
        }
    }
    out
}

/// Replaces times, which differ from run to run.
fn without_times(line: &str) -> String {
    let words = line.split_whitespace().collect::<Vec<_>>();
    let is_time = |at: usize| {
        words[at].parse::<f64>().is_ok() && matches!(words.get(at + 1), Some(&"ms" | &"s"))
    };
    let kept = (0..words.len()).map(|at| if is_time(at) { "#" } else { words[at] });
    kept.map(|w| if w == "ms" { "s" } else { w }).collect::<Vec<_>>().join(" ")
}
