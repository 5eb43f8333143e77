//! Sessions whose drives need more than a mount beforehand, or more than a glance afterwards.

use anyhow::{Context, Result, ensure};

use super::seat::{Seat, expect, is_mounted, mount, session, with_services};
use crate::test_context::TestContext;
use crate::vm::test_case::{SESSIONS, Test};
use crate::vm::tests::stacks::make_luks;
use unmoor_rig::drives::{Drive, STICK};

const DRIVES: &[&Drive] = &[&STICK];

pub const TESTS: &[Test] = &[
    Test {
        name: "session.bytes",
        promise: "at the desk, every byte that was written is on the stick after it was ejected",
        drives: DRIVES,
        machine: &SESSIONS,
        run: |ctx| with_services(ctx, bytes),
    },
    Test {
        name: "session.pulled",
        promise: "at the desk, a stick pulled while mounted leaves no mount, and the command says that it is gone",
        drives: DRIVES,
        machine: &SESSIONS,
        run: |ctx| with_services(ctx, pulled),
    },
    Test {
        name: "session.luks",
        promise: "at the desk, a LUKS stick that udisks2 has opened is locked and ejected",
        drives: DRIVES,
        machine: &SESSIONS,
        run: |ctx| with_services(ctx, |ctx| luks(ctx, Seat::Desk)),
    },
    Test {
        name: "session.luks-far",
        promise: "far away, a LUKS stick is refused before anything is unmounted or locked",
        drives: DRIVES,
        machine: &SESSIONS,
        run: |ctx| with_services(ctx, |ctx| luks(ctx, Seat::Far)),
    },
    Test {
        name: "session.loop",
        promise: "at the desk, an image that its user has attached with udisksctl loop-setup is released",
        drives: DRIVES,
        machine: &SESSIONS,
        run: |ctx| with_services(ctx, |ctx| image(ctx, Seat::Desk)),
    },
    Test {
        name: "session.loop-far",
        promise: "far away, the user's own image is released too: udisks2 asks for no permission",
        drives: DRIVES,
        machine: &SESSIONS,
        run: |ctx| with_services(ctx, |ctx| image(ctx, Seat::Far)),
    },
];

fn bytes(ctx: &mut TestContext) -> Result<()> {
    let device = ctx.partition(&STICK, 2)?;
    let place = mount(ctx, &device)?;
    let write = format!("head -c 4000000 /dev/urandom >/tmp/data && cp /tmp/data {place}/data.bin");
    expect(ctx, Seat::Desk, &format!("{write} && unmoor {place}"), 0, &["through udisks2"])?;
    let node = ctx.node(&STICK)?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    let compare = format!(
        "mkdir -p /mnt/fat && mount {device} /mnt/fat && cmp /tmp/data /mnt/fat/data.bin && umount /mnt/fat"
    );
    ctx.sh(&compare).map(drop)
}

fn pulled(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    let devices = [ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?];
    let places = [mount(ctx, &devices[0])?, mount(ctx, &devices[1])?];
    ctx.machine.yank(&STICK)?;
    // udisks2 removes dead mounts itself; what it has left is for the command.
    let (code, text) = session(ctx, Seat::Desk, &format!("unmoor {}", places[1]))?;
    ensure!([1, 5, 6].contains(&code), "exit {code}:\n{text}");
    for place in &places {
        ensure!(!is_mounted(ctx, place)?, "{place} is mounted:\n{text}");
    }
    expect(ctx, Seat::Desk, &format!("unmoor {node}"), 6, &[])
}

fn luks(ctx: &mut TestContext, seat: Seat) -> Result<()> {
    let node = ctx.node(&STICK)?;
    let part = make_luks(ctx)?;
    ctx.sh(
        "mkfs.ext4 -q /dev/mapper/rigluks && cryptsetup close rigluks && chmod 644 /tmp/key
         nsenter -t $(pgrep -o -x systemd) -a sh -c 'udevadm trigger -c change -s block; udevadm settle'"
    )?;
    let unlock = format!("udisksctl unlock --no-user-interaction -b {part} --key-file /tmp/key");
    let (_, text) = session(ctx, Seat::Desk, &unlock)?;
    let mapping = text.split_once(" as ").map(|(_, name)| name.trim().trim_end_matches('.'));
    let place = mount(ctx, mapping.with_context(|| text.clone())?)?;
    let mark = ctx.machine.qmp.mark();
    if seat == Seat::Desk {
        expect(ctx, seat, &format!("unmoor {node}"), 0, &["through udisks2"])?;
        ctx.sh("! ls /sys/block | grep -q ^dm-")?;
        return ctx.expect_tray(mark, &STICK, true);
    }
    expect(ctx, seat, &format!("unmoor {node}"), 5, &["nothing was done"])?;
    ensure!(is_mounted(ctx, &place)?, "it was unmounted");
    ctx.expect_untouched(mark, &STICK)
}

fn image(ctx: &mut TestContext, seat: Seat) -> Result<()> {
    ctx.sh("rm -f /tmp/image && truncate -s 16M /tmp/image && mkfs.ext4 -q /tmp/image && chown ann /tmp/image")?;
    let setup = "udisksctl loop-setup --no-user-interaction -f /tmp/image";
    let (_, text) = session(ctx, Seat::Desk, setup)?;
    let device = text.split_once(" as ").map(|(_, name)| name.trim().trim_end_matches('.'));
    let device = device.with_context(|| text.clone())?.to_owned();
    ctx.sh("nsenter -t $(pgrep -o -x systemd) -a udevadm settle")?;
    let place = mount(ctx, &device)?;
    expect(ctx, seat, &format!("unmoor {device}"), 0, &[])?;
    ensure!(!is_mounted(ctx, &place)?, "it is mounted");
    ctx.sh(&format!("! losetup {device}")).map(drop)
}
