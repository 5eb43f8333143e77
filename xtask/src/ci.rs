//! `cargo xtask ci`: everything that must pass before a change lands, as a table of steps.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{process, setup, windows};

#[derive(clap::Args)]
pub struct Options {
    /// Only the steps whose name contains this
    filter: Option<String>,
}

/// One step of [`STEPS`].
struct Step {
    name: &'static str,
    what: What,
    /// True if the other steps need this one.
    needed: bool,
}

enum What {
    /// Function of this program.
    Call(fn() -> Result<()>),
    /// Arguments and environment variables of cargo.
    Cargo(&'static [&'static str], &'static [(&'static str, &'static str)]),
}

use What::{Call, Cargo};

const STEPS: &[Step] = &[
    Step { name: "setup", what: Call(setup::everything), needed: true },
    Step { name: "format", what: Cargo(&["fmt", "--all", "--check"], &[]), needed: false },
    Step {
        name: "lints",
        what: Cargo(
            &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"],
            &[],
        ),
        needed: false,
    },
    Step {
        name: "documentation",
        what: Cargo(
            &["doc", "--workspace", "--all-features", "--no-deps"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
        needed: false,
    },
    Step {
        name: "tests",
        what: Cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"], &[]),
        needed: false,
    },
    Step { name: "windows", what: Call(windows::build_all), needed: false },
    Step { name: "windows-lints", what: Call(windows::lints), needed: false },
    Step { name: "wine", what: Cargo(&["xtask", "wine"], &[]), needed: false },
    Step { name: "vm", what: Cargo(&["xtask", "vm"], &[]), needed: false },
    Step { name: "soak", what: Cargo(&["xtask", "soak", "--cycles", "6"], &[]), needed: false },
    // Every fault once, every step at least once; all of the matrix takes many minutes.
    Step {
        name: "faults",
        what: Cargo(
            &[
                "xtask",
                "faults",
                "resolve.timeout,dismount.io-error,lock.no-medium,flush.removed,dismount.yanked,\
                 flush.sigint,eject.sigterm,dismount.sigkill,resolve.no-fds,unlock.run-full,\
                 eject.sys-ro,verify.sigkill",
            ],
            &[],
        ),
        needed: false,
    },
];

struct Outcome {
    name: &'static str,
    result: Result<()>,
    time: Duration,
}

pub fn command(options: &Options) -> Result<ExitCode> {
    let filter = options.filter.as_deref().unwrap_or_default();
    let start = Instant::now();
    let mut outcomes = Vec::new();
    for step in STEPS.iter().filter(|step| step.name.contains(filter)) {
        println!("\n=== {} ===", step.name);
        let begun = Instant::now();
        let result = match &step.what {
            Call(function) => function(),
            Cargo(words, variables) => cargo(words, variables),
        };
        let time = begun.elapsed();
        if let Err(error) = &result {
            println!("{}: {error:#}", step.name);
        }
        let stop = result.is_err() && step.needed;
        outcomes.push(Outcome { name: step.name, result, time });
        if stop {
            println!("the rest needs {}: stopping here", step.name);
            break;
        }
    }
    println!("\n=== summary ===");
    for outcome in &outcomes {
        let word = if outcome.result.is_ok() { "ok  " } else { "FAIL" };
        println!("{word}  {:16} {:6.1} s", outcome.name, outcome.time.as_secs_f32());
    }
    let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    println!("all steps: {:.0} s", start.elapsed().as_secs_f32());
    let good = failed == 0 && !outcomes.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo(words: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let mut command = Command::new(process::cargo());
    command.args(words).envs(variables.iter().copied());
    command.current_dir(crate::paths::repository()).stdin(Stdio::null());
    process::run_visibly(&mut command)
}
