//! `who` in Wine: a program uses a drive letter, and `unmoor.exe who --json` must name it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::prefix::{Prefix, windows_path};
use crate::process::finish;

/// Timeout for a program to start in Wine on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Usage of the letter, and the expected blocker.
struct Case {
    promise: &'static str,
    /// Arguments of the program that uses the letter.
    holds: &'static [&'static str],
    /// True if the program runs from the letter itself.
    from_letter: bool,
    kind: &'static str,
    path: &'static str,
    writing: bool,
}

const fn case(
    promise: &'static str,
    holds: &'static [&'static str],
    kind: &'static str,
    path: &'static str,
) -> Case {
    Case { promise, holds, from_letter: false, kind, path, writing: false }
}

const CASES: &[Case] = &[
    Case {
        writing: true,
        ..case(
            "who: a file open for writing",
            &["write", r"E:\held.txt"],
            "open-for-writing",
            r"E:\held.txt",
        )
    },
    case("who: a file open", &["read", r"E:\letter.txt"], "open-file", r"E:\letter.txt"),
    case("who: a directory open", &["directory", r"E:\folder"], "directory", r"E:\folder"),
    case("who: a current directory", &["current", r"E:\folder"], "cwd", r"E:\folder"),
    case("who: a library loaded", &["library", r"E:\some.dll"], "mmap", r"E:\some.dll"),
    case("who: a file mapped", &["mapped", r"E:\letter.txt"], "mmap", r"E:\letter.txt"),
    Case {
        from_letter: true,
        ..case("who: a program that runs from it", &[], "exe", r"E:\hold.exe")
    },
    case(
        "who: a name that is no ASCII",
        &["read", "E:\\ändern – Ω.txt"],
        "open-file",
        "E:\\ändern – Ω.txt",
    ),
];

/// Runs all checks and returns the number of failures.
pub fn checks(prefix: &Prefix, unmoor: &Path, holder: &Path, folder: &Path) -> Result<u32> {
    fs::create_dir_all(folder.join("folder"))?;
    fs::copy(holder, folder.join("hold.exe"))?;
    fs::copy(holder, folder.join("some.dll"))?;
    for name in ["letter.txt", "ändern – Ω.txt"] {
        fs::write(folder.join(name), "dear reader\r\n")?;
    }
    let rig = Rig { prefix, unmoor, holder };
    let mut failures = 0;
    let mut report = |promise: &str, start: Instant, result: Result<()>| {
        let word = if result.is_ok() { "pass" } else { "FAIL" };
        println!("{word}  {:5.1} s  {promise}", start.elapsed().as_secs_f32());
        if let Err(error) = result {
            println!("      {error:#}");
            failures += 1;
        }
    };
    for case in CASES {
        report(case.promise, Instant::now(), rig.check(case));
    }
    report("who: nothing, when no program uses it", Instant::now(), rig.no_blocker(&[]));
    let elsewhere = &["write", r"C:\held.txt", "current", r"C:\windows"];
    report("who: no program that uses another drive", Instant::now(), rig.no_blocker(elsewhere));
    report("who: the shell that stands there, and not itself", Instant::now(), rig.itself());
    report("who: its command, run as printed, moves it", Instant::now(), rig.remedy());
    Ok(failures)
}

struct Rig<'a> {
    prefix: &'a Prefix,
    unmoor: &'a Path,
    holder: &'a Path,
}

impl Rig<'_> {
    fn check(&self, case: &Case) -> Result<()> {
        let program = match case.from_letter {
            true => r"E:\hold.exe".to_string(),
            false => windows_path(self.holder),
        };
        let held = self.hold(&program, case.holds)?;
        let target = self.who(3)?;
        ensure!(target["scan"]["complete"] == true, "{target}");
        let blockers = target["blockers"].as_array().context("no blockers")?;
        let [blocker] = blockers.as_slice() else { bail!("not one blocker: {target}") };
        ensure!(blocker["kind"] == "process", "{blocker}");
        let process = &blocker["process"];
        ensure!(process["pid"] == held.pid, "not {}: {blocker}", held.pid);
        ensure!(process["name"] == "hold.exe" && process["started"] != 0, "{blocker}");
        let user = process["user"].as_str().unwrap_or_default();
        ensure!(!user.is_empty(), "whose is it: {blocker}");
        let uses = blocker["uses"].as_array().context("no uses")?;
        let [used] = uses.as_slice() else { bail!("not one use: {blocker}") };
        ensure!(used["kind"] == case.kind && used["path"] == case.path, "{used}");
        ensure!(used["writing"] == case.writing && used["volume"] == "E:", "{used}");
        let open = ["open-for-writing", "open-file", "directory"].contains(&case.kind);
        ensure!(used["fd"].is_u64() == open, "{used}");
        Ok(())
    }

    /// Fails if anything blocks while the program uses this.
    fn no_blocker(&self, holds: &[&str]) -> Result<()> {
        let _held = self.hold(&windows_path(self.holder), holds)?;
        let target = self.who(0)?;
        ensure!(target["outcome"] == "done" && target["scan"]["complete"] == true, "{target}");
        Ok(())
    }

    /// Checks a shell on the drive, and the program that it started there.
    fn itself(&self) -> Result<()> {
        let folder = self.unmoor.parent().context("the program is in a folder")?;
        let mut wine = self.prefix.wine();
        wine.env("WINEPATH", windows_path(folder));
        let (code, out, err) = finish(wine.args(["cmd", "/c", "e: && unmoor who E: --json"]))?;
        ensure!(code == 3, "exit code {code}: {out}{err}");
        let target = document(&out, code)?;
        let blockers = target["blockers"].as_array().context("no blockers")?;
        let named = |name: &str| blockers.iter().find(|b| b["process"]["name"] == name);
        let shell = named("cmd.exe").with_context(|| format!("cmd.exe is not named: {target}"))?;
        ensure!(shell["uses"][0]["kind"] == "cwd", "{shell}");
        // The user types in it: it is not to be ended.
        ensure!(shell["command"].is_null() && shell["remedy"].is_string(), "{shell}");
        ensure!(named("unmoor.exe").is_none(), "it has left its current directory: {target}");
        Ok(())
    }

    fn remedy(&self) -> Result<()> {
        let mut held = self.hold(&windows_path(self.holder), &["write", r"E:\held.txt"])?;
        let target = self.who(3)?;
        let command = target["blockers"][0]["command"].as_str().context("no command")?;
        let mut wine = self.prefix.wine();
        let (code, out, err) = finish(wine.args(["cmd", "/c", command]))?;
        ensure!(code == 0, "{command}: exit code {code}: {out}{err}");
        held.child.wait()?;
        let target = self.who(0)?;
        ensure!(target["outcome"] == "done", "after {command}: {target}");
        Ok(())
    }

    /// Runs `who E: --json`, checks its exit code, and returns the report of the letter.
    fn who(&self, wanted: i32) -> Result<Value> {
        let mut wine = self.prefix.wine();
        let (code, out, err) =
            finish(wine.arg(windows_path(self.unmoor)).args(["who", "E:", "--json"]))?;
        ensure!(code == wanted, "exit code {code}, not {wanted}: {out}{err}");
        ensure!(err.is_empty(), "words beside the document: {err}");
        document(&out, code)
    }

    /// Starts the program and waits until it uses the letter.
    fn hold(&self, program: &str, what: &[&str]) -> Result<Held> {
        let mut wine: Command = self.prefix.wine();
        wine.arg(program).args(what);
        // Its current directory would be the one of whoever runs these checks: not on the letter.
        wine.current_dir(crate::paths::repository());
        let mut child = wine
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("the holder")?;
        let output = child.stdout.take().context("the holder's output")?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = sender.send(line);
        });
        let mut held = Held { child, pid: 0 };
        let line = receiver.recv_timeout(TIMEOUT).context("the holder says nothing")?;
        let pid = line.trim().strip_prefix("ready ").context("the holder could not hold it")?;
        held.pid = pid.parse()?;
        Ok(held)
    }
}

/// Program that uses the letter until this is dropped.
struct Held {
    child: Child,
    /// Its PID in Wine.
    pid: u32,
}

impl Drop for Held {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.child.stdin.take());
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
    }
}

/// Checks the document, as on Linux, and returns its one target.
fn document(out: &str, code: i32) -> Result<Value> {
    unmoor_contract::check(out, Some(code))
        .map_err(|faults| anyhow::anyhow!("{}: {out}", faults.join("; ")))?;
    let mut document: Value = serde_json::from_str(out)?;
    Ok(document["targets"][0].take())
}
