//! Runs the unchanged `unmoor.exe` under Wine against the documented rules of Windows.
//!
//! A kernel driver (`driver/`) models disks, volumes and device nodes after a scenario. A DLL
//! (`interpose/`) replaces functions in the program's import table, so that volume names, device nodes
//! and the file system's controls come from the driver. The program's file is not changed. Each test of
//! [`tests::all`] names a promise, a scenario, a command line, and what must come out of it.

mod outcome;
mod scenarios;
mod test;
mod tests;
mod wine;

pub use outcome::Outcome;
pub use test::Test;
pub use tests::all;
pub use wine::Rig;

use anyhow::Result;
use std::path::Path;

/// Runs the tests whose id contains `filter`, and prints one line for each.
///
/// # Errors
/// When the rig itself cannot be built or started.
pub fn run(
    program: &Path,
    target: &Path,
    filter: &str,
    show: bool,
) -> Result<Vec<(Test, Outcome)>> {
    let rig = Rig::start(target)?;
    let mut outcomes = Vec::new();
    for test in all() {
        if !test.id.contains(filter) {
            continue;
        }
        let outcome = rig.run(program, &test).or_else(|error| {
            println!("{error:#}: once more, with a new start of Wine");
            rig.boot()?;
            rig.run(program, &test)
        })?;
        println!("{}  {:5.1} s  {}: {}", outcome.word(), outcome.seconds, test.id, test.promise);
        for fault in &outcome.faults {
            println!("      {fault}");
        }
        if show {
            println!("{}", outcome.transcript());
        }
        outcomes.push((test, outcome));
    }
    Ok(outcomes)
}
