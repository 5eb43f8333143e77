//! Optical drives: by device, by mount point, by label; and loading.

use anyhow::{Result, ensure};

use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CD, DVD, Drive, EMPTY};

const BOTH: &[&Drive] = &[&CD, &DVD];

pub const TESTS: &[Test] = &[
    Test {
        name: "optical.by-device",
        promise: "eject /dev/srN dismounts the disc and opens the tray (virtio-scsi CD, SATA DVD)",
        drives: BOTH,
        machine: &STANDARD,
        run: |ctx| each(ctx, |ctx, drive| device_opens_tray(ctx, drive, &["eject"])),
    },
    Test {
        name: "optical.without-verb",
        promise: "unmoor /dev/srN means unmoor eject /dev/srN",
        drives: &[&CD],
        machine: &STANDARD,
        run: |ctx| device_opens_tray(ctx, &CD, &[]),
    },
    Test {
        name: "optical.by-mount-point",
        promise: "eject MOUNTPOINT opens the tray of the drive behind it",
        drives: BOTH,
        machine: &STANDARD,
        run: |ctx| each(ctx, |ctx, drive| opens_tray(ctx, drive, true, &["eject", "/mnt/disc"])),
    },
    Test {
        name: "optical.by-label",
        promise: "eject LABEL=… finds the disc without udev, mounted or not",
        drives: BOTH,
        machine: &STANDARD,
        run: by_label,
    },
    Test {
        name: "optical.load",
        promise: "load closes the tray that eject opened, and the disc can be read again",
        drives: BOTH,
        machine: &STANDARD,
        run: |ctx| each(ctx, load),
    },
    Test {
        name: "optical.empty",
        promise: "an empty drive: exit 4, and what it says of the tray is true",
        drives: &[&EMPTY],
        machine: &STANDARD,
        run: empty,
    },
    Test {
        name: "optical.locked-door",
        promise: "a door that a program had locked is unlocked and opened",
        drives: &[&CD],
        machine: &STANDARD,
        run: locked_door,
    },
];

fn each(ctx: &mut TestContext, test: fn(&mut TestContext, &Drive) -> Result<()>) -> Result<()> {
    BOTH.iter().try_for_each(|drive| {
        ctx.note(&format!("# {}", drive.id));
        test(ctx, drive)
    })
}

/// Mounts the disc, ejects it by its device with these arguments, and checks guest and QEMU.
pub fn device_opens_tray(ctx: &mut TestContext, drive: &Drive, before: &[&str]) -> Result<()> {
    let node = ctx.node(drive)?;
    let words: Vec<&str> = before.iter().copied().chain([node.as_str()]).collect();
    opens_tray(ctx, drive, true, &words)
}

fn opens_tray(ctx: &mut TestContext, drive: &Drive, mounted: bool, words: &[&str]) -> Result<()> {
    let node = ctx.node(drive)?;
    if mounted {
        ctx.mount(&format!("-o ro {node}"), "/mnt/disc")?;
    }
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, words)?;
    ctx.expect_mounted("/mnt/disc", false)?;
    ctx.expect_tray(mark, drive, true)
}

fn by_label(ctx: &mut TestContext) -> Result<()> {
    opens_tray(ctx, &CD, true, &["eject", "LABEL=RIGCD"])?;
    opens_tray(ctx, &DVD, false, &["eject", "LABEL=RIGDVD"])
}

fn load(ctx: &mut TestContext, drive: &Drive) -> Result<()> {
    device_opens_tray(ctx, drive, &["eject"])?;
    let node = ctx.node(drive)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["load", &node])?;
    ctx.expect_tray(mark, drive, false)?;
    ctx.mount(&format!("-o ro {node}"), "/mnt/disc")?;
    ctx.sh("cat /mnt/disc/hello.txt && umount /mnt/disc").map(drop)
}

fn empty(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&EMPTY)?;
    let document = ctx.unmoor_json(4, &["eject", &node])?;
    let target = &document["targets"][0];
    ensure!(target["outcome"] == "no-medium", "{target}");
    // It may open the tray, for there is a disc to be put in; but then it must say so.
    let open = ctx.tray_is_open(&EMPTY)?;
    ensure!((target["medium_after"] == "tray-open") == open, "the tray is open: {open}; {target}");
    Ok(())
}

fn locked_door(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&CD)?;
    ctx.sh(&format!("eject -i on {node}"))?;
    opens_tray(ctx, &CD, false, &["eject", &node])
}
