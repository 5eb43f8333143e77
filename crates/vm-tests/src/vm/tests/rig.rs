//! Tests of the rig itself, without the command: a judge that cannot say no is worth nothing.

use anyhow::{Result, ensure};

use super::optical::device_opens_tray;
use crate::test_context::{Trial, words};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CARD, CD, DVD, EMPTY, OWN, STICK, STICK2};

pub const TESTS: &[Test] = &[
    Test {
        name: "rig.drives",
        promise: "the guest has every drive, with the medium the rig put in",
        drives: &[&CD, &DVD, &EMPTY, &STICK, &STICK2, &CARD, &OWN],
        machine: &STANDARD,
        run: drives,
    },
    Test {
        name: "rig.other-eject",
        promise: "util-linux eject opens the tray, and the judge sees it",
        drives: &[&CD, &STICK],
        machine: &STANDARD,
        run: other_eject,
    },
    Test {
        name: "rig.judge-says-no",
        promise: "with the eject left out, the test of the CD fails",
        drives: &[&CD],
        machine: &STANDARD,
        run: judge_says_no,
    },
    Test {
        name: "rig.power-off-and-back",
        promise: "a stick that the guest removed from its bus is there again for the next test",
        drives: &[&STICK],
        machine: &STANDARD,
        run: remove,
    },
    Test {
        name: "rig.after-power-off",
        promise: "the stick is back",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |trial| trial.node(&STICK).map(drop),
    },
];

fn drives(trial: &mut Trial) -> Result<()> {
    trial.sh(
        "lsblk -o NAME,TRAN,RM,SIZE,FSTYPE,LABEL; uname -a; cat /proc/mounts; free -m; nproc",
    )?;
    for (drive, label) in [(&CD, "RIGCD"), (&DVD, "RIGDVD"), (&OWN, "RIGOWN")] {
        let node = trial.node(drive)?;
        let found = trial.sh(&format!("blkid -p -s LABEL -o value {node}"))?;
        ensure!(found == label, "{} has {found}", drive.id);
    }
    for (drive, number, label) in [
        (&STICK, 1, "RIGEXT"),
        (&STICK, 2, "RIGFAT"),
        (&STICK2, 1, "RIGTWO"),
        (&CARD, 1, "RIGCARD"),
    ] {
        let node = trial.partition(drive, number)?;
        let found = trial.sh(&format!("blkid -p -s LABEL -o value {node}"))?;
        ensure!(found == label, "{} has {found}", drive.id);
    }
    let node = trial.node(&EMPTY)?;
    ensure!(trial.try_sh(&format!("blkid -p {node}"))?.code != Some(0), "{node} is not empty");
    let modules =
        "scsi_debug dm_mod dm_crypt dm_flakey raid1 vfat exfat udf xfs btrfs f2fs nbd fuse";
    trial.sh(&format!("for m in {modules}; do modprobe --dry-run $m || exit 1; done")).map(drop)
}

fn other_eject(trial: &mut Trial) -> Result<()> {
    for drive in [&CD, &STICK] {
        let mark = trial.machine.qmp.mark();
        let node = trial.node(drive)?;
        trial.run(words(&["eject", &node]))?;
        trial.expect_tray(mark, drive, true)?;
    }
    Ok(())
}

fn judge_says_no(trial: &mut Trial) -> Result<()> {
    let judged = device_opens_tray(trial, &CD, &["eject", "--dismount-only"]);
    let error = judged.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(
        error.contains("QEMU saw no tray"),
        "the judge was content, or for another reason: {error}"
    );
    Ok(())
}

fn remove(trial: &mut Trial) -> Result<()> {
    let name = trial.node(&STICK)?.replace("/dev/", "");
    trial.sh(&format!("echo 1 > $(realpath /sys/block/{name}/device)/../../../../remove"))?;
    ensure!(trial.node(&STICK).is_err(), "it is still there");
    Ok(())
}
