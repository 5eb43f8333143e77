//! What a user may name, on a system without udev.

use anyhow::{Result, ensure};

use crate::stick_files::mount_both;
use crate::test_context::Trial;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{STICK, STICK2};
use unmoor_rig::media::{STICK_EXT4_UUID, STICK_VFAT_UUID};

pub const TESTS: &[Test] = &[
    Test {
        name: "target.labels",
        promise: "LABEL= and UUID= of ext4 and vfat find the stick where no udev runs",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: labels,
    },
    Test {
        name: "target.names",
        promise: "/dev/sdX, sdX, /dev/sdX1, a link to it, a mount point, a path on it: the same drive",
        drives: &[&STICK],
        machine: &STANDARD,
        run: names,
    },
    Test {
        name: "target.unknown",
        promise: "a device, a label, a path that is not there: exit 6",
        drives: &[],
        machine: &STANDARD,
        run: unknown,
    },
    Test {
        name: "target.nested-mounts",
        promise: "several mount points, a bind mount and a mount inside a mount are undone in order",
        drives: &[&STICK],
        machine: &STANDARD,
        run: nested,
    },
    Test {
        name: "target.odd-mount-point",
        promise: "a mount point with a space, a newline and a backslash in its name",
        drives: &[&STICK2],
        machine: &STANDARD,
        run: odd,
    },
];

/// Fails unless the plan for this target is about that drive.
fn expect_drive(trial: &mut Trial, target: &str, node: &str) -> Result<()> {
    let document = trial.unmoor_json(0, &["eject", "--dry-run", target])?;
    let found = &document["targets"][0]["drive"]["path"];
    ensure!(found == node, "{target} was taken for {found}, not {node}");
    Ok(())
}

fn labels(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&STICK)?;
    for target in [
        "LABEL=RIGEXT",
        "LABEL=RIGFAT",
        &format!("UUID={STICK_EXT4_UUID}"),
        &format!("UUID={STICK_VFAT_UUID}"),
    ] {
        expect_drive(trial, target, &node)?;
    }
    let second = trial.node(&STICK2)?;
    expect_drive(trial, "LABEL=RIGTWO", &second)
}

fn names(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    let node = trial.node(&STICK)?;
    let part = trial.partition(&STICK, 1)?;
    trial.sh(&format!(
        "mkdir -p /tmp/by-id /mnt/ext/deep/er && touch /mnt/ext/deep/er/file && ln -sfn {part} /tmp/by-id/link"
    ))?;
    for target in [
        node.as_str(),
        node.trim_start_matches("/dev/"),
        &part,
        "/tmp/by-id/link",
        "/mnt/fat",
        "/mnt/fat/",
        "/mnt/ext/deep/er/file",
    ] {
        expect_drive(trial, target, &node)?;
    }
    trial.expect_mounted("/mnt/ext", true)
}

fn unknown(trial: &mut Trial) -> Result<()> {
    for target in
        ["/dev/sdzz", "sdzz", "LABEL=NOSUCH", "UUID=0000-0000", "/mnt/nowhere", "nonsense"]
    {
        let document = trial.unmoor_json(6, &["eject", target])?;
        ensure!(document["targets"][0]["outcome"] == "no-such-target", "{document}");
    }
    Ok(())
}

fn nested(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    let ext = trial.partition(&STICK, 1)?;
    let fat = trial.partition(&STICK, 2)?;
    trial.sh(&format!(
        "mkdir -p /mnt/again /mnt/bound /mnt/ext/inside /mnt/ext/dir && mount {ext} /mnt/again && \
         mount --bind /mnt/ext/dir /mnt/bound && mount {fat} /mnt/ext/inside"
    ))?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["eject", "/mnt/ext"])?;
    for point in ["/mnt/ext", "/mnt/fat", "/mnt/again", "/mnt/bound", "/mnt/ext/inside"] {
        trial.expect_mounted(point, false)?;
    }
    trial.expect_tray(mark, &STICK, true)
}

fn odd(trial: &mut Trial) -> Result<()> {
    let part = trial.partition(&STICK2, 1)?;
    let directory = "/mnt/a b\nc\\d";
    trial.run(crate::test_context::words(&["mkdir", directory]))?;
    trial.run(crate::test_context::words(&["mount", &part, directory]))?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["eject", directory])?;
    trial.expect_tray(mark, &STICK2, true)
}
