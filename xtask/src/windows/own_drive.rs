//! `unmoor.exe` on the drive that it is to release, in Wine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::prefix::Prefix;
use crate::process::{self, finish};

/// Runs the checks and returns the number of failures. `folder` is the directory behind `E:`.
pub fn checks(prefix: &Prefix, program: &Path, folder: &Path) -> Result<u32> {
    let here = folder.join("unmoor.exe");
    fs::copy(program, &here)?;
    let results = [
        (
            "a program on the drive: an administrator's copy is not in the temporary folder",
            not_in_temporary_folder(prefix, folder),
        ),
        ("a program on the drive: a copy answers for it and leaves no trace", copied(prefix)),
    ];
    for (promise, result) in &results {
        println!("{}  {promise}", if result.is_ok() { "pass" } else { "FAIL" });
        if let Err(error) = result {
            println!("      {error:#}");
        }
    }
    fs::remove_file(here)?;
    Ok(results.iter().map(|(_, result)| u32::from(result.is_err())).sum())
}

/// Wine's user is an administrator, whose copy does not lie in the temporary folder.
fn not_in_temporary_folder(prefix: &Prefix, folder: &Path) -> Result<()> {
    // Wine does not take these two from the environment that it is started with.
    let line = r"set TMP=E:\&& set TEMP=E:\&& E:\unmoor.exe eject \ --dismount-only --json";
    let (code, out, err) = finish(prefix.wine().args(["cmd", "/c", line]))?;
    let shown = format!("exit code {code}\n{out}{err}");
    ensure!(out.contains(r#""\\\\.\\E:""#), "{shown}");
    let left = fs::read_dir(folder)?.filter_map(Result::ok);
    let copies = left.filter(|e| e.file_name().to_string_lossy().starts_with("unmoor-copy"));
    ensure!(copies.count() == 0, "a copy was made: {shown}");
    Ok(())
}

fn copied(prefix: &Prefix) -> Result<()> {
    let words = ["E:\\unmoor.exe", "eject", r"\", "--dismount-only", "--json"];
    let (code, out, err) = finish(prefix.wine().args(words))?;
    let shown = format!("exit code {code}\n{out}{err}");
    // `\` is the drive of the program that was started: the copy is told which that is.
    ensure!(out.contains(r#""\\\\.\\E:""#), "{shown}");
    unmoor_contract::check(&out, Some(code)).map_err(|f| anyhow::anyhow!("{f:?}: {shown}"))?;
    let mut find = Command::new("find");
    let left = process::run(find.arg(prefix.directory()).args(["-iname", "unmoor-copy*"]))?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}
