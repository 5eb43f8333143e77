//! `cargo xtask ci`: everything that must pass before a change lands, as a table of steps.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{process, setup, windows};

#[derive(clap::Args)]
pub struct Options {
    /// Only the steps whose name contains this
    filter: Option<String>,
    /// Run the thorough form of each step: every VM test, the whole fault matrix, 100 soak cycles
    #[arg(long)]
    full: bool,
}

/// One step of [`STEPS`].
struct Step {
    name: &'static str,
    /// `None` for a step of `--full` alone.
    run: Option<Run>,
    /// Thorough form of the step, for `--full`.
    full: Option<Run>,
    /// True if the other steps need this one.
    needed: bool,
}

enum Run {
    /// Function of this program.
    Call(fn() -> Result<()>),
    /// Arguments of cargo.
    Cargo(&'static [&'static str]),
    /// Arguments and environment variables of cargo.
    CargoWith(&'static [&'static str], &'static [(&'static str, &'static str)]),
}

use Run::{Call, Cargo, CargoWith};

const fn step(name: &'static str, run: Run) -> Step {
    Step { name, run: Some(run), full: None, needed: false }
}

const fn full_step(name: &'static str, run: Run) -> Step {
    Step { name, run: None, full: Some(run), needed: false }
}

const TESTS: &[&str] =
    &["test", "--workspace", "--all-features", "--no-fail-fast", "--", "--include-ignored"];

const STEPS: &[Step] = &[
    Step { needed: true, ..step("setup", Call(setup::everything)) },
    step("format", Cargo(&["fmt", "--all", "--check"])),
    step("structure", Cargo(&["xtask", "structure"])),
    step("prose", Cargo(&["xtask", "prose"])),
    step(
        "lints",
        Cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ]),
    ),
    // Without the features that the other packages of the workspace turn on; `debian` builds the command alone.
    step("alone", Cargo(&["clippy", "--package", "unmoor", "--", "-D", "warnings"])),
    // Without D-Bus and the picker; the thorough form runs the tests without root.
    Step {
        full: Some(Cargo(&[
            "test",
            "--package",
            "unmoor-cli",
            "--no-default-features",
            "--test",
            "loop_devices",
            "unprivileged",
        ])),
        ..step(
            "features",
            Cargo(&["clippy", "-p", "unmoor-cli", "--no-default-features", "--", "-D", "warnings"]),
        )
    },
    step(
        "documentation",
        CargoWith(
            &["doc", "--workspace", "--all-features", "--no-deps"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
    ),
    // Some tests install the package.
    step("debian", Cargo(&["xtask", "package"])),
    full_step("size", Cargo(&["xtask", "size"])),
    full_step("file-managers", Cargo(&["xtask", "file-managers"])),
    full_step("release", Cargo(&["xtask", "release"])),
    Step {
        full: Some(CargoWith(TESTS, &[("PROPTEST_CASES", "3000")])),
        ..step("tests", Cargo(TESTS))
    },
    // The three published crates as a registry gets them; the thorough form builds each from its package.
    Step {
        full: Some(Cargo(&["package"])),
        ..step("crates", Cargo(&["package", "--no-verify", "--quiet"]))
    },
    Step { full: Some(Call(windows::print_programs)), ..step("windows", Call(windows::build_64)) },
    Step { full: Some(Call(windows::lints)), ..step("windows-lints", Call(windows::lints_64)) },
    step("wine", Cargo(&["xtask", "wine"])),
    Step {
        full: Some(Cargo(&["run", "--quiet", "--package", "windows-rig"])),
        ..step(
            "windows-rig",
            Cargo(&["run", "--quiet", "--package", "windows-rig", "--", "recipe/"]),
        )
    },
    Step {
        full: Some(Cargo(&["xtask", "soak", "--cycles", "100", "--machines", "2"])),
        ..step("soak", Cargo(&["xtask", "soak", "--cycles", "6", "--machines", "2"]))
    },
    // By default every fault once, and every step at least once.
    Step {
        full: Some(Cargo(&["xtask", "faults"])),
        ..step(
            "faults",
            Cargo(&[
                "xtask",
                "faults",
                "resolve.timeout,dismount.io-error,lock.no-medium,flush.removed,dismount.yanked,\
                 flush.sigint,eject.sigterm,dismount.sigkill,resolve.no-fds,unlock.run-full,\
                 eject.sys-ro,verify.sigkill,eject.no-read,lock.bystander",
            ]),
        )
    },
    Step {
        full: Some(Cargo(&["xtask", "vm", "--machines", "2"])),
        ..step("vm", Cargo(&["xtask", "vm", "--quick", "--machines", "2"]))
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
        let thorough = step.full.as_ref().filter(|_| options.full);
        let Some(run) = thorough.or(step.run.as_ref()) else { continue };
        println!("\n=== {} ===", step.name);
        let begun = Instant::now();
        let result = match run {
            Call(function) => function(),
            Cargo(words) => cargo(words, &[]),
            CargoWith(words, variables) => cargo(words, variables),
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
