//! `cargo xtask bench many`: 32 drives that take a second for each answer, in one call; beside one of
//! them alone, and beside a shell loop of util-linux `eject`, in the same run.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cost::{Cost, Runs};
use unmoor_rig::machine::{Hardware, Machine, Rig};
use unmoor_vm_tests::scsi_debug;
use unmoor_vm_tests::test_context::{Trial, words};

/// How many drives.
const MANY: usize = 32;

/// The loop alone takes minutes.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Where the guest keeps what a run prints.
const SAID: &str = "/run/said";

/// A machine whose drives are made by the guest's own kernel.
static MACHINE: Hardware = Hardware { name: "many", memory_mb: 1536, drives: &[], shared: false };

/// What is slow.
struct Slowness {
    title: &'static str,
    /// A second, in the driver's own words.
    ndelay: u32,
}

const SLOWNESSES: [Slowness; 2] = [
    // The driver takes a second for START STOP UNIT whenever any delay is set (F_SSU_DELAY).
    Slowness { title: "START STOP UNIT takes 1 s, all else nothing to speak of", ndelay: 20_000 },
    Slowness { title: "every command takes 1 s", ndelay: 999_999_999 },
];

pub fn command(binary: &Path, rounds: usize) -> Result<()> {
    let mut machine = Rig::prepare(binary)?.boot(&MACHINE)?;
    for slowness in &SLOWNESSES {
        let mut one = Runs::new("unmoor eject, 1 drive");
        let mut all = Runs::new("unmoor eject, 32 drives");
        let mut each = Runs::new("for each of 32: eject");
        for _ in 0..rounds {
            one.add(once(&mut machine, slowness, 1, "unmoor eject $NODES")?);
            all.add(once(&mut machine, slowness, MANY, "unmoor eject $NODES")?);
            each.add(once(
                &mut machine,
                slowness,
                MANY,
                "for node in $NODES; do eject $node || exit; done",
            )?);
        }
        println!(
            "\n### many: {MANY} scsi_debug drives, vfat mounted on each; {}\n",
            slowness.title
        );
        println!(
            "| | runs | wall, s | user+system, s | peak memory, KiB | wall, times one drive |"
        );
        println!("|---|---|---|---|---|---|");
        for runs in [&one, &all, &each] {
            println!(
                "| {} | {} | {:.2} | {:.2} | {} | {:.2} |",
                runs.name,
                runs.count(),
                seconds(runs.wall_us()),
                seconds(runs.cpu_us()),
                runs.peak_kib(),
                runs.wall_us() as f64 / one.wall_us() as f64,
            );
        }
    }
    Ok(())
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// Fresh drives, mounted and written to; one run; and a look whether nothing is mounted any more.
fn once(machine: &mut Machine, slowness: &Slowness, count: usize, script: &str) -> Result<Cost> {
    machine.guest.reset()?;
    let mut trial = Trial::new(machine, Instant::now() + PATIENCE);
    let nodes = scsi_debug::make_drives(&mut trial, count)?;
    trial.sh(&format!(
        "for node in {nodes}; do at=/mnt/${{node##*/}}; mkfs.vfat $node >/dev/null && mkdir -p $at && \
         mount $node $at && head -c 20000 /dev/urandom >$at/data || exit 1; done"
    ))?;
    trial.sh(&format!("echo {} >/sys/bus/pseudo/drivers/scsi_debug/ndelay", slowness.ndelay))?;
    let agent = trial.sh("echo \"$AGENT\"")?;
    let script = format!("NODES='{nodes}'; {{ {script}; }} >{SAID} 2>&1");
    let ended = trial.run(words(&[&agent, "measure", "sh", "-c", &script]))?;
    let cost: Cost = serde_json::from_str(&ended.stdout).context(ended.stderr)?;
    if cost.code != 0 {
        let said = trial.try_sh(&format!("cat {SAID}"))?.stdout;
        anyhow::bail!("{script} exited with {} and said:\n{said}", cost.code);
    }
    // The driver refuses while a drive has still a command to answer.
    trial.sh("for i in $(seq 240); do echo 0 >/sys/bus/pseudo/drivers/scsi_debug/ndelay && exit; sleep 0.5; done; exit 1")?;
    let mounted = trial.sh("grep -c ' /mnt/' /proc/self/mounts || true")?;
    ensure!(mounted == "0", "{mounted} are still mounted");
    Ok(cost)
}
