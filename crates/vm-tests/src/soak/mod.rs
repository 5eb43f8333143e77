//! `cargo xtask soak`: shows that nothing is lost.
//!
//! Each cycle writes to a random stack of file systems, releases the drive with random options, cuts the
//! power when the command returns, and counts the missing bytes. Results: docs/soak.md.

pub mod cycle;
pub mod file_system;
mod files;
mod mapping;
mod mutants;
mod random;
pub mod run;
mod stack;
mod summary;
pub mod writer;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::test_context::TestContext;
use unmoor_rig::drives::{CD, STICK};
use unmoor_rig::machine::{Hardware, Machine, Rig};
use xtask::{build, packages, paths, setup};

use cycle::Medium;
use summary::Summary;

#[derive(clap::Args)]
pub struct Options {
    /// Number of cycles
    #[arg(long, default_value_t = 20)]
    cycles: u64,
    /// Seed of the first medium; the others' are the numbers after it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of virtual machines that share the work
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    machines: u8,
    /// Soak a mutant, which must lose something
    #[arg(long, alias = "broken", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(mutants::names()))]
    mutant: Option<String>,
    /// Soak this program instead of the one built here
    #[arg(long, conflicts_with = "mutant")]
    binary: Option<PathBuf>,
}

/// Machines of the soak. Their controllers are used; the soak's drives are plugged in and unplugged.
pub static MACHINES: [Hardware; 2] = [machine("soak"), machine("soak-2")];

const fn machine(name: &'static str) -> Hardware {
    Hardware { name, memory_mb: 1024, drives: &[&CD, &STICK], shared: true }
}

pub fn command(options: &Options) -> Result<ExitCode> {
    setup::ensure(&[&packages::VM])?;
    let binary = match (&options.mutant, &options.binary) {
        (Some(name), _) => mutants::build(name)?,
        (None, Some(path)) => path.clone(),
        (None, None) => build::packaged()?,
    };
    let logs = paths::rig().join("log");
    std::fs::create_dir_all(&logs)?;
    let start = Instant::now();
    let soak = Soak {
        rig: Rig::prepare(&binary)?,
        cycles: options.cycles,
        logs,
        state: Mutex::new(State { summary: Summary::default(), seed: options.seed, begun: 0 }),
    };
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = MACHINES
            .iter()
            .take(options.machines.into())
            .map(|hardware| scope.spawn(|| soak.work(hardware)))
            .collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a machine's thread panicked"))??;
        }
        Ok(())
    })?;
    let summary = &soak.state().summary;
    let text = summary.text(start.elapsed());
    print!("{text}");
    std::fs::write(soak.logs.join("soak.txt"), text)?;
    let as_expected = summary.good() == options.mutant.is_none();
    if options.mutant.is_some() {
        println!(
            "{}",
            if as_expected {
                "the mutant lost something, as it must"
            } else {
                "the mutant lost NOTHING: the soak does not see it"
            }
        );
    }
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// State that the machines share.
struct Soak {
    rig: Rig,
    cycles: u64,
    logs: PathBuf,
    state: Mutex<State>,
}

struct State {
    summary: Summary,
    /// Seed of the next medium.
    seed: u64,
    /// Number of cycles that were run or are running.
    begun: u64,
}

impl Soak {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next medium, while cycles are left.
    fn next(&self) -> Option<Medium> {
        let mut state = self.state();
        let left = self.cycles.saturating_sub(state.begun);
        if left == 0 || state.summary.hopeless() {
            return None;
        }
        let mut medium = Medium::random(state.seed);
        medium.cycles.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        state.seed += 1;
        state.begun += medium.cycles.len() as u64;
        Some(medium)
    }

    /// Runs media on one machine until none is left.
    fn work(&self, hardware: &'static Hardware) -> Result<()> {
        let mut machine: Option<Machine> = None;
        while let Some(medium) = self.next() {
            let mut up = match machine.take() {
                Some(up) => up,
                None => self
                    .rig
                    .boot(hardware)
                    .or_else(|_| self.rig.boot(hardware))
                    .context("no machine boots")?,
            };
            if self.medium(&mut up, &medium)? {
                machine = Some(up);
            }
        }
        Ok(())
    }

    /// Runs all cycles of one medium. Returns false after a failure, since the guest's state is unknown then.
    fn medium(&self, up: &mut Machine, medium: &Medium) -> Result<bool> {
        let mut begun = Instant::now();
        let (mut good, mut count) = (true, 0);
        let mut ctx = TestContext::new(up, begun + run::DEADLINE);
        let lived = run::run_medium(&mut ctx, medium, &mut |cycle, outcome| {
            good = self.state().summary.add(medium, cycle, &outcome, begun.elapsed());
            begun = Instant::now();
            count += 1;
            good
        });
        let transcript = ctx.transcript();
        std::fs::write(self.logs.join(format!("soak.{}.log", medium.seed)), &transcript)?;
        // What was not carried out is made up for.
        self.state().begun -= medium.cycles.len() as u64 - count;
        if let Err(error) = &lived {
            self.state().summary.halted(medium, error);
        }
        if !good || lived.is_err() {
            let kept = run::keep(up, medium.seed, &transcript)?;
            println!("      again: cargo xtask soak --cycles 5 --seed {}", medium.seed);
            println!("      kept: {}", kept.display());
        }
        Ok(good && lived.is_ok())
    }
}
