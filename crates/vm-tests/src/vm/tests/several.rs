//! Several targets in one call.

use anyhow::{Result, ensure};

use crate::scsi_debug::make_drives;
use crate::stick_files::mount_both;
use crate::test_context::{TestContext, document, expect_code, words};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CD, Drive, OWN, STICK, STICK2};
use unmoor_rig::machine::Hardware;

/// Machine with more removable drives.
static MANY: Hardware = Hardware {
    name: "several",
    memory_mb: 1024,
    drives: &[&CD, &STICK, &STICK2, &STICK3, &FULL_SLOT, &EMPTY_SLOT, &OWN],
    shared: true,
};

const STICK3: Drive = Drive {
    id: "stick3",
    device: "usb-storage,bus=xhci.0,port=3,removable=on,serial=RIGSTICK3",
    sysfs_parts: &["0000:00:12.0", "-3:1.0"],
    ..STICK2
};

/// Slot of a card reader, with a card in it.
const FULL_SLOT: Drive = Drive {
    id: "fullslot",
    controllers: &[STICK.controllers[0], "usb-bot,id=reader,bus=xhci.0,port=4"],
    device: "scsi-hd,bus=reader.0,lun=0,removable=on",
    sysfs_parts: &["-4:1.0", ":0:0:0/block"],
    hotplug: false,
    ..STICK2
};

/// Empty slot of the same reader.
const EMPTY_SLOT: Drive = Drive {
    id: "emptyslot",
    device: "scsi-hd,bus=reader.0,lun=1,removable=on",
    medium: None,
    sysfs_parts: &["-4:1.0", ":0:0:1/block"],
    ..FULL_SLOT
};

pub const TESTS: &[Test] = &[
    Test {
        name: "several.all-good",
        promise: "two sticks and a CD in one call: exit 0, all three out",
        drives: &[&CD, &STICK, &STICK2],
        machine: &STANDARD,
        run: all_good,
    },
    Test {
        name: "several.one-bad",
        promise: "one unknown target: no drive is touched, and the exit code is its",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: one_bad,
    },
    Test {
        name: "several.worst-code",
        promise: "one drive in use: exit 3, and the free drive is out all the same",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: worst_code,
    },
    Test {
        name: "several.same-drive-twice",
        promise: "the same drive named twice, by its two partitions: released once, exit 0",
        drives: &[&STICK],
        machine: &STANDARD,
        run: same_twice,
    },
    Test {
        name: "several.at-once",
        promise: "32 slow drives in one call: at one moment all of them are at START STOP UNIT, as the kernel's trace says",
        drives: &[],
        machine: &STANDARD,
        run: at_once,
    },
    Test {
        name: "several.lines",
        promise: "on a terminal each drive has a line that says what it is at, and is answered when it is over",
        drives: &[],
        machine: &STANDARD,
        run: lines,
    },
    Test {
        name: "several.interrupted",
        promise: "Ctrl-C while 8 drives are at it: exit 130, each answered, none claimed any more",
        drives: &[],
        machine: &STANDARD,
        run: interrupted,
    },
    Test {
        name: "several.one-busy",
        promise: "three sticks, one in use: two leave, the third is refused and named, exit 3",
        drives: &[&STICK, &STICK2, &STICK3],
        machine: &MANY,
        run: one_busy,
    },
    Test {
        name: "several.all-removable",
        promise: "--all-removable: CD, sticks and card leave; the system's disk and an empty slot are left out, and said so",
        drives: &[&CD, &STICK, &STICK2, &STICK3, &FULL_SLOT, &OWN],
        machine: &MANY,
        run: eject_all_removable,
    },
    Test {
        name: "several.all-removable-swap",
        promise: "a stick that is swapped to is not passed over: exit 3 names the swap, --swapoff releases it",
        drives: &[&CD, &STICK, &STICK2, &STICK3, &FULL_SLOT, &OWN],
        machine: &MANY,
        run: all_removable_swap,
    },
];

fn all_good(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let (cd, second) = (ctx.node(&CD)?, ctx.node(&STICK2)?);
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "/mnt/ext", &cd, &second])?;
    [&CD, &STICK, &STICK2].into_iter().try_for_each(|drive| ctx.expect_tray(mark, drive, true))
}

fn one_bad(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let second = ctx.node(&STICK2)?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(6, &["eject", "/mnt/ext", "/dev/sdzz", &second])?;
    let codes: Vec<_> = (0..3).map(|n| document["targets"][n]["exit_code"].clone()).collect();
    ensure!(codes == [6, 6, 6], "the targets' codes are {codes:?}");
    ensure!(document["targets"][0]["outcome"] == "not-started", "{document}");
    ctx.expect_mounted("/mnt/ext", true)?;
    ctx.expect_untouched(mark, &STICK)?;
    ctx.expect_untouched(mark, &STICK2)
}

fn worst_code(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    ctx.start_sh("cd /mnt/fat && exec sleep 1000")?;
    ctx.sh("while ! fuser -s -m /mnt/fat; do sleep 0.1; done")?;
    let second = ctx.node(&STICK2)?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, &["eject", "/mnt/ext", &second])?;
    let codes: Vec<_> = (0..2).map(|n| document["targets"][n]["exit_code"].clone()).collect();
    ensure!(codes == [3, 0], "the targets' codes are {codes:?}");
    ctx.expect_mounted("/mnt/ext", true)?;
    ctx.expect_untouched(mark, &STICK)?;
    ctx.expect_tray(mark, &STICK2, true)
}

fn same_twice(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", &one, &two])?;
    ctx.expect_tray(mark, &STICK, true)
}

/// Counts in the kernel's trace how many START STOP UNIT commands run at once.
fn at_once(ctx: &mut TestContext) -> Result<()> {
    const COUNT: usize = 32;
    let nodes = make_drives(ctx, COUNT)?;
    // The driver's START STOP UNIT takes this many seconds, all else as many ticks: slow emulation must not
    // make the first stop before the last begins.
    ctx.sh("echo 20 >/sys/bus/pseudo/drivers/scsi_debug/delay")?;
    ctx.sh("mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; \
         cd /sys/kernel/tracing && echo >trace && \
         for e in start done; do echo 1 >events/scsi/scsi_dispatch_cmd_$e/enable; done")?;
    let words: Vec<&str> = ["eject"].into_iter().chain(nodes.split_whitespace()).collect();
    let document = ctx.unmoor_json(0, &words)?;
    let trace = ctx.sh(
        "cd /sys/kernel/tracing && for e in start done; do echo 0 >events/scsi/scsi_dispatch_cmd_$e/enable; \
         done; grep START_STOP trace",
    )?;
    let given = document["targets"].as_array().into_iter().flatten();
    let given: Vec<_> = given.filter_map(|target| target["target"].as_str()).collect();
    ensure!(given == words[1..], "not in the order of the arguments: {given:?}");
    let (mut under_way, mut most) = (0usize, 0);
    for line in trace.lines() {
        if line.contains("scsi_dispatch_cmd_start") {
            under_way += 1;
            most = most.max(under_way);
        } else {
            under_way -= 1;
        }
    }
    ensure!(most == COUNT, "no more than {most} at a time:\n{trace}");
    Ok(())
}

/// Creates drives on which START STOP UNIT takes this many seconds.
fn slow_drives(ctx: &mut TestContext, count: usize, seconds: u32) -> Result<String> {
    let nodes = make_drives(ctx, count)?;
    ctx.sh(&format!("echo {seconds} >/sys/bus/pseudo/drivers/scsi_debug/delay"))?;
    Ok(nodes)
}

fn lines(ctx: &mut TestContext) -> Result<()> {
    let nodes = slow_drives(ctx, 3, 3)?;
    let shown = ctx.sh(&format!("script -qec 'unmoor eject {nodes}' /dev/null </dev/null"))?;
    for node in nodes.split_whitespace() {
        let name = node.trim_start_matches("/dev/");
        ensure!(shown.contains(&format!("{name}: ejecting")), "{name} has no line: {shown:?}");
        ensure!(shown.contains(&format!("{name} (Linux scsi_debug")), "no answer: {shown:?}");
    }
    // The lines are gone at the end: what stands last is an answer.
    let last = shown.lines().last().unwrap_or_default();
    ensure!(last.contains("released"), "{shown:?}");
    Ok(())
}

fn interrupted(ctx: &mut TestContext) -> Result<()> {
    let nodes = slow_drives(ctx, 8, 60)?;
    let arguments = ["unmoor", "eject", "--json"].into_iter().chain(nodes.split_whitespace());
    let job = ctx.start(words(&arguments.collect::<Vec<_>>()))?;
    // Each has a child at its command.
    ctx.sh("while [ $(pgrep -c -x unmoor) -lt 9 ]; do sleep 0.2; done")?;
    ctx.sh("kill -INT $(pgrep -o -x unmoor)")?;
    let output = ctx.wait(job)?;
    expect_code(&output, 130)?;
    let document = document(&output, 130)?;
    let answers = document["targets"].as_array().map_or(0, Vec::len);
    ensure!(answers == 8, "{answers} of 8 are answered");
    let targets = document["targets"].as_array().into_iter().flatten();
    for target in targets {
        ensure!(target["outcome"] == "interrupted", "{target}");
    }
    ctx.sh(&format!("for node in {nodes}; do blockdev --flushbufs $node || exit; done"))?;
    Ok(())
}

fn mount_part(ctx: &mut TestContext, drive: &Drive, directory: &str) -> Result<()> {
    let part = ctx.partition(drive, 1)?;
    ctx.mount(&part, directory)?;
    ctx.sh(&format!("head -c 500000 /dev/urandom >{directory}/data")).map(drop)
}

fn one_busy(ctx: &mut TestContext) -> Result<()> {
    let sticks = [(&STICK, "/mnt/a"), (&STICK2, "/mnt/b"), (&STICK3, "/mnt/c")];
    for (drive, directory) in sticks {
        mount_part(ctx, drive, directory)?;
    }
    ctx.hold("exec 3>/mnt/b/held; echo held; exec sleep 1000")?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, &["eject", "/mnt/a", "/mnt/b", "/mnt/c"])?;
    let codes: Vec<_> = (0..3).map(|n| document["targets"][n]["exit_code"].clone()).collect();
    ensure!(codes == [0, 3, 0], "the targets' codes are {codes:?}");
    let who = &document["targets"][1]["blockers"][0]["process"]["name"];
    ensure!(who == "sleep", "blocked by {who}");
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.expect_tray(mark, &STICK3, true)?;
    ctx.expect_untouched(mark, &STICK2)?;
    ctx.sh("echo on >/mnt/b/still && sync -f /mnt/b/still").map(drop)
}

fn all_removable_swap(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!("wipefs -aq {part} && mkswap -q {part} && swapon {part}"))?;
    let mark = ctx.machine.qmp.mark();
    let held = ctx.unmoor_json(3, &["eject", "--all-removable"])?;
    let of_stick = held["targets"].as_array().into_iter().flatten().find(|t| t["exit_code"] == 3);
    let error = of_stick.map(|target| &target["error"]);
    ensure!(error.is_some_and(|e| e["kind"] == "held"), "{held}");
    ctx.expect_untouched(mark, &STICK)?;
    ctx.expect_tray(mark, &STICK2, true)?;
    ctx.unmoor_json(0, &["eject", "--all-removable", "--swapoff"])?;
    ctx.expect_tray(mark, &STICK, true)
}

fn eject_all_removable(ctx: &mut TestContext) -> Result<()> {
    for (drive, directory) in [(&STICK, "/mnt/a"), (&FULL_SLOT, "/mnt/card")] {
        mount_part(ctx, drive, directory)?;
    }
    let (cd, own) = (ctx.node(&CD)?, ctx.node(&OWN)?);
    ctx.mount(&format!("-o ro {cd}"), "/mnt/cd")?;
    ctx.mount(&own, "/boot")?;
    let slot = ctx.node(&EMPTY_SLOT)?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(0, &["eject", "--all-removable"])?;
    for drive in [&CD, &STICK, &STICK2, &STICK3, &FULL_SLOT] {
        ctx.expect_tray(mark, drive, true)?;
    }
    let reason = |node: &str| {
        let mut all = document["left_out"].as_array().into_iter().flatten();
        all.find(|one| one["path"] == node).map(|one| one["reason"].to_string()).unwrap_or_default()
    };
    ensure!(reason(&own).contains("/boot"), "the system's disk: {document}");
    ensure!(reason(&slot).contains("no medium"), "the empty slot: {document}");
    ctx.sh("echo on >/boot/still && sync -f /boot/still")?;
    // There is nothing left to release.
    let none = ctx.unmoor_json(4, &["eject", "--all-removable"])?;
    ensure!(none["error"]["kind"] == "no-medium", "{none}");
    Ok(())
}
