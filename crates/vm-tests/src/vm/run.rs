//! Runs the tests on as few boots as possible, with the machine restored between two tests.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::test_context::TestContext;
use crate::vm::test_case::{Skip, Test};
use unmoor_rig::drives::Drive;
use unmoor_rig::guest::Hung;
use unmoor_rig::machine::{Hardware, Machine, Rig};

/// Timeout of a test; none takes a tenth of it.
const DEADLINE: Duration = Duration::from_secs(300);

/// Timeout for the guest to detect all media.
const PREPARATION: Duration = Duration::from_secs(150);

/// Number of lines of a failure that are printed; the log has all.
const LINES: usize = 12;

/// Number of tests in a row without a usable machine, after which the rest fails at once.
const BOOTS: usize = 3;

enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

#[derive(Default)]
pub struct Summary {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Summary {
    /// Returns true if tests passed and none failed.
    pub fn good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

/// Runs the tests and prints a line for each, then the totals.
pub fn all(rig: &Rig, tests: &[&Test]) -> Summary {
    let logs = xtask::paths::rig().join("log");
    let _ = fs::remove_dir_all(&logs);
    let _ = fs::create_dir_all(&logs);
    let mut summary = Summary::default();
    let mut failures = Vec::new();
    let mut machine: Option<Machine> = None;
    let mut current = "";
    let mut failed_boots = 0;
    for test in grouped(tests) {
        if current != test.machine.name || !test.machine.shared {
            machine = None;
        }
        current = test.machine.name;
        let start = Instant::now();
        let (verdict, transcript) = if failed_boots < BOOTS {
            one(rig, test, &mut machine)
        } else {
            (Verdict::Failed("no machine boots any more".to_owned()), String::new())
        };
        failed_boots = if machine.is_some() { 0 } else { failed_boots + 1 };
        let seconds = start.elapsed().as_secs_f32();
        let log = logs.join(format!("{}.log", test.name));
        let word = match &verdict {
            Verdict::Passed => "pass",
            Verdict::Failed(_) => "FAIL",
            Verdict::Skipped(_) => "skip",
        };
        println!("{word}  {:32} {seconds:5.1} s  {}", test.name, test.promise);
        let mut text = transcript;
        match verdict {
            Verdict::Passed => summary.passed += 1,
            Verdict::Skipped(why) => {
                println!("      {why}");
                summary.skipped += 1;
            }
            Verdict::Failed(why) => {
                summary.failed += 1;
                text.push_str(&format!("FAILED: {why}\n"));
                for line in why.lines().take(LINES) {
                    println!("      {line}");
                }
                if why.lines().nth(LINES).is_some() {
                    println!("      …");
                }
                println!("      see {}", log.display());
                failures.push(test.name);
            }
        }
        let _ = fs::write(log, text);
    }
    if !failures.is_empty() {
        println!("failed: {}", failures.join(" "));
    }
    println!("{} passed, {} failed, {} skipped", summary.passed, summary.failed, summary.skipped);
    summary
}

/// Returns the tests sorted by machine, otherwise in the order given.
fn grouped<'a>(tests: &[&'a Test]) -> Vec<&'a Test> {
    let mut order = tests.to_vec();
    order.sort_by_key(|test| test.machine.name);
    order
}

fn one(rig: &Rig, test: &Test, slot: &mut Option<Machine>) -> (Verdict, String) {
    let mut machine = match prepared(rig, test.machine, test.drives, slot.take()) {
        Ok(machine) => machine,
        Err(error) => {
            return (Verdict::Failed(format!("not prepared: {error:#}")), String::new());
        }
    };
    let mut ctx = TestContext::new(&mut machine, Instant::now() + DEADLINE);
    let result = (test.run)(&mut ctx);
    let mut transcript = ctx.transcript();
    let verdict = match result {
        Ok(()) => Verdict::Passed,
        Err(error) if error.is::<Skip>() => Verdict::Skipped(format!("{error:#}")),
        Err(error) => {
            transcript.push_str(&machine.console());
            if error.is::<Hung>() {
                return (Verdict::Failed(format!("{error:#}")), transcript);
            }
            Verdict::Failed(format!("{error:#}"))
        }
    };
    *slot = Some(machine);
    (verdict, transcript)
}

/// Returns the machine with these drives unmodified: the current one after a reset, or a new one if the reset
/// fails.
pub fn prepared(
    rig: &Rig,
    hardware: &'static Hardware,
    drives: &[&Drive],
    machine: Option<Machine>,
) -> Result<Machine> {
    if let Some(mut machine) = machine {
        match ready(&mut machine, drives) {
            Ok(()) => return Ok(machine),
            Err(error) => println!("      booting anew: {error:#}"),
        }
    }
    match booted(rig, hardware) {
        Ok(machine) => Ok(machine),
        Err(error) => {
            println!("      booting anew: {error:#}");
            booted(rig, hardware)
        }
    }
}

/// Boots a machine and waits until the guest has detected all drives. Changing media during detection has
/// made a guest hang.
fn booted(rig: &Rig, hardware: &'static Hardware) -> Result<Machine> {
    let mut machine = rig.boot(hardware)?;
    TestContext::new(&mut machine, Instant::now() + PREPARATION)
        .await_media(hardware.drives)
        .context("right after boot")?;
    Ok(machine)
}

fn ready(machine: &mut Machine, drives: &[&Drive]) -> Result<()> {
    machine.guest.reset()?;
    for drive in drives {
        if drive.hotplug && machine.guest.find(drive.sysfs_parts)?.is_none() {
            // Powered off by the guest it is still in its socket; yanked by a test it is not.
            let _ = machine.yank(drive);
            machine.plug(drive)?;
        } else if machine.guest.find(drive.sysfs_parts)?.is_none() {
            anyhow::bail!("the guest powered {} off, and it cannot be plugged in again", drive.id);
        } else {
            machine.insert(drive)?;
        }
    }
    TestContext::new(machine, Instant::now() + PREPARATION).await_media(drives)
}
