//! Overlays with a layer on a stick, and automounters, which the stick's own mounts do not show.

use anyhow::{Result, ensure};

use crate::stick_files::mount_both;
use crate::test_context::TestContext;
use crate::vm::doc_output;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test {
        name: "stack.overlay",
        promise: "an overlay whose upper layer is on the stick, and one on that: unmounted first, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: overlay,
    },
    Test {
        name: "stack.overlay-busy",
        promise: "a file open in an overlay on the stick: exit 3, the program named, all still mounted",
        drives: &[&STICK],
        machine: &STANDARD,
        run: overlay_busy,
    },
    Test {
        name: "stack.overlay-force",
        promise: "--force: a program that writes through an overlay is cut off too, and what was flushed is whole",
        drives: &[&STICK],
        machine: &STANDARD,
        run: overlay_force,
    },
    Test {
        name: "stack.overlay-image",
        promise: "an image in an overlay whose upper layer is on the stick: taken down first, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: overlay_image,
    },
    Test {
        name: "stack.autofs",
        promise: "a stick that an automounter mounted: released, and its trigger is not set off again",
        drives: &[&STICK],
        machine: &STANDARD,
        run: autofs,
    },
    Test {
        name: "stack.autofs-on-it",
        promise: "an automounter's trigger on the stick: exit 3, named, not set off; the printed command frees the stick",
        drives: &[&STICK],
        machine: &STANDARD,
        run: autofs_on_it,
    },
];

fn mount_overlays(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    ctx
        .sh("set -e; cd /mnt/ext; mkdir -p upper work upper2 work2 /tmp/lower /mnt/merged /mnt/top; \
             echo below >/tmp/lower/file; \
             mount -t overlay one -o lowerdir=/tmp/lower,upperdir=/mnt/ext/upper,workdir=/mnt/ext/work /mnt/merged; \
             mkdir /mnt/merged/upper /mnt/merged/sub; \
             mount -t overlay two -o lowerdir=/mnt/merged/sub:/tmp/lower /mnt/top")
        .map(drop)
}

fn overlay(ctx: &mut TestContext) -> Result<()> {
    mount_overlays(ctx)?;
    ctx.sh("head -c 8000000 /dev/urandom >/tmp/data && cp /tmp/data /mnt/merged/data.bin")?;
    let node = ctx.node(&STICK)?;
    let planned = ctx.unmoor_json(0, &["eject", "--dry-run", &node])?;
    let steps = planned["targets"][0]["steps"].as_array().cloned().unwrap_or_default();
    let dismount = steps.iter().find(|s| s["step"] == "dismount").map(|s| s["reason"].to_string());
    let order = ["/mnt/top", "/mnt/merged", "/mnt/ext"].map(|m| dismount.as_ref()?.find(m));
    ensure!(order.iter().all(Option::is_some) && order.is_sorted(), "the plan is {dismount:?}");
    doc_output::hold(ctx, "overlay", "", &[&STICK])?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", &node])?;
    ctx.expect_tray(mark, &STICK, true)?;
    for directory in ["/mnt/top", "/mnt/merged", "/mnt/ext"] {
        ctx.expect_mounted(directory, false)?;
    }
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    mount_both(ctx)?;
    ctx.sh("cmp /tmp/data /mnt/ext/upper/data.bin").map(drop)
}

fn overlay_busy(ctx: &mut TestContext) -> Result<()> {
    mount_overlays(ctx)?;
    ctx.hold("exec 7>/mnt/merged/open; echo held; exec sleep 1000")?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, &["eject", "/mnt/ext"])?;
    let blockers = document["targets"][0]["blockers"].as_array().cloned().unwrap_or_default();
    ensure!(blockers.iter().any(|b| b["process"]["name"] == "sleep"), "{document}");
    ensure!(blockers.iter().all(|b| b["kind"] != "overlay"), "an overlay of the plan blocks");
    for directory in ["/mnt/top", "/mnt/merged", "/mnt/ext", "/mnt/fat"] {
        ctx.expect_mounted(directory, true)?;
    }
    ctx.expect_untouched(mark, &STICK)
}

/// The image has the number of the overlay in one of these overlays, and of the stick's file system in the other.
fn overlay_image(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 1)?;
    let node = ctx.node(&STICK)?;
    for lower in ["/tmp/lower", "/mnt/ext/lower"] {
        ctx.mount(&part, "/mnt/ext")?;
        ctx.sh(&format!(
            "set -e; mkdir -p {lower} /mnt/ext/upper /mnt/ext/work /mnt/merged /mnt/image
             mount -t overlay one -o lowerdir={lower},upperdir=/mnt/ext/upper,workdir=/mnt/ext/work /mnt/merged
             truncate -s 12M /mnt/merged/image; mkfs.ext4 -qF /mnt/merged/image; mount -o loop /mnt/merged/image /mnt/image
             head -c 4000000 /dev/urandom >/tmp/data; cp /tmp/data /mnt/image/data.bin"
        ))?;
        ctx.unmoor(0, &["who", &node])?;
        let mark = ctx.machine.qmp.mark();
        ctx.unmoor(0, &["eject", &node])?;
        ctx.expect_tray(mark, &STICK, true)?;
        ctx.unmoor(0, &["load", &node])?;
        ctx.await_partitions(&STICK, 2)?;
        ctx.mount(&part, "/mnt/ext")?;
        ctx.sh("mount -o loop /mnt/ext/upper/image /mnt/image && cmp /tmp/data /mnt/image/data.bin; umount /mnt/image /mnt/ext")?;
    }
    Ok(())
}

fn overlay_force(ctx: &mut TestContext) -> Result<()> {
    mount_overlays(ctx)?;
    ctx.sh("head -c 4000000 /dev/urandom >/tmp/data && cp /tmp/data /mnt/merged/data.bin")?;
    ctx.hold(
        "exec 7>/mnt/merged/open; echo held; while :; do head -c 65536 /dev/urandom >&7 || echo cut; \
         sync /mnt/merged 2>/dev/null; sleep 0.1; done",
    )?;
    ctx.unmoor(0, &["eject", "--force", "--dismount-only", "/mnt/ext"])?;
    let now = ctx.snapshot(&STICK)?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    let later = ctx.snapshot(&STICK)?;
    let same = std::fs::read(&now.path)? == std::fs::read(&later.path)?;
    ensure!(same, "something was written to the stick after the command had returned");
    let part = now.partition(unmoor_rig::media::STICK_EXT4)?;
    unmoor_rig::media::recover(&part)?;
    let sum = ctx.sh("sha256sum </tmp/data")?;
    let found =
        unmoor_rig::media::checksum(unmoor_rig::media::FileSystem::Ext4, &part, "upper/data.bin")?;
    ensure!(sum.starts_with(&found), "the image has other bytes than were flushed");
    Ok(())
}

/// Automounter: mounts the device at any name below the directory, and logs each request.
const AUTOMOUNTER: &str = r#"
use strict; use POSIX; use Fcntl;
my ($directory, $device) = @ARGV;
pipe(my $requests, my $kernel) or die;
POSIX::setpgid(0, 0);
my $options = sprintf("fd=%d,pgrp=%d,minproto=5,maxproto=5,indirect", fileno $kernel, getpgrp);
my ($source, $type) = ("rig", "autofs");
syscall(165, $source, $directory, $type, 0, $options) == 0 or die "mount: $!";
close $kernel;
sysopen(my $root, $directory, O_RDONLY) or die;
$| = 1; print "held\n";
while (sysread($requests, my $packet, 304) == 304) {
    my ($version, $type, $token, @rest) = unpack("iiIIQIIIIIa256", $packet);
    my $name = substr($rest[7], 0, $rest[6]);
    system("echo $name >>/tmp/requests");
    mkdir "$directory/$name";
    system("mount", $device, "$directory/$name");
    ioctl($root, 0x9360, $token);
}
"#;

fn automounter(ctx: &mut TestContext, directory: &str, device: &str) -> Result<()> {
    ctx.sh(&format!(
        "rm -f /tmp/requests; touch /tmp/requests; mkdir -p {directory}; modprobe autofs4; \
         cat >/tmp/automounter.pl <<'END'\n{AUTOMOUNTER}\nEND"
    ))?;
    ctx.hold(&format!("exec perl /tmp/automounter.pl {directory} {device}")).map(drop)
}

fn requests(ctx: &mut TestContext) -> Result<usize> {
    Ok(ctx.sh("wc -l </tmp/requests")?.trim().parse()?)
}

fn autofs(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 1)?;
    automounter(ctx, "/mnt/auto", &part)?;
    ctx.unmoor(6, &["status", "/mnt/auto/stick"])?;
    ensure!(requests(ctx)? == 0, "looking at it set it off");
    ctx.sh("ls /mnt/auto/stick/ && cp /bin/ls /mnt/auto/stick/data.bin")?;
    ctx.expect_mounted("/mnt/auto/stick", true)?;
    ensure!(requests(ctx)? == 1, "the automounter does not work");
    doc_output::hold(ctx, "autofs", "", &[&STICK])?;
    ctx.unmoor(0, &["eject", "--dismount-only", "/mnt/auto/stick"])?;
    ctx.expect_mounted("/mnt/auto/stick", false)?;
    ensure!(requests(ctx)? == 1, "the release set it off");
    ctx.sh("cmp /bin/ls /mnt/auto/stick/data.bin")?;
    ensure!(requests(ctx)? == 2);
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "/mnt/auto/stick"])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ensure!(requests(ctx)? == 2, "the release set it off");
    Ok(())
}

fn autofs_on_it(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let part = ctx.partition(&STICK, 2)?;
    automounter(ctx, "/mnt/ext/auto", &part)?;
    let document = ctx.unmoor_json(3, &["eject", "/mnt/ext"])?;
    let blockers = document["targets"][0]["blockers"].as_array().cloned().unwrap_or_default();
    let trigger = blockers.iter().find(|b| b["kind"] == "mount");
    let trigger = trigger.ok_or_else(|| anyhow::anyhow!("the trigger is not named: {document}"))?;
    ensure!(trigger["description"].as_str().is_some_and(|d| d.contains("autofs")), "{trigger}");
    ctx.expect_mounted("/mnt/ext", true)?;
    ctx.sh("pkill -x perl; sleep 0.5")?;
    let command = trigger["command"].as_str().unwrap_or_default().to_owned();
    ctx.sh(&command)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "/mnt/ext"])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ensure!(requests(ctx)? == 0, "the release set it off");
    Ok(())
}
