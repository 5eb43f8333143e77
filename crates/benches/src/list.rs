//! `cargo xtask bench list`: listing the drives of a machine that has 1, 20 and 200 loop devices.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cost::{Runs, in_turn, system_calls};
use crate::loop_control::Existing;
use crate::measure::measure;
use crate::table;
use xtask::build;
use xtask::process::{program, run};

const DEVICE_COUNTS: [usize; 3] = [1, 20, 200];

pub fn command(binary: &Path, rounds: usize) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("\nThe list is left out: attaching loop devices needs root.");
        return Ok(());
    }
    let dynamic = crate::installed::copy(&build::dynamic()?, "unmoor-dynamic")?;
    let binaries = [binary.to_string_lossy(), dynamic.to_string_lossy()];
    let binaries = binaries.each_ref().map(|binary| &**binary);
    DEVICE_COUNTS.into_iter().try_for_each(|count| compare(binaries, count, rounds))
}

fn compare(binaries: [&str; 2], count: usize, rounds: usize) -> Result<()> {
    let devices = Devices::attach(count)?;
    // With labels and file systems, which unmoor shows too, lsblk has to read each device.
    let programs: [(&str, &[&str]); 4] = [
        ("unmoor list --all", &[binaries[0], "list", "--all", "--json"]),
        ("unmoor list --all, dynamic", &[binaries[1], "list", "--all", "--json"]),
        ("lsblk -f", &["lsblk", "--json", "-f"]),
        ("lsblk", &["lsblk", "--json"]),
    ];
    for (name, words) in &programs {
        let answer = run(program(words[0]).args(&words[1..]))?;
        let names = names(&serde_json::from_str(&answer).with_context(|| (*name).to_owned())?);
        let missing: Vec<_> = devices.names().filter(|one| !names.contains(one)).collect();
        ensure!(missing.is_empty(), "{name} does not list {missing:?}");
    }
    let mut all: Vec<Runs> = programs.iter().map(|(name, _)| Runs::new(name)).collect();
    let calls = devices.directory.join("calls");
    for ((_, words), runs) in programs.iter().zip(&mut all) {
        run(program("strace").args(["-f", "-c", "-o"]).arg(&calls).args(*words))?;
        runs.system_calls = system_calls(&fs::read_to_string(&calls)?);
    }
    in_turn(&mut all, |_| rounds, |at| measure(programs[at].1))?;
    table::print(&format!("list: {count} loop devices with an ext4 each"), &all);
    Ok(())
}

/// Returns the names of all drives in either program's document.
fn names(document: &Value) -> BTreeSet<String> {
    let lists = [&document["drives"], &document["blockdevices"]];
    lists
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|drive| drive["name"].as_str().map(str::to_owned))
        .collect()
}

/// Loop devices that are detached on drop, and removed if they did not exist before.
struct Devices {
    directory: std::path::PathBuf,
    nodes: Vec<String>,
    existing: Existing,
}

impl Devices {
    fn attach(count: usize) -> Result<Self> {
        let directory = xtask::paths::rig().join("bench-list");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let mut devices = Self { directory, nodes: Vec::new(), existing: Existing::read()? };
        let template = devices.directory.join("template.img");
        fs::File::create(&template)?.set_len(1 << 20)?;
        run(program("mkfs.ext4").args(["-q", "-L", "LISTED"]).arg(&template))?;
        for number in 0..count {
            let image = devices.directory.join(format!("{number}.img"));
            run(Command::new("cp").arg("--sparse=always").arg(&template).arg(&image))?;
            let node = run(program("losetup").args(["--find", "--show"]).arg(&image))?;
            devices.nodes.push(node.trim().to_owned());
        }
        Ok(devices)
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.nodes.iter().map(|node| node.replace("/dev/", ""))
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        for node in &self.nodes {
            let _ = run(program("losetup").args(["--detach", node]));
            self.existing.remove_new(node);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}
