//! Programs that carry a file system or a block device, with a file on the stick open: FUSE and nbd.
//!
//! They are levels of the stack. What is mounted through them is unmounted first, and no such program is ended.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::kinds::NBD;
use crate::test_context::TestContext;
use crate::vm::test_case::Test;
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test::with_stick(
        "served.container",
        "a container served by a FUSE program, a loop device and dm-crypt on it (VeraCrypt): taken down, every byte there",
        container,
    ),
    Test::with_stick(
        "served.busy",
        "a file open above such a container: only its program is named and ended; --force refuses; the server lives",
        busy,
    ),
    Test::with_stick(
        "served.ntfs-image",
        "an NTFS image on the stick that ntfs-3g serves: unmounted first, every byte there",
        ntfs_image,
    ),
    Test::with_stick(
        "served.device",
        "a FUSE program that serves a partition itself (dislocker): unmounted first, every byte there",
        device,
    ),
    Test::with_stick(
        "served.elsewhere",
        "a FUSE file system in another mount namespace: refused, its server is never ended, the remedies release it",
        elsewhere,
    ),
    Test::with_stick(
        "served.runs-from-it",
        "a FUSE server that only runs from the stick: refused, never ended, the remedies release it",
        runs_from_it,
    ),
    Test::with_stick(
        "served.nbd",
        "an image on the stick that qemu-nbd serves, LUKS on it, mounted: taken down, every byte there",
        nbd,
    ),
    Test::with_stick(
        "served.nbd-socket",
        "an image behind a socket of qemu-nbd and nbd-client: refused, never ended, the remedies release it",
        nbd_socket,
    ),
];

const DATA: &str = "head -c 8000000 /dev/urandom >/tmp/data && cp /tmp/data";

fn stick(ctx: &mut TestContext) -> Result<String> {
    let part = ctx.partition(&STICK, 1)?;
    ctx.mount(&part, "/mnt/ext")?;
    ctx.sh("modprobe fuse; modprobe dm-crypt; modprobe loop; mkdir -p /mnt/served /mnt/top")?;
    Ok(part)
}

fn serve(ctx: &mut TestContext, more: &str) -> Result<String> {
    ctx.hold(&format!("exec $AGENT hold fuse /mnt/served {more}"))
}

const OPEN_CRYPT: &str = "losetup /dev/loop7 $FILE && \
     cryptsetup open --type plain -c aes-xts-plain64 -s 256 -d /tmp/key /dev/loop7 rigplain";

/// Makes the container and mounts it at `/mnt/top`. Returns the partition and the server's PID.
fn open_container(ctx: &mut TestContext) -> Result<(String, String)> {
    let part = stick(ctx)?;
    ctx.sh("head -c 32 /dev/urandom >/tmp/key; truncate -s 40M /mnt/ext/container")?;
    let server = serve(ctx, "--container /mnt/ext/container")?;
    ctx.sh(&format!(
        "FILE=/mnt/served/file; {OPEN_CRYPT} && mkfs.ext4 -q /dev/mapper/rigplain && \
         mount /dev/mapper/rigplain /mnt/top"
    ))?;
    Ok((part, server))
}

fn eject_and_load(ctx: &mut TestContext, target: &str) -> Result<()> {
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", target])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)
}

/// Returns what the plan dismounts, in order.
fn planned(ctx: &mut TestContext, target: &str) -> Result<Vec<String>> {
    let plan = ctx.unmoor(0, &["eject", "--dry-run", target])?.stdout;
    let line = plan.lines().find_map(|line| line.split_once(". dismount")).context("dismount")?;
    Ok(line.1.split(", ").map(|name| name.trim().to_owned()).collect())
}

fn container(ctx: &mut TestContext) -> Result<()> {
    let (part, server) = open_container(ctx)?;
    ctx.sh(&format!("{DATA} /mnt/top/data"))?;
    let plan = planned(ctx, &part)?;
    let order = ["/mnt/top", "encrypted volume dm-0", "loop device loop7", "/mnt/served"];
    ensure!(plan.starts_with(&order.map(str::to_owned)), "{plan:?}");
    ctx.unmoor(0, &["who", &part])?;
    eject_and_load(ctx, &part)?;
    ctx.sh(&format!("! test -e /proc/{server}/exe && ! test -e /dev/mapper/rigplain"))?;
    ctx.mount(&part, "/mnt/ext")?;
    ctx.sh(&format!(
        "FILE=/mnt/ext/container; {OPEN_CRYPT} && fsck.ext4 -fn /dev/mapper/rigplain && \
         mount /dev/mapper/rigplain /mnt/top && cmp /tmp/data /mnt/top/data"
    ))
    .map(drop)
}

fn alive(ctx: &mut TestContext, server: &str) -> Result<()> {
    ctx.sh(&format!("grep -q '^State:.[^Z]' /proc/{server}/status")).map(drop)
}

fn named(ctx: &mut TestContext, target: &str) -> Result<Vec<Value>> {
    let document = ctx.unmoor_json(3, &["who", target])?;
    Ok(document["targets"][0]["blockers"].as_array().context("blockers")?.clone())
}

fn busy(ctx: &mut TestContext) -> Result<()> {
    let (part, server) = open_container(ctx)?;
    ctx.sh(&format!("{DATA} /mnt/top/data"))?;
    let user = ctx.hold("exec 7>/mnt/top/open; echo held $$; exec sleep 1000")?;
    let blockers = named(ctx, &part)?;
    ensure!(blockers.len() == 1, "{blockers:#?}");
    ensure!(blockers[0]["process"]["pid"].as_u64() == user.parse().ok(), "{blockers:#?}");
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(3, &["eject", &part])?;
    ctx.unmoor(3, &["eject", "--force", &part])?;
    ctx.expect_untouched(mark, &STICK)?;
    alive(ctx, &server)?;
    ctx.sh(&format!("test -e /proc/{user}/exe && echo more >>/mnt/top/data2"))?;
    ctx.unmoor(0, &["eject", "--kill", "--yes", &part])?;
    let node = ctx.node(&STICK)?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    ctx.mount(&part, "/mnt/ext")?;
    ctx.sh(&format!(
        "FILE=/mnt/ext/container; {OPEN_CRYPT} && fsck.ext4 -fn /dev/mapper/rigplain && \
         mount /dev/mapper/rigplain /mnt/top && cmp /tmp/data /mnt/top/data && test -s /mnt/top/data2"
    ))
    .map(drop)
}

fn ntfs_image(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    ctx.sh(&format!(
        "truncate -s 40M /mnt/ext/ntfs.img && mkfs.ntfs -q -Q -F /mnt/ext/ntfs.img && \
         ntfs-3g /mnt/ext/ntfs.img /mnt/served && {DATA} /mnt/served/data"
    ))?;
    let plan = planned(ctx, &part)?;
    ensure!(plan.first().is_some_and(|first| first == "/mnt/served"), "{plan:?}");
    eject_and_load(ctx, &part)?;
    ctx.mount(&part, "/mnt/ext")?;
    ctx.sh("ntfs-3g /mnt/ext/ntfs.img /mnt/served && cmp /tmp/data /mnt/served/data").map(drop)
}

fn device(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 1)?;
    ctx.sh("modprobe fuse; modprobe loop; mkdir -p /mnt/served /mnt/top")?;
    let server = serve(ctx, &format!("--container {part}"))?;
    ctx.sh(&format!(
        "losetup /dev/loop7 /mnt/served/file && mount /dev/loop7 /mnt/top && {DATA} /mnt/top/data"
    ))?;
    let plan = planned(ctx, &part)?;
    ensure!(
        plan.starts_with(&["/mnt/top", "loop device loop7", "/mnt/served"].map(str::to_owned)),
        "{plan:?}"
    );
    eject_and_load(ctx, &part)?;
    ctx.sh(&format!("! test -e /proc/{server}/exe"))?;
    ctx.mount(&part, "/mnt/ext")?;
    ctx.sh("cmp /tmp/data /mnt/ext/data").map(drop)
}

/// Checks that the server is named, is not ended by any option, and that the printed remedies help.
fn refused(ctx: &mut TestContext, part: &str, server: &str, mounted: &str) -> Result<()> {
    let mark = ctx.machine.qmp.mark();
    for options in [&[][..], &["--kill", "--yes"], &["--force"], &["--force", "--kill", "--yes"]] {
        let arguments: Vec<&str> =
            ["eject", part].into_iter().chain(options.iter().copied()).collect();
        ctx.unmoor(3, &arguments)?;
        alive(ctx, server)?;
    }
    ctx.expect_untouched(mark, &STICK)?;
    let blockers = named(ctx, part)?;
    ensure!(
        blockers.iter().any(|b| b["process"]["pid"].as_u64() == server.parse().ok()
            && b["role"] == "server"
            && b["remedy"].as_str().is_some_and(|text| text.contains(mounted))),
        "{blockers:#?}"
    );
    for _ in 0..8 {
        let output = ctx.run(crate::test_context::unmoor(&["who", "--json", part]))?;
        if output.code == Some(0) {
            return ctx.unmoor(0, &["eject", "--wait", "10s", part]).map(drop);
        }
        let document: Value = serde_json::from_str(&output.stdout)?;
        let blockers = document["targets"][0]["blockers"].as_array().context("blockers")?;
        let mut helped = false;
        for command in blockers.iter().filter_map(|blocker| blocker["command"].as_str()) {
            ensure!(!command.contains("kill"), "{command} ends a server");
            // The first may have taken the namespace of the second along.
            helped |= ctx.try_sh(command)?.code == Some(0);
        }
        ensure!(helped, "no remedy helps: {blockers:#?}");
        // A server that lost its mount ends in its own time.
        ctx.sh("sleep 1")?;
    }
    anyhow::bail!("the remedies do not end")
}

fn elsewhere(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    ctx.sh("truncate -s 4M /mnt/ext/container && mount --make-rprivate /")?;
    let server = serve(ctx, "--container /mnt/ext/container --apart")?;
    refused(ctx, &part, &server, "/mnt/served")
}

fn runs_from_it(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    ctx.sh("cp $AGENT /mnt/ext/program")?;
    let server = ctx.hold("exec /mnt/ext/program hold fuse /mnt/served")?;
    refused(ctx, &part, &server, "/mnt/served")
}

const AWAIT_NBD: &str =
    "for i in $(seq 100); do test $(cat /sys/block/nbd0/size) -gt 0 && break; sleep 0.1; done;";

const NBD_CRYPT: &str =
    "cryptsetup open --type plain -c aes-xts-plain64 -s 256 -d /tmp/key $FILE rigplain";

fn nbd(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    ctx.sh(&format!(
        "{NBD} && head -c 32 /dev/urandom >/tmp/key && truncate -s 40M /mnt/ext/image && \
         qemu-nbd -f raw -c /dev/nbd0 /mnt/ext/image >/tmp/nbd.log 2>&1 && {AWAIT_NBD} \
         FILE=/dev/nbd0; {NBD_CRYPT} && mkfs.ext4 -q /dev/mapper/rigplain && \
         mount /dev/mapper/rigplain /mnt/top && {DATA} /mnt/top/data"
    ))?;
    let plan = planned(ctx, &part)?;
    let order = ["/mnt/top", "encrypted volume dm-0", "network block device nbd0"];
    ensure!(plan.starts_with(&order.map(str::to_owned)), "{plan:?}");
    eject_and_load(ctx, &part)?;
    ctx.sh("! pgrep -x qemu-nbd && ! test -e /sys/block/nbd0/pid")?;
    ctx.mount(&part, "/mnt/ext")?;
    ctx.sh(&format!(
        "losetup /dev/loop7 /mnt/ext/image && FILE=/dev/loop7; {NBD_CRYPT} && \
         fsck.ext4 -fn /dev/mapper/rigplain && mount /dev/mapper/rigplain /mnt/top && \
         cmp /tmp/data /mnt/top/data"
    ))
    .map(drop)
}

fn nbd_socket(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    ctx.sh(&format!(
        "{NBD} && truncate -s 40M /mnt/ext/image && mkfs.ext4 -q /mnt/ext/image && \
         {{ qemu-nbd -f raw -k /tmp/nbd.sock --fork /mnt/ext/image && \
         nbd-client -unix /tmp/nbd.sock /dev/nbd0; }} >/tmp/nbd.log 2>&1 && {AWAIT_NBD} \
         mount /dev/nbd0 /mnt/top && {DATA} /mnt/top/data"
    ))?;
    let server = ctx.sh("pgrep -x qemu-nbd")?;
    refused(ctx, &part, &server, "nbd0")
}
