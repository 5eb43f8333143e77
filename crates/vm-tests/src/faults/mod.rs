//! `cargo xtask faults`: each fault at each step of a release, on emulated drives.

mod case;
mod checks;
mod expected;
mod fault;
mod fixture;
mod matrix;
mod step;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::test_context::TestContext;
use crate::vm::run;
use unmoor_rig::drives::{CD, Drive, STICK};
use unmoor_rig::guest::Hung;
use unmoor_rig::machine::{Hardware, Machine, Rig};
use xtask::{build, packages, setup};

use expected::{Expected, expected};
use fault::Fault;
use fixture::Fixture;
use matrix::{Matrix, Verdict};
use step::Step;

#[derive(clap::Args)]
pub struct Options {
    /// Only the cases whose name (`step.fault`) contains this; several, with commas between
    filter: Option<String>,
    /// Print the cases' names and stop
    #[arg(long)]
    list: bool,
    /// Test this program instead of the one built here, to see cases fail on a broken one
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Only the cases that were not green the last time; the table keeps the results of the others
    #[arg(long)]
    again: bool,
}

/// Machine of all cases; `scsi_debug` creates its drives in the guest.
static MACHINE: Hardware =
    Hardware { name: "faults", memory_mb: 1024, drives: &[&CD, &STICK], shared: true };

/// Timeout of a case. Some take half a minute where the drive is silent.
const DEADLINE: Duration = Duration::from_secs(240);

pub fn command(options: &Options) -> Result<ExitCode> {
    let chosen = chosen(options.filter.as_deref().unwrap_or_default());
    if options.list {
        for (step, fault) in &chosen {
            println!("{:28} {}", name(*step, *fault), expected(*step, *fault));
        }
        return Ok(ExitCode::SUCCESS);
    }
    setup::ensure(&[&packages::VM])?;
    let binary = match &options.binary {
        Some(path) => path.clone(),
        None => build::packaged()?,
    };
    let rig = Rig::prepare(&binary)?;
    let before = if options.again { Matrix::read(&record()) } else { Matrix::default() };
    let matrix = all(&rig, &chosen, before);
    println!("\n{matrix}");
    Ok(if matrix.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns a case's name, for example `flush.io-error`.
fn name(step: Step, fault: Fault) -> String {
    format!("{}.{}", step.name(), fault.name())
}

fn chosen(filter: &str) -> Vec<(Step, Fault)> {
    let cells = Fault::ALL.iter().flat_map(|fault| Step::ALL.iter().map(|step| (*step, *fault)));
    cells
        .filter(|(step, fault)| filter.split(',').any(|part| name(*step, *fault).contains(part)))
        .collect()
}

fn logs() -> PathBuf {
    xtask::paths::rig().join("faults-log")
}

/// Returns the path of the results of the last run.
fn record() -> PathBuf {
    logs().join("verdicts")
}

/// Runs the cases one after another, a column at a time, since neighbours need the same drive.
fn all(rig: &Rig, cells: &[(Step, Fault)], mut matrix: Matrix) -> Matrix {
    let _ = fs::create_dir_all(logs());
    let mut machine: Option<Machine> = None;
    for (step, fault) in cells {
        if matrix.is_green(*step, *fault) {
            continue;
        }
        let name = name(*step, *fault);
        let start = Instant::now();
        let (verdict, transcript) = match expected(*step, *fault) {
            Expected::Cannot(why) => (Verdict::Exception(why.to_owned()), String::new()),
            Expected::Ends(end) => one(rig, &mut machine, Fixture::drives(*step, *fault), |ctx| {
                case::run(ctx, *step, *fault, &end)
            }),
        };
        println!(
            "{verdict:9} {name:28} {:5.1} s  {}",
            start.elapsed().as_secs_f32(),
            verdict.why()
        );
        let _ = fs::write(logs().join(format!("{name}.log")), transcript);
        matrix.add(*step, *fault, verdict);
        // After each: a run may be broken off.
        let _ = fs::write(record(), matrix.lines());
    }
    matrix
}

fn one(
    rig: &Rig,
    slot: &mut Option<Machine>,
    drives: &[&Drive],
    run: impl FnOnce(&mut TestContext) -> Result<String>,
) -> (Verdict, String) {
    let mut machine = match run::prepared(rig, &MACHINE, drives, slot.take()) {
        Ok(machine) => machine,
        Err(error) => return (Verdict::Red(format!("not prepared: {error:#}")), String::new()),
    };
    let mut ctx = TestContext::new(&mut machine, Instant::now() + DEADLINE);
    let result = run(&mut ctx);
    let mut transcript = ctx.transcript();
    match result {
        Ok(seen) => {
            *slot = Some(machine);
            (Verdict::Green(seen), transcript)
        }
        Err(error) => {
            transcript.push_str(&format!("RED: {error:#}\n{}", machine.console()));
            if !error.is::<Hung>() {
                *slot = Some(machine);
            }
            (Verdict::Red(format!("{error:#}")), transcript)
        }
    }
}
