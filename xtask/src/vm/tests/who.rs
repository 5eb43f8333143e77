//! Every kind of blocker that needs a real kernel: it is made, the release is refused and nothing is
//! touched, `who` names it, and the command it prints, run as printed, lets the release succeed.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::rig::drives::{STICK, STICK2};
use crate::vm::trial::Trial;
use crate::vm::{STANDARD, Test};

pub const TESTS: &[Test] = &[
    Test {
        name: "who.stack",
        promise: "an idle LUKS volume that a release closes by itself is not in the way",
        drives: &[&STICK],
        machine: &STANDARD,
        run: stack,
    },
    Test {
        name: "who.lvm",
        promise: "a logical volume on another drive too is named, and the command printed deactivates it",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: lvm,
    },
    Test {
        name: "who.md",
        promise: "an md array on another drive too is named, and the command printed stops it",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: md,
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

fn stack(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 2)?;
    trial.sh("modprobe dm-crypt")?;
    trial.sh(&format!(
        "printf key | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 {node} -
         printf key | cryptsetup open --key-file - {node} unmoor-who
         mkfs.ext4 -q /dev/mapper/unmoor-who"
    ))?;
    trial.unmoor(0, &["who", &node]).map(drop)
}

fn lvm(trial: &mut Trial) -> Result<()> {
    let (node, other) = (trial.partition(&STICK, 2)?, trial.partition(&STICK2, 1)?);
    trial.sh("modprobe dm-mod")?;
    trial.sh(&format!(
        "pvcreate -qff -y {node} {other} && vgcreate -q unmoor-vg {node} {other} && \
         lvcreate -q -y -Zn -l 100%FREE -n a-b unmoor-vg"
    ))?;
    blocked(trial, &node, "mapping", 1)
}

fn md(trial: &mut Trial) -> Result<()> {
    let (node, other) = (trial.partition(&STICK, 2)?, trial.partition(&STICK2, 1)?);
    trial.sh("modprobe raid1; modprobe md-mod; true")?;
    trial.sh(&format!(
        "wipefs -qa {node} {other}; mdadm --create /dev/md77 --run --level=1 --raid-devices=2 \
         --assume-clean --metadata=1.2 {node} {other}"
    ))?;
    blocked(trial, &node, "raid", 1)
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
