//! Compares the `--dry-run` output in docs/kinds.md with the drives of each kind.

use anyhow::Result;

use super::kinds::{NBD, TAPE};
use crate::stick_files::{mount_at, mount_both};
use crate::test_context::TestContext;
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

/// Compares the output for each of these options; `others` are its siblings.
fn hold(
    ctx: &mut TestContext,
    name: &str,
    options: &str,
    drive: &Drive,
    others: &[&Drive],
) -> Result<()> {
    let node = ctx.node(drive)?;
    let others: Vec<String> = others.iter().map(|d| ctx.node(d)).collect::<Result<_>>()?;
    doc_output::hold_nodes(ctx, name, options, &[node], &others)
}

fn common(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    hold(ctx, "stick", "", &STICK, &[])?;
    hold(ctx, "stick-off", "--power-off", &STICK, &[])?;
    let (cd, dvd) = (ctx.node(&CD)?, ctx.node(&DVD)?);
    ctx.mount(&format!("-o ro {cd}"), "/mnt/cd")?;
    ctx.mount(&format!("-o ro {dvd}"), "/mnt/dvd")?;
    hold(ctx, "cd", "", &CD, &[])?;
    hold(ctx, "dvd", "", &DVD, &[])?;
    let card = ctx.partition(&CARD, 1)?;
    ctx.mount(&card, "/mnt/card")?;
    hold(ctx, "card", "", &CARD, &[])?;
    let node = ctx.sh(
        "rm -f /tmp/loop.img; truncate -s 32M /tmp/loop.img; mkfs.ext4 -q /tmp/loop.img; mkdir -p /mnt/image; \
         losetup --show -f /tmp/loop.img",
    )?;
    ctx.mount(&node, "/mnt/image")?;
    doc_output::hold_nodes(ctx, "loop", "", &[node], &[])
}

fn kinds(ctx: &mut TestContext) -> Result<()> {
    for (drive, directory) in
        [(&ZIP, "/mnt/zip"), (&SLOT1, "/mnt/slot"), (&BESIDE_DISK, "/mnt/beside")]
    {
        let part = ctx.partition(drive, 1)?;
        ctx.mount(&part, directory)?;
    }
    let floppy = ctx.node(&FLOPPY)?;
    ctx.mount(&floppy, "/mnt/floppy")?;
    hold(ctx, "zip", "", &ZIP, &[])?;
    hold(ctx, "slot", "", &SLOT1, &[&SLOT2, &SLOT3])?;
    hold(ctx, "slot-off", "--power-off", &SLOT1, &[&SLOT2, &SLOT3])?;
    hold(ctx, "beside-off", "--power-off", &BESIDE_DISK, &[&BESIDE_CD])?;
    hold(ctx, "floppy", "", &FLOPPY, &[])?;
    hold(ctx, "usb-cd", "", &USB_CD, &[])?;
    mount_at(ctx, &DISK)?;
    hold(ctx, "usb-disk", "", &DISK, &[])?;
    hold(ctx, "usb-disk-off", "--power-off", &DISK, &[])?;
    hold(ctx, "uas-off", "--power-off", &UAS, &[])?;
    hold(ctx, "sata", "", &SATA, &[])?;
    hold(ctx, "sata-off", "--power-off", &SATA, &[])?;
    hold(ctx, "nvme-off", "--power-off", &NVME_FIXED, &[])?;
    hold(ctx, "nvme-slot-off", "--power-off", &NVME, &[])
}

fn made_by_the_kernel(ctx: &mut TestContext) -> Result<()> {
    ctx.sh(TAPE)?;
    doc_output::hold_nodes(ctx, "tape", "", &["st0".to_owned()], &[])?;
    ctx.sh(NBD)?;
    ctx.sh("qemu-nbd -f raw -c /dev/nbd0 /tmp/nbd.img >/tmp/nbd.log 2>&1")?;
    ctx.sh(
        "for i in $(seq 100); do test $(cat /sys/block/nbd0/size) -gt 0 && break; sleep 0.1; done; \
         mount /dev/nbd0 /mnt/nbd",
    )?;
    doc_output::hold_nodes(ctx, "nbd", "", &["/dev/nbd0".to_owned()], &[])
}
