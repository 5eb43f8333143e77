//! Measures one run of a program; as a hidden command, also inside the guest.

use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cost::Cost;
use crate::wait4;
use xtask::process::{program, run};

#[derive(clap::Args)]
pub struct Options {
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<String>,
}

pub fn command(options: &Options) -> Result<ExitCode> {
    println!("{}", serde_json::to_string(&here(&options.words)?)?);
    Ok(ExitCode::SUCCESS)
}

/// Runs a program once without its output, as the only child of a new process. A fork starts with its
/// parent's memory, which would count for the peak.
pub fn measure(words: &[&str]) -> Result<Cost> {
    let output = run(program(std::env::current_exe()?).arg("measure").args(words))?;
    Ok(serde_json::from_str(&output)?)
}

fn here(words: &[String]) -> Result<Cost> {
    let mut command = program(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let (status, usage) = wait4::run(&mut command).with_context(|| words.join(" "))?;
    let wall_us = u64::try_from(start.elapsed().as_micros())?;
    let code = status.code().unwrap_or(-1);
    Ok(Cost { code, wall_us, cpu_us: usage.cpu_us, peak_kib: usage.peak_kib })
}
