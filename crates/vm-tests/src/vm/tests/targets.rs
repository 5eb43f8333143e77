//! Names that a user may give, on a system without udev.

use anyhow::{Result, ensure};

use crate::stick_files::mount_both;
use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CD, STICK, STICK2};
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
        name: "target.words",
        promise: "a label alone, a pattern, a name below /dev, a SCSI generic device: the drive; a name that fits two: exit 2",
        drives: &[&STICK, &STICK2, &CD],
        machine: &STANDARD,
        run: spoken,
    },
    Test {
        name: "target.clones",
        promise: "two drives of one PARTUUID or PARTLABEL, as udev tells: exit 2, both named, none touched",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: clones,
    },
    Test {
        name: "target.wrong-words",
        promise: "a verb of another program before a real CD and stick: exit 2, nothing moves",
        drives: &[&STICK, &CD],
        machine: &STANDARD,
        run: wrong_words,
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

/// Fails unless the plan for this target names that drive.
fn expect_drive(ctx: &mut TestContext, target: &str, node: &str) -> Result<()> {
    let document = ctx.unmoor_json(0, &["eject", "--dry-run", target])?;
    let found = &document["targets"][0]["drive"]["path"];
    ensure!(found == node, "{target} was taken for {found}, not {node}");
    Ok(())
}

fn labels(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    for target in [
        "LABEL=RIGEXT",
        "LABEL=RIGFAT",
        &format!("UUID={STICK_EXT4_UUID}"),
        &format!("UUID={STICK_VFAT_UUID}"),
    ] {
        expect_drive(ctx, target, &node)?;
    }
    let second = ctx.node(&STICK2)?;
    expect_drive(ctx, "LABEL=RIGTWO", &second)
}

fn names(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let node = ctx.node(&STICK)?;
    let part = ctx.partition(&STICK, 1)?;
    ctx.sh(&format!(
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
        expect_drive(ctx, target, &node)?;
    }
    ctx.expect_mounted("/mnt/ext", true)
}

fn unknown(ctx: &mut TestContext) -> Result<()> {
    for target in
        ["/dev/sdzz", "sdzz", "LABEL=NOSUCH", "UUID=0000-0000", "/mnt/nowhere", "nonsense"]
    {
        let document = ctx.unmoor_json(6, &["eject", target])?;
        ensure!(document["targets"][0]["outcome"] == "no-such-target", "{document}");
    }
    Ok(())
}

fn spoken(ctx: &mut TestContext) -> Result<()> {
    let (stick, second, cd) = (ctx.node(&STICK)?, ctx.node(&STICK2)?, ctx.node(&CD)?);
    let name = stick.trim_start_matches("/dev/");
    let generic = ctx.sh(&format!("ls /sys/block/{name}/device/scsi_generic"))?;
    let generic = generic.trim();
    ctx.sh(&format!("ln -sfn {cd} /dev/cdrom"))?;
    for (target, node) in [
        ("RIGEXT", &stick),
        ("rigfat", &stick),
        ("RIGTW*", &second),
        ("LABEL=RIGT?O", &second),
        ("cdrom", &cd),
        (generic, &stick),
        (&*format!("/dev/{generic}"), &stick),
    ] {
        expect_drive(ctx, target, node)?;
    }
    for target in ["RIG*", "LABEL=RIG*"] {
        let document = ctx.unmoor_json(2, &["eject", target])?;
        let message = document["targets"][0]["message"].as_str().unwrap_or_default();
        for node in [&stick, &second] {
            ensure!(message.contains(node.trim_start_matches("/dev/")), "{message}");
        }
    }
    Ok(())
}

fn clones(ctx: &mut TestContext) -> Result<()> {
    let parts = [ctx.partition(&STICK, 1)?, ctx.partition(&STICK2, 1)?];
    for part in &parts {
        ctx.sh(&format!(
            "mkdir -p /run/udev/data && number=$(cat /sys/class/block/$(basename {part})/dev) && \
             printf 'E:ID_PART_ENTRY_UUID=aa-01\\nE:ID_PART_ENTRY_NAME=twin\\n' > /run/udev/data/b$number"
        ))?;
    }
    for target in ["PARTUUID=AA-01", "PARTLABEL=twin"] {
        let document = ctx.unmoor_json(2, &["eject", target])?;
        let message = document["targets"][0]["message"].as_str().unwrap_or_default();
        for part in &parts {
            ensure!(message.contains(part.trim_start_matches("/dev/")), "{message}");
        }
    }
    let (stick, second) = (ctx.node(&STICK)?, ctx.node(&STICK2)?);
    for part in [&stick, &second] {
        ctx.sh(&format!("test -b {part}"))?;
    }
    let number = ctx.sh(&format!("cat /sys/class/block/$(basename {})/dev", parts[1]))?;
    ctx.sh(&format!("rm /run/udev/data/b{}", number.trim()))?;
    expect_drive(ctx, "PARTUUID=aa-01", &stick)
}

fn wrong_words(ctx: &mut TestContext) -> Result<()> {
    let (stick, cd) = (ctx.node(&STICK)?, ctx.node(&CD)?);
    let mark = ctx.machine.qmp.mark();
    for verb in [
        "info",
        "show",
        "check",
        "verify",
        "lsof",
        "stop",
        "power-off",
        "kill",
        "lock",
        "close",
        "free",
        "down",
        "release",
        "detach",
        "umount",
        "unmountDisk",
        "safely-remove",
        "nosuchword",
    ] {
        ctx.unmoor(2, &[verb, &stick, &cd])?;
    }
    ctx.unmoor(6, &["eject", &stick, &cd, "/dev/sdzz"])?;
    ctx.expect_untouched(mark, &STICK)?;
    ctx.expect_untouched(mark, &CD)
}

fn nested(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let ext = ctx.partition(&STICK, 1)?;
    let fat = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!(
        "mkdir -p /mnt/again /mnt/bound /mnt/ext/inside /mnt/ext/dir && mount {ext} /mnt/again && \
         mount --bind /mnt/ext/dir /mnt/bound && mount {fat} /mnt/ext/inside"
    ))?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "/mnt/ext"])?;
    for point in ["/mnt/ext", "/mnt/fat", "/mnt/again", "/mnt/bound", "/mnt/ext/inside"] {
        ctx.expect_mounted(point, false)?;
    }
    ctx.expect_tray(mark, &STICK, true)
}

fn odd(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK2, 1)?;
    let directory = "/mnt/a b\nc\\d";
    ctx.run(crate::test_context::words(&["mkdir", directory]))?;
    ctx.run(crate::test_context::words(&["mount", &part, directory]))?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", directory])?;
    ctx.expect_tray(mark, &STICK2, true)
}
