//! Every kind of blocker that needs a real kernel: it is made, the release is refused and nothing is
//! touched, `who` names it, and the command it prints, run as printed, lets the release succeed.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::rig::drives::STICK;
use crate::vm::trial::Trial;
use crate::vm::{STANDARD, Test};

pub const TESTS: &[Test] = &[
    Test {
        name: "who.luks",
        promise: "an opened LUKS volume is named, and the command printed closes it",
        drives: &[&STICK],
        machine: &STANDARD,
        run: luks,
    },
    Test {
        name: "who.lvm",
        promise: "an active logical volume is named, and the command printed deactivates it",
        drives: &[&STICK],
        machine: &STANDARD,
        run: lvm,
    },
    Test {
        name: "who.md",
        promise: "a running md array is named, and the command printed stops it",
        drives: &[&STICK],
        machine: &STANDARD,
        run: md,
    },
    Test {
        name: "who.loop",
        promise: "a loop device over a file on the stick is named, and the command printed detaches it",
        drives: &[&STICK],
        machine: &STANDARD,
        run: over_a_file,
    },
    Test {
        name: "who.overlay",
        promise: "an overlay with a layer on the stick is named, and the command printed unmounts it",
        drives: &[&STICK],
        machine: &STANDARD,
        run: overlay,
    },
    Test {
        name: "who.swap",
        promise: "swap on the stick is named, and the command printed lets the release succeed",
        drives: &[&STICK],
        machine: &STANDARD,
        run: swap,
    },
];

fn luks(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 2)?;
    trial.sh("modprobe dm-crypt")?;
    trial.sh(&format!(
        "printf key | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 {node} -
         printf key | cryptsetup open --key-file - {node} unmoor-who
         mkfs.ext4 -q /dev/mapper/unmoor-who"
    ))?;
    blocked(trial, &node, "mapping", 3)
}

fn lvm(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 2)?;
    trial.sh("modprobe dm-mod")?;
    trial.sh(&format!(
        "pvcreate -qff -y {node} && vgcreate -q unmoor-vg {node} && lvcreate -q -y -Zn -l 4 -n a-b unmoor-vg"
    ))?;
    blocked(trial, &node, "mapping", 3)
}

fn md(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 2)?;
    trial.sh("modprobe raid1; modprobe md-mod; true")?;
    trial.sh(&format!(
        "mdadm --create /dev/md77 --run --force --level=1 --raid-devices=1 --metadata=1.2 {node}"
    ))?;
    blocked(trial, &node, "raid", 3)
}

fn over_a_file(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 2)?;
    trial.mount(&node, "/mnt/ext")?;
    trial.sh("truncate -s 4M '/mnt/ext/an image' && losetup -f '/mnt/ext/an image'")?;
    blocked(trial, "/mnt/ext", "loop", 3)
}

fn overlay(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 1)?;
    trial.mount(&node, "/mnt/ext")?;
    let layers = "lowerdir=/mnt/ext/a,upperdir=/mnt/ext/b,workdir=/mnt/ext/c";
    trial.sh("mkdir -p /mnt/ext/a /mnt/ext/b /mnt/ext/c /mnt/merged")?;
    trial.sh(&format!("mount -t overlay overlay -o {layers} /mnt/merged"))?;
    blocked(trial, "/mnt/ext", "overlay", 3)
}

/// A drive with swap is part of the running system: it is refused, whatever is asked.
fn swap(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 2)?;
    trial.sh(&format!("mkswap {node} && swapon {node}"))?;
    blocked(trial, &node, "swap", 1)
}

fn blocked(trial: &mut Trial, target: &str, kind: &str, code: i32) -> Result<()> {
    let mark = trial.machine.qmp.mark();
    trial.unmoor(code, &["eject", target])?;
    trial.expect_untouched(mark, &STICK)?;
    let document = trial.unmoor_json(3, &["who", target])?;
    let blockers = document["targets"][0]["blockers"].as_array().context("blockers")?;
    ensure!(blockers.iter().any(|b| b["kind"] == kind), "no {kind} in {blockers:#?}");
    let commands: Vec<&str> =
        blockers.iter().filter_map(|b: &Value| b["command"].as_str()).collect();
    ensure!(commands.len() == blockers.len(), "each has a command: {blockers:#?}");
    for command in commands {
        trial.sh(command)?;
    }
    trial.unmoor(0, &["eject", target])?;
    Ok(())
}
