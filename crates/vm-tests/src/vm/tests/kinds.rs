//! One drive of each kind: its release, the proof of it, and the way back.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::stick_files::{mount_at, write_both};
use crate::test_context::TestContext;
use crate::vm::test_case::{KINDS, Test};
use unmoor_rig::drives::{
    BESIDE_CD, BESIDE_DISK, DISK, Drive, FLOPPY, NVME, NVME_FIXED, SATA, SLOT1, SLOT2, SLOT3, UAS,
    USB_CD, ZIP,
};
use unmoor_rig::media::{FileSystem, check, checksum};

pub const TESTS: &[Test] = &[
    Test {
        name: "kinds.usb-disk",
        promise: "a USB disk that says yes to stopping and goes on is called one that did not stop",
        drives: &[&DISK],
        machine: &KINDS,
        run: |ctx| said_yes_and_went_on(ctx, &DISK),
    },
    Test {
        name: "kinds.usb-disk-off-and-on",
        promise: "--power-off: every byte, the device gone; attach lists its port and brings it back whole",
        drives: &[&DISK],
        machine: &KINDS,
        run: |ctx| off_and_on(ctx, &DISK),
    },
    Test {
        name: "kinds.uas",
        promise: "a UAS disk: --power-off, every byte, the device gone",
        drives: &[&UAS],
        machine: &KINDS,
        run: |ctx| powered_off(ctx, &UAS).map(drop),
    },
    Test {
        name: "kinds.uas-attach",
        promise: "on a hub that does not notice and has other devices: exit 1, the port, what to do, the others untouched",
        drives: &[&UAS, &ZIP, &DISK],
        machine: &KINDS,
        run: does_not_notice,
    },
    Test {
        name: "kinds.usb-cd",
        promise: "a CD in a USB drive: the tray opens, load closes it",
        drives: &[&USB_CD],
        machine: &KINDS,
        run: usb_cd,
    },
    Test {
        name: "kinds.sata",
        promise: "a SATA disk: eject says it is built in; --power-off: every byte, gone; attach brings it back whole",
        drives: &[&SATA],
        machine: &KINDS,
        run: |ctx| built_in(ctx, &SATA),
    },
    Test {
        name: "kinds.nvme",
        promise: "NVMe on a bus without slots: the same by removal and rescan",
        drives: &[&NVME_FIXED],
        machine: &KINDS,
        run: |ctx| built_in(ctx, &NVME_FIXED),
    },
    Test {
        name: "kinds.nvme-slot",
        promise: "NVMe in a hot-plug slot: every byte, and QEMU says that the slot let it go",
        drives: &[&NVME],
        machine: &KINDS,
        run: nvme_slot,
    },
    Test {
        name: "kinds.zip",
        promise: "a disk with a removable medium, its door locked by the mount: medium out; load takes it in",
        drives: &[&ZIP],
        machine: &KINDS,
        run: zip,
    },
    Test {
        name: "kinds.floppy",
        promise: "a floppy: exit 0, dismounted, every byte, and it says that there is a button to press",
        drives: &[&FLOPPY],
        machine: &KINDS,
        run: floppy,
    },
    Test {
        name: "kinds.nbd",
        promise: "a network block device: dismounted, disconnected, the server gone, every byte in its file",
        drives: &[],
        machine: &KINDS,
        run: |ctx| nbd(ctx, "qemu-nbd -f raw -c /dev/nbd0 /tmp/nbd.img"),
    },
    Test {
        name: "kinds.nbd-netlink",
        promise: "the same, set up over netlink",
        drives: &[],
        machine: &KINDS,
        run: |ctx| {
            nbd(
                ctx,
                "qemu-nbd -f raw -k /tmp/nbd.sock --fork /tmp/nbd.img && \
                 nbd-client -unix /tmp/nbd.sock /dev/nbd0",
            )
        },
    },
    Test {
        name: "kinds.tape",
        promise: "a tape: in use it is refused and the program named; then unloaded, seen to be so, and loaded again",
        drives: &[],
        machine: &KINDS,
        run: tape,
    },
    Test {
        name: "kinds.tape-off",
        promise: "a tape drive: --power-off takes it off its bus, attach brings it back",
        drives: &[],
        machine: &KINDS,
        run: tape_off,
    },
    Test {
        name: "kinds.reader-one-slot",
        promise: "eject of one slot of a card reader: its medium is out, the other slot stays mounted",
        drives: &[&SLOT1, &SLOT2],
        machine: &KINDS,
        run: reader_one_slot,
    },
    Test {
        name: "kinds.reader-in-use",
        promise: "--power-off of an empty slot with another mounted, or held open by a mapping: exit 3, named, untouched",
        drives: &[&SLOT1, &SLOT2],
        machine: &KINDS,
        run: reader_in_use,
    },
    Test {
        name: "kinds.reader-off",
        promise: "--power-off of an empty slot: the whole reader goes, its other slots named",
        drives: &[&SLOT1, &SLOT2],
        machine: &KINDS,
        run: reader_off,
    },
    Test {
        name: "kinds.beside-cd",
        promise: "the virtual CD beside a disk: ejected alone the disk stays mounted; --power-off is refused for it",
        drives: &[&BESIDE_CD, &BESIDE_DISK],
        machine: &KINDS,
        run: beside_cd,
    },
    Test {
        name: "kinds.beside-off",
        promise: "--power-off of the disk beside a virtual CD takes that along, and says so",
        drives: &[&BESIDE_CD, &BESIDE_DISK],
        machine: &KINDS,
        run: beside_off,
    },
];

fn target(document: &Value) -> &Value {
    &document["targets"][0]
}

fn said_yes_and_went_on(ctx: &mut TestContext, drive: &Drive) -> Result<()> {
    mount_at(ctx, drive)?;
    let written = write_both(ctx)?;
    let document = ctx.unmoor_json(1, &["eject", "/mnt/ext"])?;
    let image = ctx.snapshot(drive)?;
    let it = target(&document);
    ensure!(it["action"] == "stop" && it["error"]["kind"] == "not-ejected", "{it}");
    ensure!(it["help"].as_str().is_some_and(|help| help.contains("--power-off")), "{it}");
    ctx.expect_mounted("/mnt/ext", false)?;
    written.expect_on(&image)
}

/// Powers the drive off by one of its mounts, and checks that every byte is on it and that it is gone.
/// Returns its port.
fn powered_off(ctx: &mut TestContext, drive: &Drive) -> Result<String> {
    mount_at(ctx, drive)?;
    let written = write_both(ctx)?;
    let document = ctx.unmoor_json(0, &["eject", "--power-off", "/mnt/ext"])?;
    let image = ctx.snapshot(drive)?;
    let it = target(&document);
    ensure!(it["medium_after"] == "gone", "{it}");
    ensure!(ctx.node(drive).is_err(), "the device is still in the guest's /sys");
    for directory in ["/mnt/ext", "/mnt/fat"] {
        ctx.expect_mounted(directory, false)?;
    }
    written.expect_on(&image)?;
    let port = it["drive"]["port"].as_str().with_context(|| format!("no port: {it}"))?.to_owned();
    let help = it["help"].as_str().unwrap_or_default();
    ensure!(help.contains(&format!("unmoor attach {port}")), "the way back is not told: {it}");
    Ok(port)
}

fn off_and_on(ctx: &mut TestContext, drive: &Drive) -> Result<()> {
    let port = powered_off(ctx, drive)?;
    let listed = ctx.unmoor_json(0, &["attach"])?;
    let ports: Vec<&str> = listed["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| p["port"].as_str())
        .collect();
    ensure!(ports.contains(&port.as_str()), "{port} is not among {ports:?}");
    back_again(ctx, drive, &port)
}

fn back_again(ctx: &mut TestContext, drive: &Drive, port: &str) -> Result<()> {
    let planned = ctx.unmoor_json(0, &["attach", "--dry-run", port])?;
    ensure!(target(&planned)["outcome"] == "planned", "{planned}");
    ensure!(ctx.node(drive).is_err(), "a dry run brought it back");
    let document = ctx.unmoor_json(0, &["attach", port])?;
    let node = ctx.node(drive)?;
    ensure!(target(&document)["drive"]["path"] == node.as_str(), "{document}");
    ctx.await_media(&[drive])?;
    mount_at(ctx, drive)?;
    ctx.sh("cat /mnt/ext/data.bin /mnt/fat/data.bin >/dev/null")?;
    ctx.unmoor(0, &["attach", port]).map(drop)
}

fn does_not_notice(ctx: &mut TestContext) -> Result<()> {
    mount_at(ctx, &DISK)?;
    let node = ctx.node(&UAS)?;
    let document = ctx.unmoor_json(0, &["eject", "--power-off", &node])?;
    let port = target(&document)["drive"]["port"].as_str().unwrap_or_default().to_owned();
    let document = ctx.unmoor_json(1, &["attach", &port])?;
    let it = target(&document);
    ensure!(it["help"].as_str().is_some_and(|help| help.contains("unplug it")), "{it}");
    ctx.sh("dd if=/dev/zero of=/mnt/ext/x bs=1M count=1 conv=fsync 2>&1").map(drop)?;
    // An empty port, a port that there is not, and what is no port at all.
    ctx.unmoor(4, &["attach", "usb:2-8"])?;
    ctx.unmoor(6, &["attach", "usb:2-99"])?;
    ctx.unmoor(7, &["attach", "/dev/sda"]).map(drop)
}

fn usb_cd(ctx: &mut TestContext) -> Result<()> {
    super::optical::device_opens_tray(ctx, &USB_CD, &["eject"])?;
    let node = ctx.node(&USB_CD)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["load", &node])?;
    ctx.expect_tray(mark, &USB_CD, false)
}

fn built_in(ctx: &mut TestContext, drive: &Drive) -> Result<()> {
    let node = ctx.node(drive)?;
    let document = ctx.unmoor_json(7, &["eject", &node])?;
    ensure!(target(&document)["outcome"] == "not-supported", "{document}");
    let port = powered_off(ctx, drive)?;
    back_again(ctx, drive, &port)
}

fn nvme_slot(ctx: &mut TestContext) -> Result<()> {
    let mark = ctx.machine.qmp.mark();
    let port = powered_off(ctx, &NVME)?;
    ctx.machine.qmp.await_event(mark, |event| {
        event.name == "DEVICE_DELETED" && event.data["device"] == "nvme-device"
    })?;
    // QEMU took it out of the slot with that.
    ctx.unmoor(4, &["attach", &port]).map(drop)
}

fn zip(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&ZIP, 1)?;
    ctx.mount(&part, "/mnt/zip")?;
    ctx.sh("echo hello >/mnt/zip/hello.txt")?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "/mnt/zip"])?;
    ctx.expect_mounted("/mnt/zip", false)?;
    ctx.expect_tray(mark, &ZIP, true)?;
    let (node, mark) = (ctx.node(&ZIP)?, ctx.machine.qmp.mark());
    ctx.unmoor(0, &["load", &node])?;
    ctx.expect_tray(mark, &ZIP, false)?;
    ctx.await_media(&[&ZIP])?;
    ctx.mount(&part, "/mnt/zip")?;
    ctx.sh("grep -q hello /mnt/zip/hello.txt").map(drop)
}

fn floppy(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&FLOPPY)?;
    ctx.mount(&node, "/mnt/floppy")?;
    let sum = ctx.sh(
        "head -c 700000 /dev/urandom >/tmp/data && cp /tmp/data /mnt/floppy/data.bin && sha256sum </tmp/data",
    )?;
    let document = ctx.unmoor_json(0, &["eject", "/mnt/floppy"])?;
    let image = ctx.snapshot(&FLOPPY)?;
    let it = target(&document);
    ensure!(it["action"] == "nothing" && it["outcome"] == "released", "{it}");
    ensure!(it["message"].as_str().is_some_and(|m| m.contains("nothing to eject")), "{it}");
    ctx.expect_mounted("/mnt/floppy", false)?;
    let found = checksum(FileSystem::Vfat, &image.path, "data.bin")?;
    ensure!(sum.starts_with(&found), "the floppy has other bytes than were written");
    check(FileSystem::Vfat, &image.path)
}

/// Script that prepares the file of a network block device.
pub const NBD: &str = "modprobe nbd && mkdir -p /run/lock /mnt/nbd && rm -f /tmp/nbd.img /tmp/nbd.sock && \
     truncate -s 32M /tmp/nbd.img && mkfs.ext4 -q /tmp/nbd.img";

fn nbd(ctx: &mut TestContext, connect: &str) -> Result<()> {
    ctx.sh(&format!("{NBD} && {{ {connect}; }} >/tmp/nbd.log 2>&1"))?;
    ctx.sh(
        "for i in $(seq 100); do test $(cat /sys/block/nbd0/size) -gt 0 && break; sleep 0.1; done; \
         mount /dev/nbd0 /mnt/nbd && head -c 8000000 /dev/urandom >/tmp/data && \
         cp /tmp/data /mnt/nbd/data.bin",
    )?;
    ctx.start_sh("cd /mnt/nbd && exec sleep 1000")?;
    ctx.sh("while ! fuser -s -m /mnt/nbd; do sleep 0.1; done")?;
    ctx.unmoor(3, &["eject", "/mnt/nbd"])?;
    ctx.sh("test -e /sys/block/nbd0/pid && fuser -s -k -m /mnt/nbd; sleep 0.5")?;
    let document = ctx.unmoor_json(0, &["eject", "/mnt/nbd"])?;
    ensure!(target(&document)["action"] == "detach", "{document}");
    ctx.expect_mounted("/mnt/nbd", false)?;
    ctx.sh("! test -e /sys/block/nbd0/pid")?;
    ctx.sh(
        "for i in $(seq 100); do pgrep -x qemu-nbd >/dev/null || exit 0; sleep 0.1; done; exit 1",
    )?;
    ctx.sh("fsck.ext4 -fn /tmp/nbd.img && debugfs -R 'dump /data.bin /tmp/back' /tmp/nbd.img && cmp /tmp/data /tmp/back")?;
    ctx.unmoor(4, &["eject", "nbd0"]).map(drop)
}

fn reader_one_slot(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&SLOT1, 1)?, ctx.partition(&SLOT2, 1)?);
    ctx.mount(&one, "/mnt/one")?;
    ctx.mount(&two, "/mnt/two")?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "/mnt/one"])?;
    ctx.expect_tray(mark, &SLOT1, true)?;
    ctx.expect_untouched(mark, &SLOT2)?;
    ctx.expect_mounted("/mnt/two", true)?;
    ctx.sh("echo hello >/mnt/two/hello.txt && sync -f /mnt/two").map(drop)
}

fn reader_in_use(ctx: &mut TestContext) -> Result<()> {
    let (empty, two) = (ctx.node(&SLOT3)?, ctx.partition(&SLOT2, 1)?);
    let name = ctx.node(&SLOT2)?.trim_start_matches("/dev/").to_owned();
    ctx.unmoor(4, &["eject", &empty])?;
    let refused = |ctx: &mut TestContext| -> Result<()> {
        let document = ctx.unmoor_json(3, &["eject", "--power-off", &empty])?;
        let message = target(&document)["message"].as_str().unwrap_or_default();
        ensure!(message.contains(&format!("take {name} along")), "{message}");
        [&SLOT1, &SLOT2, &SLOT3].into_iter().try_for_each(|slot| ctx.node(slot).map(drop))
    };
    ctx.mount(&two, "/mnt/two")?;
    refused(ctx)?;
    ctx.expect_mounted("/mnt/two", true)?;
    ctx.sh(&format!(
        "umount /mnt/two && dmsetup create held --table \"0 2048 linear {two} 0\" --noudevsync"
    ))?;
    refused(ctx)?;
    ctx.sh("dmsetup remove held --noudevsync").map(drop)
}

fn reader_off(ctx: &mut TestContext) -> Result<()> {
    let empty = ctx.node(&SLOT3)?;
    let names: Vec<String> = [&SLOT1, &SLOT2]
        .into_iter()
        .map(|slot| ctx.node(slot).map(|node| node.trim_start_matches("/dev/").to_owned()))
        .collect::<Result<_>>()?;
    let document = ctx.unmoor_json(0, &["eject", "--power-off", &empty])?;
    let warnings = target(&document)["warnings"].to_string();
    for (slot, name) in
        [&SLOT1, &SLOT2, &SLOT3].into_iter().zip(names.iter().map(Some).chain([None]))
    {
        ensure!(ctx.node(slot).is_err(), "{} is still there", slot.id);
        ensure!(
            name.is_none_or(|name| warnings.contains(name)),
            "{name:?} is not named: {warnings}"
        );
    }
    Ok(())
}

fn beside_cd(ctx: &mut TestContext) -> Result<()> {
    let (cd, disk) = (ctx.node(&BESIDE_CD)?, ctx.partition(&BESIDE_DISK, 1)?);
    ctx.mount(&disk, "/mnt/disk")?;
    let document = ctx.unmoor_json(3, &["eject", "--power-off", &cd])?;
    let message = target(&document)["message"].as_str().unwrap_or_default();
    ensure!(message.contains("/mnt/disk"), "{message}");
    super::optical::device_opens_tray(ctx, &BESIDE_CD, &["eject"])?;
    ctx.expect_mounted("/mnt/disk", true)?;
    ctx.sh("echo hello >/mnt/disk/hello.txt && sync -f /mnt/disk").map(drop)
}

fn beside_off(ctx: &mut TestContext) -> Result<()> {
    let (cd, disk) = (ctx.node(&BESIDE_CD)?, ctx.partition(&BESIDE_DISK, 1)?);
    ctx.mount(&disk, "/mnt/disk")?;
    let document = ctx.unmoor_json(0, &["eject", "--power-off", "/mnt/disk"])?;
    let warnings = target(&document)["warnings"].to_string();
    ensure!(warnings.contains(cd.trim_start_matches("/dev/")), "the CD is not named: {warnings}");
    for drive in [&BESIDE_CD, &BESIDE_DISK] {
        ensure!(ctx.node(drive).is_err(), "{} is still there", drive.id);
    }
    Ok(())
}

/// Script that creates a tape drive with `scsi_debug`.
pub const TAPE: &str = "modprobe scsi_debug ptype=1 removable=1 && \
    for i in $(seq 100); do test -c /dev/nst0 && exit 0; sleep 0.1; done; exit 1";

fn tape(ctx: &mut TestContext) -> Result<()> {
    ctx.sh(TAPE)?;
    ctx.hold("exec 7</dev/nst0m; echo held; exec sleep 1000")?;
    for name in ["st0", "/dev/nst0"] {
        let document = ctx.unmoor_json(3, &["eject", name])?;
        let blocker = &target(&document)["blockers"][0];
        ensure!(blocker["process"]["name"] == "sleep", "{document}");
        ensure!(blocker["uses"][0]["kind"] == "device", "{blocker}");
    }
    ctx.sh("pkill -x sleep; sleep 0.5")?;
    let document = ctx.unmoor_json(0, &["eject", "/dev/st0"])?;
    let it = target(&document);
    ensure!(it["drive"]["kind"] == "tape" && it["outcome"] == "released", "{it}");
    ensure!(it["medium_after"] == "stopped", "{it}");
    let document = ctx.unmoor_json(0, &["load", "st0"])?;
    ensure!(target(&document)["outcome"] == "done", "{document}");
    let again = ctx.unmoor_json(0, &["eject", "st0"])?;
    ensure!(target(&again)["medium_after"] == "stopped", "{again}");
    Ok(())
}

fn tape_off(ctx: &mut TestContext) -> Result<()> {
    ctx.sh(TAPE)?;
    let document = ctx.unmoor_json(0, &["eject", "--power-off", "st0"])?;
    let port = target(&document)["drive"]["port"].as_str().unwrap_or_default().to_owned();
    ctx.sh("! test -e /sys/class/scsi_tape/st0 && ! test -e /dev/nst0")?;
    let document = ctx.unmoor_json(0, &["attach", &port])?;
    ensure!(target(&document)["drive"]["kind"] == "tape", "{document}");
    ctx.sh("test -c /dev/nst0").map(drop)
}
