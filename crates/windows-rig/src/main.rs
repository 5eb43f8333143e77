//! Command of the rig: `windows-rig [--program UNMOOR.EXE] [--show] [--record FILE.md] [FILTER]`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use windows_rig::{Outcome, Test};

struct Options {
    program: Option<PathBuf>,
    record: Option<PathBuf>,
    show: bool,
    filter: String,
}

fn options() -> Result<Options> {
    let mut options = Options { program: None, record: None, show: false, filter: String::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--program" => options.program = Some(words.next().context("--program FILE")?.into()),
            "--record" => options.record = Some(words.next().context("--record FILE")?.into()),
            "--show" => options.show = true,
            word if word.starts_with('-') => bail!("unknown option {word}"),
            word => options.filter = word.to_owned(),
        }
    }
    Ok(options)
}

fn main() -> Result<ExitCode> {
    let options = options()?;
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => repository.join(directory),
        None => repository.join("target"),
    };
    let program = match options.program {
        Some(program) => program.canonicalize().context("--program")?,
        None => target.join("windows/x86_64-win7-windows-gnu/release/unmoor.exe"),
    };
    let outcomes = windows_rig::run(&program, &target, &options.filter, options.show)?;
    let failed = outcomes.iter().filter(|(_, outcome)| !outcome.faults.is_empty()).count();
    println!("{failed} of {} failed", outcomes.len());
    if let Some(file) = options.record {
        std::fs::write(file, table(&outcomes))?;
    }
    Ok(if failed == 0 && !outcomes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Beginning of the table.
const HEAD: &str = "\
# Findings

Outcome of every test, written by `--record`. A red row says what `unmoor.exe` does otherwise than promised.

| test | promise | result | what is missing |
|---|---|---|---|
";

/// The outcomes as a table of Markdown.
fn table(outcomes: &[(Test, Outcome)]) -> String {
    let mut text = String::from(HEAD);
    for (test, outcome) in outcomes {
        let faults = outcome.faults.join("; ").replace('|', "\\|").replace('\n', " ");
        let result = if outcome.faults.is_empty() { "green" } else { "red" };
        let _ = writeln!(text, "| `{}` | {} | {result} | {faults} |", test.id, test.promise);
    }
    text
}
