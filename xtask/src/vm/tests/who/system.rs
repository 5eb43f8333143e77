//! What is no process: mounts, other namespaces, what the kernel itself holds.

use anyhow::Result;

use super::{Named, blocked};
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
    let named = Named { kind: "mapping", usage: "kernel", path: "/dev/dm-0", ..Named::default() };
    blocked(trial, &node, 1, &[named])
}

fn md(trial: &mut Trial) -> Result<()> {
    let (node, other) = (trial.partition(&STICK, 2)?, trial.partition(&STICK2, 1)?);
    trial.sh("modprobe raid1; modprobe md-mod; true")?;
    trial.sh(&format!(
        "wipefs -qa {node} {other}; mdadm --create /dev/md77 --run --level=1 --raid-devices=2 \
         --assume-clean --metadata=1.2 {node} {other}"
    ))?;
    let named = Named { kind: "raid", usage: "kernel", path: "/dev/md77", ..Named::default() };
    blocked(trial, &node, 1, &[named])
}

fn overlay(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 1)?;
    trial.mount(&node, "/mnt/ext")?;
    let layers = "lowerdir=/mnt/ext/a,upperdir=/mnt/ext/b,workdir=/mnt/ext/c";
    trial.sh("mkdir -p /mnt/ext/a /mnt/ext/b /mnt/ext/c /mnt/merged")?;
    trial.sh(&format!("mount -t overlay overlay -o {layers} /mnt/merged"))?;
    let named = Named { kind: "overlay", usage: "mount", path: "/mnt/merged", ..Named::default() };
    blocked(trial, &node, 3, &[named])
}

/// A drive with swap is part of the running system: it is refused, whatever is asked.
fn swap(trial: &mut Trial) -> Result<()> {
    let node = trial.partition(&STICK, 2)?;
    trial.sh(&format!("mkswap {node} && swapon {node}"))?;
    let named = Named { kind: "swap", usage: "kernel", path: &node, ..Named::default() };
    blocked(trial, &node, 1, &[named])
}
