//! `cargo xtask bench eject`: a whole release of a mounted drive with unwritten data.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cost::{Cost, Runs, in_turn, system_calls};
use crate::measure::measure;
use crate::table;
use unmoor_rig::drives::{CD, Drive, STICK};
use unmoor_rig::machine::{Machine, Rig};
use unmoor_vm_tests::test_context::{TestContext, words};
use unmoor_vm_tests::vm::test_case::STANDARD;
use xtask::process::{program, run, run_visibly};

/// Name of the row with nothing but the system calls of an ejection.
const FLOOR: &str = "floor: the calls of an ejection alone";

const TIMEOUT: Duration = Duration::from_secs(600);

pub fn command(binary: &Path, rounds: usize) -> Result<()> {
    let mut machine = Rig::prepare(binary)?.boot(&STANDARD)?;
    for (drive, title) in
        [(&STICK, "USB stick, ext4 and vfat mounted, 2 MB unwritten on each"), (&CD, "CD, mounted")]
    {
        let runs = emulated(&mut machine, drive, rounds)?;
        table::print(&format!("eject: {title} (emulated machine)"), &runs);
    }
    drop(machine);
    if rustix::process::geteuid().is_root() {
        // In a mount namespace of its own: one that is made elsewhere meanwhile would take a copy of the
        // mount along, and the drive would be busy, rightly.
        let mut alone = program("unshare");
        alone.args(["--mount", "--"]).arg(std::env::current_exe()?).args(["loop"]);
        alone.arg("--rounds").arg(rounds.to_string()).arg("--binary").arg(binary);
        run_visibly(&mut alone)?;
    } else {
        println!("\nThe loop device is left out: mounting it needs root.");
    }
    table::print_size(binary)
}

fn emulated(machine: &mut Machine, drive: &Drive, rounds: usize) -> Result<Vec<Runs>> {
    let programs: [&[&str]; 3] = [&["unmoor", "eject"], &["eject"], &["$AGENT", "bare-eject"]];
    let mut all =
        vec![Runs::new("unmoor eject"), Runs::new("eject (util-linux)"), Runs::new(FLOOR)];
    for (words, runs) in programs.iter().zip(&mut all) {
        // The first run after the boot reads the kernel's types.
        run_once(machine, drive, words, Load::None)?;
        let strace: &[&str] = &["strace", "-f", "-c", "-o", "/tmp/calls"];
        run_once(machine, drive, &[strace, *words].concat(), Load::None)?;
        let mut ctx = TestContext::new(machine, Instant::now() + TIMEOUT);
        runs.system_calls = system_calls(&ctx.sh("cat /tmp/calls")?);
    }
    for load in [Load::None, Load::Computing] {
        for _ in 0..rounds {
            for (words, runs) in programs.iter().zip(&mut all) {
                let cost = run_once(machine, drive, words, load)?;
                if load == Load::None { runs.add(cost) } else { runs.add_busy(cost) }
            }
        }
    }
    Ok(all)
}

/// Other load of the emulated machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    None,
    /// One computing process for each processor.
    Computing,
}

/// Mounts and writes to a new medium, releases it once, and checks that it was released.
fn run_once(machine: &mut Machine, drive: &Drive, program: &[&str], load: Load) -> Result<Cost> {
    machine.guest.reset()?;
    machine.insert(drive)?;
    let mut ctx = TestContext::new(machine, Instant::now() + TIMEOUT);
    ctx.await_media(&[drive])?;
    let node = ctx.node(drive)?;
    if drive.id == STICK.id {
        for (number, directory) in [(1, "/mnt/one"), (2, "/mnt/two")] {
            let part = ctx.partition(drive, number)?;
            ctx.mount(&part, directory)?;
            ctx.sh(&format!("head -c 2000000 /dev/urandom >{directory}/data"))?;
        }
    } else {
        ctx.mount(&format!("-o ro {node}"), "/mnt/one")?;
    }
    let mark = ctx.machine.qmp.mark();
    let agent = ctx.sh("echo \"$AGENT\"")?;
    let program = program.iter().map(|word| if *word == "$AGENT" { &*agent } else { word });
    let program: Vec<&str> = program.collect();
    let all = [&[agent.as_str(), "measure"], &*program, &[node.as_str()]].concat();
    if load == Load::Computing {
        let each = "sh -c 'while :; do :; done' computing >/dev/null 2>&1 &";
        ctx.sh(&format!("for n in $(seq $(nproc)); do {each} done"))?;
    }
    let output = ctx.run(words(&all))?;
    ctx.sh("pkill -KILL -f '[c]omputing' || true")?;
    let cost: Cost = serde_json::from_str(&output.stdout).context(output.stderr)?;
    ensure!(cost.code == 0, "{program:?} exited with {}", cost.code);
    ctx.expect_tray(mark, drive, true)?;
    ctx.expect_mounted("/mnt/one", false)?;
    Ok(cost)
}

/// Compares with `umount -d`, since util-linux `eject` fails on a loop device after it dismounts.
pub fn loop_device(binary: &Path, rounds: usize) -> Result<()> {
    let directory = xtask::paths::rig().join("bench");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let binary = binary.to_string_lossy();
    let agent = std::env::current_exe()?;
    let agent = agent.to_string_lossy();
    let programs: [&[&str]; 3] =
        [&[&*binary, "eject"], &["umount", "-d"], &[&*agent, "bare-eject"]];
    let mut all = vec![Runs::new("unmoor eject"), Runs::new("umount -d"), Runs::new(FLOOR)];
    let calls = directory.join("calls");
    let calls = calls.to_string_lossy();
    for (words, runs) in programs.iter().zip(&mut all) {
        run_on_loop_device(&directory, &[&["strace", "-f", "-c", "-o", &*calls], *words].concat())?;
        runs.system_calls = system_calls(&std::fs::read_to_string(&*calls)?);
    }
    in_turn(&mut all, |_| rounds, |at| run_on_loop_device(&directory, programs[at]))?;
    table::print("eject: loop device, ext4 mounted, 2 MB unwritten", &all);
    Ok(())
}

fn run_on_loop_device(directory: &Path, words: &[&str]) -> Result<Cost> {
    let image = directory.join("loop.img");
    let point = directory.join("mount");
    std::fs::create_dir_all(&point)?;
    let _ = std::fs::remove_file(&image);
    std::fs::File::create(&image)?.set_len(32 << 20)?;
    run(program("mkfs.ext4").arg("-q").arg(&image))?;
    let attached = run(program("losetup").args(["--find", "--show"]).arg(&image))?;
    let node = attached.trim();
    run(program("mount").arg(node).arg(&point))?;
    std::fs::write(point.join("data"), vec![7; 2_000_000])?;
    let cost = measure(&[words, &[&*point.to_string_lossy()]].concat())?;
    let left = run(program("losetup").arg("--associated").arg(&image))?;
    if !left.is_empty() {
        let _ = run(program("umount").arg(&point));
        let _ = run(program("losetup").args(["--detach", node]));
    }
    ensure!(cost.code == 0 && left.is_empty(), "{words:?} exited with {}; {left}", cost.code);
    Ok(cost)
}
