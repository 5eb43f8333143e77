//! `cargo xtask bench who`: finds the one process among thousands that uses a drive, beside `fuser`, `lsof`
//! and `lsofrs`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cost::{Runs, in_turn};
use crate::floor;
use crate::measure::measure;
use crate::table;
use xtask::paths;
use xtask::process::{cargo, program, run};

const PROCESS_COUNTS: [usize; 4] = [50, 200, 2_000, 8_000];
const FILES: usize = 100;

/// Returns the number of rounds. `lsof` and `lsofrs` take tens of seconds with many processes, so fewer
/// rounds do.
fn rounds_of(name: &str, processes: usize, rounds: usize) -> usize {
    match (name, processes) {
        ("lsof" | "lsofrs", 4_000..) => rounds.min(1),
        ("lsof" | "lsofrs", _) => rounds.min(3),
        _ => rounds,
    }
}

/// Name of the row with the least that the kernel's own walk over the files costs.
const FLOOR: &str = "floor: an empty program for each open file";

/// Name of the row with the least that a program costs that asks for each descriptor through proc.
const FLOOR_WITHOUT_BPF: &str = "floor without BPF: each descriptor is listed, and asked for once";

/// Command prefix that drops the capabilities for BPF, so that the scan reads every descriptor.
const WITHOUT_BPF: [&str; 3] = ["setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin"];

pub fn command(binary: &Path, rounds: usize) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("\nThe search for blockers is left out: mounting a loop device needs root.");
        return Ok(());
    }
    let drive = LoopMount::new()?;
    let mut programs = vec![
        ("unmoor who", line(&[], &[&binary.to_string_lossy(), "who", "--json"])),
        ("fuser -m", line(&[], &["fuser", "-m"])),
        ("lsof", line(&[], &["lsof", "-t"])),
    ];
    match lsofrs() {
        Ok(lsofrs) => {
            // Its -t names every process, whatever was asked for; a FILE matches the whole path alone.
            let words = [&*lsofrs.to_string_lossy(), "-J", "--dir-recurse"];
            programs.push(("lsofrs", line(&[], &words)));
        }
        Err(error) => println!("\nlsofrs is left out: {error:#}"),
    }
    let words = [&*binary.to_string_lossy(), "who", "--json"];
    programs.push(("unmoor who, without BPF", line(&WITHOUT_BPF, &words)));
    let mount = drive.mount.to_string_lossy().into_owned();
    let agent = std::env::current_exe()?.to_string_lossy().into_owned();
    let floor = match floor::every_file_command() {
        Ok(words) => Some(words),
        Err(error) => {
            println!("\nThe floor is left out: {error:#}");
            None
        }
    };
    for processes in PROCESS_COUNTS {
        let _load = ProcessLoad::new(processes, &drive.directory)?;
        let holder = Holder::new(&drive.mount)?;
        let mut all = Vec::new();
        let mut words = Vec::new();
        for (name, program) in &programs {
            let mut line: Vec<&str> = program.iter().map(String::as_str).collect();
            line.push(&mount);
            let found = answer(&line)?;
            let right = BTreeSet::from([holder.0.id()]);
            ensure!(found == right, "{name} names {} processes where one is right", found.len());
            all.push(Runs::new(name));
            words.push(line);
        }
        all.push(Runs::new(FLOOR_WITHOUT_BPF));
        words.push(vec![&agent, "every-descriptor"]);
        if let Some(floor) = &floor {
            all.push(Runs::new(FLOOR));
            words.push(floor.iter().map(String::as_str).collect());
        }
        in_turn(&mut all, |name| rounds_of(name, processes, rounds), |at| measure(&words[at]))?;
        table::print(&format!("who: {processes} processes with {FILES} open files each"), &all);
    }
    Ok(())
}

fn line(before: &[&str], words: &[&str]) -> Vec<String> {
    before.iter().chain(words).map(|word| (*word).to_owned()).collect()
}

/// Returns the processes that a program names.
fn answer(words: &[&str]) -> Result<BTreeSet<u32>> {
    let output = program(words[0]).args(&words[1..]).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let pids = |list: &Value, pid: fn(&Value) -> Option<u64>| {
        let pids = list.as_array().into_iter().flatten().filter_map(pid);
        pids.filter_map(|pid| u32::try_from(pid).ok()).collect()
    };
    // A bare number is a document too, but nobody's.
    match serde_json::from_str::<Value>(&text) {
        Ok(document @ Value::Object(_)) => {
            let blockers = &document["targets"][0]["blockers"];
            return Ok(pids(blockers, |blocker| blocker["process"]["pid"].as_u64()));
        }
        Ok(list @ Value::Array(_)) => return Ok(pids(&list, |process| process["pid"].as_u64())),
        _ => {}
    }
    Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}

/// Installs lsofrs in the target folder, unless it is there.
fn lsofrs() -> Result<PathBuf> {
    let root = paths::target().join("bench");
    let installed = root.join("bin/lsofrs");
    if !installed.exists() {
        run(Command::new(cargo()).args(["install", "--quiet", "lsofrs", "--root"]).arg(&root))?;
    }
    Ok(installed)
}

/// File system on a loop device, unmounted and detached on drop.
struct LoopMount {
    directory: PathBuf,
    mount: PathBuf,
    node: String,
}

impl LoopMount {
    fn new() -> Result<Self> {
        let directory = paths::rig().join("bench-who");
        let _ = fs::remove_dir_all(&directory);
        let mount = directory.join("mount");
        fs::create_dir_all(&mount)?;
        let image = directory.join("image");
        File::create(&image)?.set_len(16 << 20)?;
        run(program("mkfs.ext4").arg("-q").arg(&image))?;
        let node = run(program("losetup").args(["--find", "--show"]).arg(&image))?;
        let mounted = Self { directory, mount, node: node.trim().to_owned() };
        run(program("mount").arg(&mounted.node).arg(&mounted.mount))?;
        Ok(mounted)
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        let _ = run(program("umount").arg(&self.mount));
        let _ = run(program("losetup").args(["--detach", &self.node]));
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Processes for the programs to search.
struct ProcessLoad(Child);

impl ProcessLoad {
    fn new(processes: usize, directory: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["process-load", &processes.to_string(), &FILES.to_string()])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        let out = child.stdout.take().context("standard output of the crowd")?;
        let load = Self(child);
        BufReader::new(out).read_line(&mut said)?;
        ensure!(said.trim() == "ready", "the crowd did not come together");
        Ok(load)
    }
}

impl Drop for ProcessLoad {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Process with an open file on the drive.
struct Holder(Child);

impl Holder {
    fn new(mount: &Path) -> Result<Self> {
        let file = File::create(mount.join("held"))?;
        Ok(Self(Command::new("sleep").arg("infinity").stdout(file).spawn()?))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
