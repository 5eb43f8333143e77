//! `cargo xtask wine`: runs the tests as a Windows program, and the command itself.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};

use super::prefix::{Prefix, WINE, windows_path};
use super::toolchain::Bits;
use super::{held, own_drive};
use crate::process;

#[derive(clap::Args)]
pub struct Options {
    /// The command only, not the libraries' tests
    #[arg(long)]
    command_only: bool,
}

/// Runs a program in Wine, and once more if Wine ends with 1 before the program has printed anything.
///
/// That was seen of a program whose `main` is empty, right after one that had left a thread behind.
const START: &str = "out=$(mktemp); trap 'rm -f $out' EXIT; set -o pipefail; $0 \"$@\" | tee $out; code=$?; \
                     if [ $code = 1 ] && [ ! -s $out ]; then echo 'Wine did not start it: once more' >&2; \
                     $0 \"$@\"; code=$?; fi; exit $code";

pub fn command(options: &Options) -> Result<ExitCode> {
    let toolchain = super::toolchain(Bits::SixtyFour)?;
    let prefix = Prefix::ensure()?;
    let _server = prefix.stay()?;
    if !options.command_only {
        let mut tests = toolchain.cargo("test");
        tests.args(["--package", "unmoor", "--package", "unmoor-cli", "--no-fail-fast"]);
        let runner =
            format!("target.{}.runner={:?}", toolchain.target(), ["bash", "-c", START, WINE]);
        tests.args(["--config", &runner]);
        tests.envs(prefix.environment()).stdin(Stdio::null());
        // The rules ran on Linux, with more cases; here they prove that the build for Windows keeps them.
        tests.env("PROPTEST_CASES", env::var("PROPTEST_CASES").unwrap_or_else(|_| "60".to_owned()));
        process::run_visibly(&mut tests)?;
    }
    let program = super::build_for_tests()?;
    let holder = super::build_holder()?;
    let failures = checks(&prefix, &program, &holder)?;
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One promise of the command.
struct Check {
    promise: &'static str,
    words: Vec<String>,
    /// Accepted exit codes.
    codes: &'static [i32],
    /// Text that it must print, on either stream.
    says: &'static str,
}

fn check(
    promise: &'static str,
    words: &[&str],
    codes: &'static [i32],
    says: &'static str,
) -> Check {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Check { promise, words, codes, says }
}

fn all() -> Vec<Check> {
    let nonsense = r"Ω\\?*<>|".repeat(40).chars().take(300).collect::<String>();
    vec![
        check("list prints the document", &["list", "--json"], &[0], "\"drives\""),
        check("list --all shows the drive of Windows", &["list", "--all"], &[0], "Windows"),
        check("status tells a letter's drive", &["status", "C:"], &[0], "C:"),
        check("so does its letter alone", &["status", "c"], &[0], "C:"),
        check("so does a path on it", &["status", r"C:\windows\system32"], &[0], "C:"),
        check("and a name with \\\\.\\", &["status", r"\\.\C:"], &[0], "C:"),
        check(". is the current directory's drive", &["status", "."], &[0], ""),
        check("\\ is the program's drive", &["status", r"\"], &[0], ""),
        check("an unused letter: 6", &["eject", "Q:"], &[6], "no such"),
        check("an unknown label: 6", &["eject", "LABEL=missing"], &[6], "no such"),
        check("an unknown device: 6", &["eject", "PhysicalDrive77"], &[6], "no such"),
        check("an unknown kernel name: 6", &["eject", r"\Device\Missing7"], &[6], "no such"),
        check("the drive of Windows is refused", &["eject", "C:"], &[1], "running system"),
        check("also by force", &["eject", "--force", "C:"], &[1], "running system"),
        check("also in JSON", &["eject", "C:", "--json"], &[1], "\"refused\""),
        check("an empty name: 2", &["eject", ""], &[2], ""),
        check("300 characters of nonsense: 2 or 6", &["eject", &nonsense], &[2, 6], ""),
        check("a plan touches nothing", &["eject", "--dry-run", "E:"], &[0], "nothing was touched"),
        check("a simulated stick is released", &["eject", "sim:stick"], &[0], "released"),
        check("in JSON too", &["eject", "sim:stick", "--json"], &[0], "\"released\""),
        check("the demonstration runs", &["demo", "--simulated"], &[0], ""),
        check("remount without a drive: 6", &["remount", "Q:"], &[6], "no such"),
        check("help is help", &["--help"], &[0], "Exit codes"),
    ]
}

fn checks(prefix: &Prefix, program: &Path, holder: &Path) -> Result<u32> {
    let folder = crate::paths::rig().join("wine-letter");
    fs::create_dir_all(&folder)?;
    prefix.letter("e:", &folder)?;
    // The server reads the letters when it starts.
    let _server = prefix.stay()?;
    let mut failures = 0;
    for check in all() {
        let start = Instant::now();
        let result = run(prefix, program, &check);
        let word = if result.is_ok() { "pass" } else { "FAIL" };
        println!("{word}  {:5.1} s  {}", start.elapsed().as_secs_f32(), check.promise);
        if let Err(error) = result {
            println!("      {error:#}");
            failures += 1;
        }
    }
    failures += held::checks(prefix, program, holder, &folder)?;
    failures += own_drive::checks(prefix, program, &folder)?;
    prefix.forget("e:");
    println!("{failures} of the command's checks in Wine failed");
    Ok(failures)
}

fn run(prefix: &Prefix, program: &Path, check: &Check) -> Result<()> {
    let mut wine = prefix.wine();
    wine.arg(windows_path(program)).args(&check.words);
    let (code, out, err) = process::finish(&mut wine)?;
    let shown = format!("exit code {code}\n{out}{err}");
    ensure!(check.codes.contains(&code), "{shown}");
    ensure!(!err.contains("panicked") && !out.contains("panicked"), "{shown}");
    let strange = |c: char| c.is_control() && c != '\n' && c != '\r';
    ensure!(!out.contains(strange) && !err.contains(strange), "control characters: {shown:?}");
    if check.words.iter().any(|word| word == "--json") {
        unmoor_contract::check(&out, Some(code)).map_err(|faults| {
            anyhow::anyhow!("not the document that was promised: {}\n{shown}", faults.join("; "))
        })?;
        ensure!(err.is_empty(), "words beside the document: {err}");
    }
    ensure!(out.contains(check.says) || err.contains(check.says), "{shown}");
    Ok(())
}
