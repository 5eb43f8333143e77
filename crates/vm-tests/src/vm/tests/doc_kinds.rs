//! docs/kinds.md shows what `--dry-run` prints for a drive of each kind: it is compared with the drives here.

use anyhow::Result;

use super::kinds::{NBD, TAPE};
use crate::stick_files::{mount_at, mount_both};
use crate::test_context::Trial;
use crate::vm::doc_output;
use crate::vm::test_case::{KINDS, STANDARD, Test};
use unmoor_rig::drives::{
    BESIDE_CD, BESIDE_DISK, CARD, CD, DISK, DVD, Drive, FLOPPY, NVME, NVME_FIXED, SATA, SLOT1,
    SLOT2, SLOT3, STICK, UAS, USB_CD, ZIP,
};

pub const TESTS: &[Test] = &[
    Test {
        name: "printed.common",
        promise: "--dry-run of a stick, a CD, a DVD, a card and a loop device is what docs/kinds.md shows",
        drives: &[&STICK, &CD, &DVD, &CARD],
        machine: &STANDARD,
        run: common,
    },
    Test {
        name: "printed.kinds",
        promise: "so is that of every other kind of drive, with --power-off where that is what there is",
        drives: KINDS.drives,
        machine: &KINDS,
        run: kinds,
    },
    Test {
        name: "printed.made-by-the-kernel",
        promise: "so is that of a tape and of a network block device",
        drives: &[],
        machine: &KINDS,
        run: made_by_the_kernel,
    },
];

/// Prints it for each of these options; `others` are its siblings.
fn hold(
    trial: &mut Trial,
    name: &str,
    options: &str,
    drive: &Drive,
    others: &[&Drive],
) -> Result<()> {
    let node = trial.node(drive)?;
    let others: Vec<String> = others.iter().map(|d| trial.node(d)).collect::<Result<_>>()?;
    doc_output::hold_nodes(trial, name, options, &[node], &others)
}

fn common(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    hold(trial, "stick", "", &STICK, &[])?;
    hold(trial, "stick-off", "--power-off", &STICK, &[])?;
    let (cd, dvd) = (trial.node(&CD)?, trial.node(&DVD)?);
    trial.mount(&format!("-o ro {cd}"), "/mnt/cd")?;
    trial.mount(&format!("-o ro {dvd}"), "/mnt/dvd")?;
    hold(trial, "cd", "", &CD, &[])?;
    hold(trial, "dvd", "", &DVD, &[])?;
    let card = trial.partition(&CARD, 1)?;
    trial.mount(&card, "/mnt/card")?;
    hold(trial, "card", "", &CARD, &[])?;
    let node = trial.sh(
        "rm -f /tmp/loop.img; truncate -s 32M /tmp/loop.img; mkfs.ext4 -q /tmp/loop.img; mkdir -p /mnt/image; \
         losetup --show -f /tmp/loop.img",
    )?;
    trial.mount(&node, "/mnt/image")?;
    doc_output::hold_nodes(trial, "loop", "", &[node], &[])
}

fn kinds(trial: &mut Trial) -> Result<()> {
    for (drive, directory) in
        [(&ZIP, "/mnt/zip"), (&SLOT1, "/mnt/slot"), (&BESIDE_DISK, "/mnt/beside")]
    {
        let part = trial.partition(drive, 1)?;
        trial.mount(&part, directory)?;
    }
    let floppy = trial.node(&FLOPPY)?;
    trial.mount(&floppy, "/mnt/floppy")?;
    hold(trial, "zip", "", &ZIP, &[])?;
    hold(trial, "slot", "", &SLOT1, &[&SLOT2, &SLOT3])?;
    hold(trial, "slot-off", "--power-off", &SLOT1, &[&SLOT2, &SLOT3])?;
    hold(trial, "beside-off", "--power-off", &BESIDE_DISK, &[&BESIDE_CD])?;
    hold(trial, "floppy", "", &FLOPPY, &[])?;
    hold(trial, "usb-cd", "", &USB_CD, &[])?;
    mount_at(trial, &DISK)?;
    hold(trial, "usb-disk", "", &DISK, &[])?;
    hold(trial, "usb-disk-off", "--power-off", &DISK, &[])?;
    hold(trial, "uas-off", "--power-off", &UAS, &[])?;
    hold(trial, "sata", "", &SATA, &[])?;
    hold(trial, "sata-off", "--power-off", &SATA, &[])?;
    hold(trial, "nvme-off", "--power-off", &NVME_FIXED, &[])?;
    hold(trial, "nvme-slot-off", "--power-off", &NVME, &[])
}

fn made_by_the_kernel(trial: &mut Trial) -> Result<()> {
    trial.sh(TAPE)?;
    doc_output::hold_nodes(trial, "tape", "", &["st0".to_owned()], &[])?;
    trial.sh(NBD)?;
    trial.sh("qemu-nbd -f raw -c /dev/nbd0 /tmp/nbd.img >/tmp/nbd.log 2>&1")?;
    trial.sh(
        "for i in $(seq 100); do test $(cat /sys/block/nbd0/size) -gt 0 && break; sleep 0.1; done; \
         mount /dev/nbd0 /mnt/nbd",
    )?;
    doc_output::hold_nodes(trial, "nbd", "", &["/dev/nbd0".to_owned()], &[])
}
