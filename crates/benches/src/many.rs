//! `cargo xtask bench many`: 32 drives with a latency of a second, in one call.
//!
//! The same run measures one of them alone, and a shell loop of util-linux `eject`. The drives are loop devices on
//! this machine, and SCSI drives in the emulated one.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cost::{Cost, Runs};
use crate::slow_images::SlowImages;
use unmoor_rig::machine::{Hardware, Machine, Rig};
use unmoor_vm_tests::scsi_debug;
use unmoor_vm_tests::test_context::{TestContext, words};

/// Number of drives.
const DRIVE_COUNT: usize = 32;

/// Shell loop of util-linux `eject`. It runs once, since it takes up to twelve minutes.
const LOOP: &str = "for node in $NODES; do eject $node || exit; done";

/// Timeout of a run. The shell loop alone takes minutes.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// File in the guest with the output of a run.
const OUTPUT_FILE: &str = "/run/said";

/// Machine whose drives the guest's own kernel emulates.
static MACHINE: Hardware = Hardware { name: "many", memory_mb: 1536, drives: &[], shared: false };

/// Latency of the drives' commands.
struct Latency {
    title: &'static str,
    /// Delay in nanoseconds, for the driver's `ndelay`.
    ndelay: u32,
}

const LATENCIES: [Latency; 2] = [
    // The driver takes a second for START STOP UNIT whenever any delay is set (F_SSU_DELAY).
    Latency { title: "START STOP UNIT takes 1 s, all else nothing to speak of", ndelay: 20_000 },
    Latency { title: "every command takes 1 s", ndelay: 999_999_999 },
];

pub fn command(binary: &Path, rounds: usize) -> Result<()> {
    loop_devices(binary, rounds)?;
    let mut machine = Rig::prepare(binary)?.boot(&MACHINE)?;
    for latency in &LATENCIES {
        let mut one = Runs::new("unmoor eject, 1 drive");
        let mut all = Runs::new("unmoor eject, 32 drives");
        let mut each = Runs::new("for each of 32: eject");
        for round in 0..rounds {
            one.add(run_once(&mut machine, latency, 1, "unmoor eject $NODES")?);
            all.add(run_once(&mut machine, latency, DRIVE_COUNT, "unmoor eject $NODES")?);
            if round == 0 {
                each.add(run_once(&mut machine, latency, DRIVE_COUNT, LOOP)?);
            }
        }
        let drives = format!("{DRIVE_COUNT} scsi_debug drives, vfat mounted on each");
        print(&format!("{drives}; {}", latency.title), &[&one, &all, &each]);
    }
    Ok(())
}

/// Measures loop devices whose images take a second to write, on this machine's own processors.
fn loop_devices(binary: &Path, rounds: usize) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("\nThe loop devices are left out: mounting them needs root.");
        return Ok(());
    }
    let mut images = SlowImages::serve(DRIVE_COUNT)?;
    let binary = binary.to_string_lossy();
    let ours = [&*binary, "eject"];
    let mut one = Runs::new("unmoor eject, 1 drive");
    let mut all = Runs::new("unmoor eject, 32 drives");
    let mut floor = Runs::new("floor: 32 times umount -d, at once");
    let mut each = Runs::new("for each of 32: umount -d");
    for round in 0..rounds {
        one.add(images.measure(1, &ours)?);
        all.add(images.measure(DRIVE_COUNT, &ours)?);
        let at_once = ["sh", "-c", "for node; do umount -d $node & done; wait", "sh"];
        floor.add(images.measure(DRIVE_COUNT, &at_once)?);
        if round == 0 {
            let words = ["sh", "-c", "for node; do umount -d $node || exit; done", "sh"];
            each.add(images.measure(DRIVE_COUNT, &words)?);
        }
    }
    let title =
        format!("{DRIVE_COUNT} loop devices, ext4 mounted on each; 1 MB takes 1 s to write");
    print(&title, &[&one, &all, &floor, &each]);
    Ok(())
}

/// Prints a table. The first runs are those of one drive.
fn print(title: &str, all: &[&Runs]) {
    println!("\n### many: {title}\n");
    println!("| | runs | wall, s | user+system, s | peak memory, KiB | wall, times one drive |");
    println!("|---|---|---|---|---|---|");
    for runs in all {
        println!(
            "| {} | {} | {:.2} | {:.2} | {} | {:.2} |",
            runs.name,
            runs.count(),
            seconds(runs.wall_us()),
            seconds(runs.cpu_us()),
            runs.peak_kib(),
            runs.wall_us() as f64 / all[0].wall_us() as f64,
        );
    }
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// Mounts and writes to new drives, runs the script once, and checks that no mount is left.
fn run_once(machine: &mut Machine, latency: &Latency, count: usize, script: &str) -> Result<Cost> {
    machine.guest.reset()?;
    let mut ctx = TestContext::new(machine, Instant::now() + TIMEOUT);
    let nodes = scsi_debug::make_drives(&mut ctx, count)?;
    ctx.sh(&format!(
        "for node in {nodes}; do at=/mnt/${{node##*/}}; mkfs.vfat $node >/dev/null && mkdir -p $at && \
         mount $node $at && head -c 20000 /dev/urandom >$at/data || exit 1; done"
    ))?;
    ctx.sh(&format!("echo {} >/sys/bus/pseudo/drivers/scsi_debug/ndelay", latency.ndelay))?;
    let agent = ctx.sh("echo \"$AGENT\"")?;
    let script = format!("NODES='{nodes}'; {{ {script}; }} >{OUTPUT_FILE} 2>&1");
    let output = ctx.run(words(&[&agent, "measure", "sh", "-c", &script]))?;
    let cost: Cost = serde_json::from_str(&output.stdout).context(output.stderr)?;
    if cost.code != 0 {
        let said = ctx.try_sh(&format!("cat {OUTPUT_FILE}"))?.stdout;
        anyhow::bail!("{script} exited with {} and said:\n{said}", cost.code);
    }
    // The driver refuses while a drive has still a command to answer.
    ctx.sh("for i in $(seq 240); do echo 0 >/sys/bus/pseudo/drivers/scsi_debug/ndelay && exit; sleep 0.5; done; exit 1")?;
    let mounted = ctx.sh("grep -c ' /mnt/' /proc/self/mounts || true")?;
    ensure!(mounted == "0", "{mounted} are still mounted");
    Ok(cost)
}
