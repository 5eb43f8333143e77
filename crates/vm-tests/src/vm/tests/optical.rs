//! Optical drives: by device, by mount point, by label; and back in.

use anyhow::{Result, ensure};

use crate::test_context::Trial;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CD, DVD, Drive, EMPTY};

const BOTH: &[&Drive] = &[&CD, &DVD];

pub const TESTS: &[Test] = &[
    Test {
        name: "optical.by-device",
        promise: "eject /dev/srN dismounts the disc and opens the tray (virtio-scsi CD, SATA DVD)",
        drives: BOTH,
        machine: &STANDARD,
        run: |trial| each(trial, |trial, drive| device_opens_tray(trial, drive, &["eject"])),
    },
    Test {
        name: "optical.without-verb",
        promise: "unmoor /dev/srN means unmoor eject /dev/srN",
        drives: &[&CD],
        machine: &STANDARD,
        run: |trial| device_opens_tray(trial, &CD, &[]),
    },
    Test {
        name: "optical.by-mount-point",
        promise: "eject MOUNTPOINT opens the tray of the drive behind it",
        drives: BOTH,
        machine: &STANDARD,
        run: |trial| {
            each(trial, |trial, drive| opens_tray(trial, drive, true, &["eject", "/mnt/disc"]))
        },
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
        run: |trial| each(trial, load),
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

fn each(trial: &mut Trial, test: fn(&mut Trial, &Drive) -> Result<()>) -> Result<()> {
    BOTH.iter().try_for_each(|drive| {
        trial.note(&format!("# {}", drive.id));
        test(trial, drive)
    })
}

/// Mounts the disc, ejects it by its device with these words before it, and judges from both sides.
pub fn device_opens_tray(trial: &mut Trial, drive: &Drive, before: &[&str]) -> Result<()> {
    let node = trial.node(drive)?;
    let words: Vec<&str> = before.iter().copied().chain([node.as_str()]).collect();
    opens_tray(trial, drive, true, &words)
}

fn opens_tray(trial: &mut Trial, drive: &Drive, mounted: bool, words: &[&str]) -> Result<()> {
    let node = trial.node(drive)?;
    if mounted {
        trial.mount(&format!("-o ro {node}"), "/mnt/disc")?;
    }
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, words)?;
    trial.expect_mounted("/mnt/disc", false)?;
    trial.expect_tray(mark, drive, true)
}

fn by_label(trial: &mut Trial) -> Result<()> {
    opens_tray(trial, &CD, true, &["eject", "LABEL=RIGCD"])?;
    opens_tray(trial, &DVD, false, &["eject", "LABEL=RIGDVD"])
}

fn load(trial: &mut Trial, drive: &Drive) -> Result<()> {
    device_opens_tray(trial, drive, &["eject"])?;
    let node = trial.node(drive)?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["load", &node])?;
    trial.expect_tray(mark, drive, false)?;
    trial.mount(&format!("-o ro {node}"), "/mnt/disc")?;
    trial.sh("cat /mnt/disc/hello.txt && umount /mnt/disc").map(drop)
}

fn empty(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&EMPTY)?;
    let document = trial.unmoor_json(4, &["eject", &node])?;
    let target = &document["targets"][0];
    ensure!(target["outcome"] == "no-medium", "{target}");
    // It may open the tray, for there is a disc to be put in; but then it must say so.
    let open = trial.tray_is_open(&EMPTY)?;
    ensure!((target["medium_after"] == "tray-open") == open, "the tray is open: {open}; {target}");
    Ok(())
}

fn locked_door(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&CD)?;
    trial.sh(&format!("eject -i on {node}"))?;
    opens_tray(trial, &CD, false, &["eject", &node])
}
