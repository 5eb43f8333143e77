//! Tests of the rig itself, without the command: the checks must be able to fail.

use anyhow::{Result, ensure};

use super::optical::device_opens_tray;
use crate::test_context::{TestContext, words};
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
        run: |ctx| ctx.node(&STICK).map(drop),
    },
];

fn drives(ctx: &mut TestContext) -> Result<()> {
    ctx.sh("lsblk -o NAME,TRAN,RM,SIZE,FSTYPE,LABEL; uname -a; cat /proc/mounts; free -m; nproc")?;
    for (drive, label) in [(&CD, "RIGCD"), (&DVD, "RIGDVD"), (&OWN, "RIGOWN")] {
        let node = ctx.node(drive)?;
        let found = ctx.sh(&format!("blkid -p -s LABEL -o value {node}"))?;
        ensure!(found == label, "{} has {found}", drive.id);
    }
    for (drive, number, label) in [
        (&STICK, 1, "RIGEXT"),
        (&STICK, 2, "RIGFAT"),
        (&STICK2, 1, "RIGTWO"),
        (&CARD, 1, "RIGCARD"),
    ] {
        let node = ctx.partition(drive, number)?;
        let found = ctx.sh(&format!("blkid -p -s LABEL -o value {node}"))?;
        ensure!(found == label, "{} has {found}", drive.id);
    }
    let node = ctx.node(&EMPTY)?;
    ensure!(ctx.try_sh(&format!("blkid -p {node}"))?.code != Some(0), "{node} is not empty");
    let modules =
        "scsi_debug dm_mod dm_crypt dm_flakey raid1 vfat exfat udf xfs btrfs f2fs nbd fuse";
    ctx.sh(&format!("for m in {modules}; do modprobe --dry-run $m || exit 1; done")).map(drop)
}

fn other_eject(ctx: &mut TestContext) -> Result<()> {
    for drive in [&CD, &STICK] {
        let mark = ctx.machine.qmp.mark();
        let node = ctx.node(drive)?;
        ctx.run(words(&["eject", &node]))?;
        ctx.expect_tray(mark, drive, true)?;
    }
    Ok(())
}

fn judge_says_no(ctx: &mut TestContext) -> Result<()> {
    let judged = device_opens_tray(ctx, &CD, &["eject", "--dismount-only"]);
    let error = judged.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(
        error.contains("QEMU saw no tray"),
        "the judge was content, or for another reason: {error}"
    );
    Ok(())
}

fn remove(ctx: &mut TestContext) -> Result<()> {
    let name = ctx.node(&STICK)?.replace("/dev/", "");
    ctx.sh(&format!("echo 1 > $(realpath /sys/block/{name}/device)/../../../../remove"))?;
    ensure!(ctx.node(&STICK).is_err(), "it is still there");
    Ok(())
}
