//! `cargo xtask fuzz`: feeds every parser of foreign text and bytes (docs/fuzzing.md).
//!
//! Uses libFuzzer where a nightly toolchain and cargo-fuzz are installed. Otherwise applies random changes to
//! the seeds, which needs nothing.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::{paths, process};

#[derive(clap::Args)]
pub struct Options {
    /// Only this parser
    parser: Option<String>,
    /// Time for each parser
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Leave libFuzzer alone even where it is installed
    #[arg(long)]
    stable: bool,
}

/// Limits of a parser's memory: in total, and of one allocation.
const MEMORY: [&str; 2] = ["-rss_limit_mb=512", "-malloc_limit_mb=64"];

pub fn command(options: &Options) -> Result<ExitCode> {
    let parsers = parsers(options.parser.as_deref())?;
    if options.stable || !has_libfuzzer() {
        if !options.stable {
            println!(
                "random changes of the seeds (libFuzzer needs: rustup toolchain install nightly; cargo install cargo-fuzz)"
            );
        }
        return changes(options);
    }
    process::run_visibly(fuzz(&["build"]).stdin(Stdio::null()))?;
    println!("{:16} {:>12} {:>9} {:>8}", "parser", "executions", "a second", "branches");
    let mut failed = Vec::new();
    for parser in parsers {
        match feed(&parser, options.seconds) {
            Ok(figures) => println!(
                "{parser:16} {:>12} {:>9} {:>8}",
                figures.executions, figures.per_second, figures.branches
            ),
            Err(error) => {
                println!("{parser:16} {error:#}");
                failed.push(parser);
            }
        }
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parsers(only: Option<&str>) -> Result<Vec<String>> {
    let directory = directory().join("fuzz_targets");
    let mut parsers = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        parsers.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    parsers.sort();
    let Some(only) = only else { return Ok(parsers) };
    if !parsers.iter().any(|parser| parser == only) {
        bail!("there is no {only}; there are: {}", parsers.join(" "));
    }
    Ok(vec![only.to_owned()])
}

fn directory() -> std::path::PathBuf {
    paths::repository().join("fuzz")
}

fn has_libfuzzer() -> bool {
    let mut version = fuzz(&["--version"]);
    version.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// Returns `cargo fuzz` on the nightly toolchain, for compiler flags that the stable one refuses.
fn fuzz(words: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz"]).args(words);
    // What the toolchain that runs us has set is not meant for another one.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command.current_dir(paths::repository());
    command
}

fn changes(options: &Options) -> Result<ExitCode> {
    let mut cargo = Command::new(process::cargo());
    cargo.args(["test", "--release", "--quiet", "--package", "unmoor-fuzzing"]);
    cargo.args(["--test", "mutations", "--", "--nocapture", "no_bytes_break"]);
    cargo.env("UNMOOR_FUZZ_SECONDS", options.seconds.to_string());
    if let Some(parser) = &options.parser {
        cargo.env("UNMOOR_FUZZ_PARSER", parser);
    }
    process::run_visibly(cargo.current_dir(paths::repository()).stdin(Stdio::null()))?;
    Ok(ExitCode::SUCCESS)
}

/// Figures that libFuzzer prints at the end.
struct Figures {
    executions: u64,
    per_second: u64,
    branches: u64,
}

fn feed(parser: &str, seconds: u64) -> Result<Figures> {
    let corpus = directory().join("corpus").join(parser);
    std::fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    let seeds = directory().join("seeds").join(parser);
    let mut command = fuzz(&["run", parser]);
    command.args([corpus, seeds]).arg("--").arg(format!("-max_total_time={seconds}"));
    command.args(MEMORY).args(["-max_len=65536", "-timeout=10", "-print_final_stats=1"]);
    let output = command.stdin(Stdio::null()).output().context("cannot start cargo fuzz")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let log = paths::target().join(format!("fuzz-{parser}.log"));
        std::fs::write(&log, said.as_bytes()).with_context(|| log.display().to_string())?;
        bail!("FAILED: {}; all of it: {}", why(&said), log.display());
    }
    let number = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Ok(Figures {
        executions: number("stat::number_of_executed_units:").context("no figures")?,
        per_second: number("stat::average_exec_per_sec:").unwrap_or(0),
        branches: branches(&said),
    })
}

/// Returns the line with the error, and the path of the input.
fn why(said: &str) -> String {
    let panic = said.lines().skip_while(|line| !line.contains("panicked at")).take(2);
    let error = said.lines().find(|line| line.contains("ERROR: libFuzzer"));
    let kept = said.lines().find_map(|line| line.split_once("Test unit written to ")).map(|l| l.1);
    let mut words: Vec<&str> = panic.chain(error).collect();
    words.extend(kept.map(Path::new).and_then(Path::to_str));
    words.join(" | ")
}

/// Returns the number of branches reached: the last `cov:`.
fn branches(said: &str) -> u64 {
    let last = said.rsplit("cov: ").next().and_then(|rest| rest.split(' ').next());
    last.and_then(|number| number.parse().ok()).unwrap_or(0)
}
