//! Stacks on a stick: found idle as a whole, and removed from the top.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::stick_files::mount_both;
use crate::test_context::TestContext;
use crate::vm::doc_output;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{STICK, STICK2};

pub const TESTS: &[Test] = &[
    Test {
        name: "stack.luks",
        promise: "ext4 in LUKS on a partition: closed, ejected, every byte there after it is loaded and opened again",
        drives: &[&STICK],
        machine: &STANDARD,
        run: luks,
    },
    Test {
        name: "stack.lvm-on-luks",
        promise: "a volume group in LUKS: deactivated, closed, ejected, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: lvm_on_luks,
    },
    Test {
        name: "stack.lvm",
        promise: "a volume group over both partitions, two logical volumes: deactivated, ejected, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: lvm,
    },
    Test {
        name: "stack.luks-whole",
        promise: "LUKS on the whole drive: closed, ejected, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: luks_whole,
    },
    Test {
        name: "stack.dry-run",
        promise: "--dry-run names the levels in the order of undoing, and touches none",
        drives: &[&STICK],
        machine: &STANDARD,
        run: dry_run,
    },
    Test {
        name: "stack.busy-top",
        promise: "a file open at the top of a stack: exit 3, and every level still up",
        drives: &[&STICK],
        machine: &STANDARD,
        run: busy_top,
    },
    Test {
        name: "stack.busy-middle",
        promise: "a program that has a mapping itself open: exit 3, and every level still up",
        drives: &[&STICK],
        machine: &STANDARD,
        run: busy_middle,
    },
    Test {
        name: "stack.raid1",
        promise: "an md array of both partitions: stopped, ejected, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: raid1,
    },
    Test {
        name: "stack.raid-open",
        promise: "a program that has an array itself open: exit 3, still mounted",
        drives: &[&STICK],
        machine: &STANDARD,
        run: raid_open,
    },
    Test {
        name: "stack.raid-inactive",
        promise: "an array of which one half was found, never started: no data is said to be lost, and the stick is out",
        drives: &[&STICK],
        machine: &STANDARD,
        run: raid_inactive,
    },
    Test {
        name: "stack.mapping-empty",
        promise: "a mapping without content on a partition: no data is said to be lost, and it does not block",
        drives: &[&STICK],
        machine: &STANDARD,
        run: mapping_empty,
    },
    Test {
        name: "stack.half-pulled",
        promise: "one half of a mirror was pulled: the other one is released, every byte there",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: half_pulled,
    },
    Test {
        name: "stack.btrfs",
        promise: "btrfs over both partitions: unmounted, ejected, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: btrfs,
    },
    Test {
        name: "stack.image",
        promise: "an image on the stick, mounted: detached first, every byte in it afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: image,
    },
    Test {
        name: "stack.image-on-btrfs",
        promise: "an image on a btrfs, whose files' device numbers are its own: detached first, every byte there",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| {
            image_on(ctx, "image-on-btrfs", "modprobe btrfs; mkfs.btrfs -q -f -M", "-t btrfs")
        },
    },
    Test {
        name: "stack.image-on-fuse",
        promise: "an image on an NTFS that a program serves: that program does not block",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| image_on(ctx, "image-on-fuse", "mkfs.ntfs -q -Q", "-t ntfs-3g"),
    },
    Test {
        name: "stack.fuse-in-luks",
        promise: "an NTFS in LUKS that a program serves: unmounted, closed, ejected, every byte there afterwards",
        drives: &[&STICK],
        machine: &STANDARD,
        run: fuse_in_luks,
    },
    Test {
        name: "stack.partitioned-image",
        promise: "an image with a partition table, its partition mounted, goes too",
        drives: &[&STICK],
        machine: &STANDARD,
        run: partitioned_image,
    },
    Test {
        name: "stack.image-busy",
        promise: "a file open in an image on the stick: exit 3, both still mounted",
        drives: &[&STICK],
        machine: &STANDARD,
        run: image_busy,
    },
    Test {
        name: "stack.swapoff",
        promise: "--swapoff: a swap partition and a swap file are switched off, and the stick is out",
        drives: &[&STICK],
        machine: &STANDARD,
        run: swapoff,
    },
    Test {
        name: "stack.whole-and-partition",
        promise: "vfat on the whole stick, with the partition over all of it that mkfs.vfat makes: ejected, every byte there",
        drives: &[&STICK],
        machine: &STANDARD,
        run: whole_and_partition,
    },
    Test {
        name: "stack.spanning",
        promise: "a volume group that spans another drive: in use, with the reason, also by force, nothing touched",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: spanning,
    },
    Test {
        name: "stack.btrfs-spanning",
        promise: "btrfs over two drives: one alone is refused, both in one call are out",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: btrfs_spanning,
    },
    Test {
        name: "stack.together",
        promise: "both members of an array in one call, --power-off: stopped, and both gone",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: together,
    },
    Test {
        name: "stack.together-reversed",
        promise: "the same members in the other order: stopped, and both gone",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: together_reversed,
    },
    Test {
        name: "stack.together-busy",
        promise: "something of one member is in use: exit 3 for both, and nothing of either is dismounted",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: together_busy,
    },
];

/// LVM without udev, which the guest does not have: it must neither wait for it nor rely on it.
const NO_UDEV: &str = "export DM_DISABLE_UDEV=1; lvm() { command lvm \"$@\" --config \
    'devices{use_devicesfile=0 obtain_device_list_from_udev=0} activation{udev_sync=0 udev_rules=0}'; }; rm -rf /dev/rigvg; ";

const FORMAT: &str = "cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 -d /tmp/key";

fn make(ctx: &mut TestContext, script: &str) -> Result<String> {
    ctx.sh(&format!("set -e; {NO_UDEV}{script}"))
}

/// Writes the data that is compared afterwards, without sync.
fn fill(ctx: &mut TestContext, directory: &str) -> Result<()> {
    ctx.sh(&format!("head -c 8000000 /dev/urandom >/tmp/data && cp /tmp/data {directory}/data.bin"))
        .map(drop)
}

/// Ejects the stick and loads it again, so that everything is then read from the medium.
fn eject_and_load(ctx: &mut TestContext, target: &str) -> Result<Value> {
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(0, &["eject", target])?;
    ctx.expect_tray(mark, &STICK, true)?;
    let left = ctx.sh("ls /sys/block | grep -E '^(dm-|md)' || true")?;
    ensure!(left.is_empty(), "still up: {left}");
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    Ok(document)
}

fn expect_data(ctx: &mut TestContext, directory: &str) -> Result<()> {
    ctx.sh(&format!("cmp /tmp/data {directory}/data.bin")).map(drop)
}

pub fn make_luks(ctx: &mut TestContext) -> Result<String> {
    let part = ctx.partition(&STICK, 1)?;
    make(
        ctx,
        &format!(
            "echo -n secret >/tmp/key; {FORMAT} {part}; cryptsetup open -d /tmp/key {part} rigluks"
        ),
    )?;
    Ok(part)
}

fn luks(ctx: &mut TestContext) -> Result<()> {
    let part = make_luks(ctx)?;
    ctx.sh("mkfs.ext4 -q /dev/mapper/rigluks")?;
    ctx.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    doc_output::hold(ctx, "luks", "", &[&STICK])?;
    fill(ctx, "/mnt/luks")?;
    eject_and_load(ctx, "/mnt/luks")?;
    ctx.sh("! test -e /dev/mapper/rigluks")?;
    make(ctx, &format!("cryptsetup open -d /tmp/key {part} rigluks"))?;
    ctx.sh("fsck.ext4 -fn /dev/mapper/rigluks")?;
    ctx.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    expect_data(ctx, "/mnt/luks")
}

/// Makes `/mnt/lv` on rigvg/riglv on rigluks on the first partition, and mounts the second.
fn make_lvm_on_luks(ctx: &mut TestContext) -> Result<String> {
    let part = make_luks(ctx)?;
    make(
        ctx,
        "lvm pvcreate -q -y /dev/mapper/rigluks; lvm vgcreate -q rigvg /dev/mapper/rigluks; \
         lvm lvcreate -q -y -Wn -Zn -l 100%FREE -n riglv rigvg; mkfs.ext4 -q /dev/mapper/rigvg-riglv",
    )?;
    ctx.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    let fat = ctx.partition(&STICK, 2)?;
    ctx.mount(&fat, "/mnt/fat")?;
    Ok(part)
}

fn lvm_on_luks(ctx: &mut TestContext) -> Result<()> {
    let part = make_lvm_on_luks(ctx)?;
    doc_output::hold(ctx, "lvm-on-luks", "", &[&STICK])?;
    fill(ctx, "/mnt/lv")?;
    let node = ctx.node(&STICK)?;
    eject_and_load(ctx, &node)?;
    make(
        ctx,
        &format!(
            "cryptsetup open -d /tmp/key {part} rigluks; lvm vgchange -q -ay rigvg; \
             fsck.ext4 -fn /dev/mapper/rigvg-riglv"
        ),
    )?;
    ctx.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    expect_data(ctx, "/mnt/lv")
}

/// Fails unless every level of [`make_lvm_on_luks`] is up and the top takes new files.
fn expect_all_up(ctx: &mut TestContext) -> Result<()> {
    ctx.expect_mounted("/mnt/lv", true)?;
    ctx.expect_mounted("/mnt/fat", true)?;
    ctx.sh("echo on >/mnt/lv/still && sync -f /mnt/lv/still && test -e /dev/mapper/rigluks")?;
    let mappings = ctx.sh("dmsetup ls | sort | cut -f1 | tr '\\n' ' '")?;
    ensure!(mappings == "rigluks rigvg-riglv", "mappings: {mappings}");
    Ok(())
}

fn lvm(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    make(
        ctx,
        &format!(
            "wipefs -qa {one} {two}; lvm pvcreate -q -y {one} {two}; lvm vgcreate -q rigvg {one} {two}; \
             lvm lvcreate -q -y -Wn -Zn -L 20M -n second rigvg; lvm lvcreate -q -y -Wn -Zn -l 100%FREE -n riglv rigvg; \
             mkfs.ext4 -q /dev/mapper/rigvg-riglv; mkfs.ext4 -q /dev/mapper/rigvg-second"
        ),
    )?;
    ctx.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    doc_output::hold(ctx, "lvm", "", &[&STICK])?;
    fill(ctx, "/mnt/lv")?;
    eject_and_load(ctx, "/mnt/lv")?;
    make(ctx, "lvm vgchange -q -ay rigvg; fsck.ext4 -fn /dev/mapper/rigvg-riglv")?;
    ctx.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    expect_data(ctx, "/mnt/lv")
}

fn whole_and_partition(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    make(
        ctx,
        &format!(
            "wipefs -qa {node}; mkfs.vfat -F 32 --mbr=y -I {node}; blockdev --rereadpt {node}; \
             for i in $(seq 50); do test -e {node}1 && break; sleep 0.1; done; test -e {node}1"
        ),
    )?;
    ctx.mount(&node, "/mnt/whole")?;
    fill(ctx, "/mnt/whole")?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(0, &["eject", "/mnt/whole"])?;
    let warnings = &document["targets"][0]["warnings"];
    ensure!(warnings.as_array().is_some_and(Vec::is_empty), "it warns: {warnings}");
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.sh(&format!(
        "for i in $(seq 100); do test $(blockdev --getsize64 {node}) -gt 0 && break; sleep 0.1; done"
    ))?;
    ctx.mount(&node, "/mnt/whole")?;
    expect_data(ctx, "/mnt/whole")
}

fn luks_whole(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    let set_up = format!(
        "wipefs -qa {node}; blockdev --rereadpt {node}; echo -n secret >/tmp/key; {FORMAT} {node}; \
         cryptsetup open -d /tmp/key {node} rigluks; mkfs.ext4 -q /dev/mapper/rigluks"
    );
    make(ctx, &set_up)?;
    ctx.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    doc_output::hold(ctx, "luks-whole", "", &[&STICK])?;
    fill(ctx, "/mnt/luks")?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "/mnt/luks"])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.sh("! test -e /dev/mapper/rigluks")?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.sh(&format!(
        "for i in $(seq 100); do test $(blockdev --getsize64 {node}) -gt 0 && exit 0; sleep 0.1; done; exit 1"
    ))?;
    make(ctx, &format!("cryptsetup open -d /tmp/key {node} rigluks"))?;
    ctx.sh("fsck.ext4 -fn /dev/mapper/rigluks")?;
    ctx.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    expect_data(ctx, "/mnt/luks")
}

fn dry_run(ctx: &mut TestContext) -> Result<()> {
    make_lvm_on_luks(ctx)?;
    let mark = ctx.machine.qmp.mark();
    let node = ctx.node(&STICK)?;
    let document = ctx.unmoor_json(0, &["eject", "--dry-run", &node])?;
    let steps = document["targets"][0]["steps"].as_array().cloned().unwrap_or_default();
    let dismount = steps.iter().find(|step| step["step"] == "dismount");
    let reason = dismount.and_then(|s| s["reason"].as_str()).unwrap_or_default().to_owned();
    let wanted = "/mnt/fat, /mnt/lv, logical volume dm-1, encrypted volume dm-0";
    ensure!(reason == wanted, "{reason}");
    expect_all_up(ctx)?;
    ctx.expect_untouched(mark, &STICK)
}

fn expect_busy(ctx: &mut TestContext, target: &str) -> Result<()> {
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, &["eject", target])?;
    ensure!(document["targets"][0]["outcome"] == "busy", "{document}");
    ctx.expect_untouched(mark, &STICK)
}

fn busy_top(ctx: &mut TestContext) -> Result<()> {
    make_lvm_on_luks(ctx)?;
    ctx.hold("exec 9>/mnt/lv/held; echo held; exec sleep 1000")?;
    expect_busy(ctx, "/mnt/fat")?;
    expect_all_up(ctx)
}

fn busy_middle(ctx: &mut TestContext) -> Result<()> {
    make_lvm_on_luks(ctx)?;
    ctx.hold("exec 9</dev/mapper/rigluks; echo held; exec sleep 1000")?;
    expect_busy(ctx, "/mnt/lv")?;
    expect_all_up(ctx)
}

pub fn make_raid1(ctx: &mut TestContext, one: &str, two: &str) -> Result<()> {
    make(
        ctx,
        &format!(
            "wipefs -qa {one} {two}; mdadm --quiet --create /dev/md0 --run --level=1 --raid-devices=2 \
             --metadata=1.2 --assume-clean {one} {two}; mkfs.ext4 -q /dev/md0"
        ),
    )?;
    ctx.mount("/dev/md0", "/mnt/raid")
}

fn raid1(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    make_raid1(ctx, &one, &two)?;
    doc_output::hold(ctx, "raid1", "", &[&STICK])?;
    fill(ctx, "/mnt/raid")?;
    eject_and_load(ctx, "/mnt/raid")?;
    make(ctx, &format!("mdadm --quiet --assemble /dev/md0 {one} {two}; fsck.ext4 -fn /dev/md0"))?;
    let state = ctx.sh("cat /sys/block/md0/md/degraded /sys/block/md0/md/resync_start")?;
    ensure!(state == "0\nnone", "the array was not stopped cleanly: {state}");
    ctx.mount("/dev/md0", "/mnt/raid")?;
    expect_data(ctx, "/mnt/raid")
}

fn raid_inactive(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    make_raid1(ctx, &one, &two)?;
    ctx.sh("umount /mnt/raid && mdadm --quiet --stop /dev/md0")?;
    make(
        ctx,
        &format!("mdadm --quiet --incremental {one} || true; cat /sys/block/md*/md/array_state"),
    )?;
    let state = ctx.sh("cat /sys/block/md*/md/array_state")?;
    ensure!(state == "inactive", "the array is {state}");
    ctx.unmoor(0, &["flush", &one])?;
    eject_and_load(ctx, &one).map(drop)
}

fn mapping_empty(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 1)?;
    make(
        ctx,
        &format!(
            "modprobe dm-mod; dmsetup create rigempty --notable && \
             echo '0 8 linear {part} 0' | dmsetup load rigempty"
        ),
    )?;
    ctx.unmoor(0, &["flush", &part])?;
    ctx.unmoor_json(0, &["eject", &part]).map(drop)
}

fn half_pulled(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK2, 1)?);
    make_raid1(ctx, &one, &two)?;
    fill(ctx, "/mnt/raid")?;
    ctx.sh("sync -f /mnt/raid/data.bin")?;
    ctx.machine.yank(&STICK2)?;
    ctx.sh(&format!("for i in $(seq 100); do test -e {two} || exit 0; sleep 0.1; done; exit 1"))?;
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", &node])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.machine.plug(&STICK2)?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    make(ctx, &format!("mdadm --quiet --assemble --run /dev/md0 {one}; fsck.ext4 -fn /dev/md0"))?;
    ctx.mount("/dev/md0", "/mnt/raid")?;
    expect_data(ctx, "/mnt/raid")
}

fn raid_open(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    make_raid1(ctx, &one, &two)?;
    ctx.hold("exec 9</dev/md0; echo held; exec sleep 1000")?;
    expect_busy(ctx, "/mnt/raid")?;
    ctx.sh("echo on >/mnt/raid/still && sync -f /mnt/raid/still").map(drop)
}

fn btrfs(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    ctx.sh(&format!(
        "modprobe btrfs; mkfs.btrfs -q -f -M -d single -m single {one} {two} && btrfs device scan {one} {two}"
    ))?;
    ctx.mount(&two, "/mnt/btrfs")?;
    doc_output::hold(ctx, "btrfs", "", &[&STICK])?;
    fill(ctx, "/mnt/btrfs")?;
    eject_and_load(ctx, "/mnt/btrfs")?;
    ctx.sh(&format!("btrfs check --readonly {one} && btrfs device scan {one} {two}"))?;
    ctx.mount(&one, "/mnt/btrfs")?;
    expect_data(ctx, "/mnt/btrfs")
}

/// Mounts an image on the stick's second partition at `/mnt/image`.
fn mount_image(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    make(
        ctx,
        "truncate -s 32M /mnt/fat/disk.img; mkfs.ext4 -q /mnt/fat/disk.img; mkdir -p /mnt/image; \
         mount $(losetup --show -f /mnt/fat/disk.img) /mnt/image",
    )
    .map(drop)
}

fn image(ctx: &mut TestContext) -> Result<()> {
    mount_image(ctx)?;
    doc_output::hold(ctx, "image", "", &[&STICK])?;
    fill(ctx, "/mnt/image")?;
    eject_and_load(ctx, "/mnt/fat")?;
    ensure!(ctx.sh("losetup -a")?.is_empty(), "a loop device is left");
    mount_both(ctx)?;
    ctx.sh("fsck.ext4 -fn /mnt/fat/disk.img")?;
    ctx.sh("mount -o ro,loop /mnt/fat/disk.img /mnt/image")?;
    expect_data(ctx, "/mnt/image")
}

/// Mounts an image on a new file system on the second partition.
fn image_on(ctx: &mut TestContext, name: &str, make_it: &str, how: &str) -> Result<()> {
    let part = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!("{make_it} {part}"))?;
    ctx.mount(&format!("{how} {part}"), "/mnt/below")?;
    make(
        ctx,
        "truncate -s 32M /mnt/below/disk.img; mkfs.ext4 -q /mnt/below/disk.img; mkdir -p /mnt/image; \
         mount $(losetup --show -f /mnt/below/disk.img) /mnt/image",
    )?;
    doc_output::hold(ctx, name, "", &[&STICK])?;
    fill(ctx, "/mnt/image")?;
    eject_and_load(ctx, "/mnt/below")?;
    ensure!(ctx.sh("losetup -a")?.is_empty(), "a loop device is left");
    ctx.mount(&format!("{how} {part}"), "/mnt/below")?;
    ctx.sh("fsck.ext4 -fn /mnt/below/disk.img")?;
    ctx.sh("mount -o ro,loop /mnt/below/disk.img /mnt/image")?;
    expect_data(ctx, "/mnt/image")
}

fn fuse_in_luks(ctx: &mut TestContext) -> Result<()> {
    let part = make_luks(ctx)?;
    ctx.sh("mkfs.ntfs -q -Q -F /dev/mapper/rigluks")?;
    ctx.mount("-t ntfs-3g /dev/mapper/rigluks", "/mnt/luks")?;
    doc_output::hold(ctx, "fuse-in-luks", "", &[&STICK])?;
    fill(ctx, "/mnt/luks")?;
    eject_and_load(ctx, "/mnt/luks")?;
    make(ctx, &format!("cryptsetup open -d /tmp/key {part} rigluks"))?;
    ctx.sh("ntfscat -f /dev/mapper/rigluks data.bin | cmp - /tmp/data").map(drop)
}

fn partitioned_image(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let device = make(
        ctx,
        "truncate -s 32M /mnt/fat/disk.img; echo '2048,,L' | sfdisk -q /mnt/fat/disk.img; \
         losetup --show -f -P /mnt/fat/disk.img",
    )?;
    make(ctx, &format!("mkfs.ext4 -q {device}p1"))?;
    ctx.mount(&format!("{device}p1"), "/mnt/image")?;
    doc_output::hold(ctx, "partitioned-image", "", &[&STICK])?;
    eject_and_load(ctx, "/mnt/fat")?;
    ensure!(ctx.sh("losetup -a")?.is_empty(), "a loop device is left");
    Ok(())
}

fn image_busy(ctx: &mut TestContext) -> Result<()> {
    mount_image(ctx)?;
    ctx.hold("cd /mnt/image; echo held; exec sleep 1000")?;
    expect_busy(ctx, "/mnt/fat")?;
    ctx.expect_mounted("/mnt/image", true)?;
    ctx.expect_mounted("/mnt/fat", true)
}

fn swapoff(ctx: &mut TestContext) -> Result<()> {
    let (ext, swap) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK, 2)?);
    ctx.mount(&ext, "/mnt/ext")?;
    make(
        ctx,
        &format!(
            "mkswap -q {swap}; swapon {swap}; dd if=/dev/zero of=/mnt/ext/swap bs=1M count=8 status=none; \
             chmod 600 /mnt/ext/swap; mkswap -q /mnt/ext/swap; swapon /mnt/ext/swap"
        ),
    )?;
    doc_output::hold(ctx, "swap", "", &[&STICK])?;
    doc_output::hold(ctx, "swapoff", "--swapoff", &[&STICK])?;
    let mark = ctx.machine.qmp.mark();
    let refused = ctx.unmoor_json(3, &["eject", "/mnt/ext"])?;
    let help = refused["targets"][0]["help"].as_str().unwrap_or_default().to_owned();
    ensure!(help.contains("--swapoff"), "{help}");
    ctx.expect_untouched(mark, &STICK)?;
    ctx.unmoor(0, &["eject", "--swapoff", "/mnt/ext"])?;
    ctx.expect_tray(mark, &STICK, true)?;
    let left = ctx.sh("tail -n +2 /proc/swaps")?;
    ensure!(left.is_empty(), "still swapped to: {left}");
    Ok(())
}

fn refused(ctx: &mut TestContext, words: &[&str]) -> Result<()> {
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, words)?;
    let target = &document["targets"][0];
    ensure!(target["error"]["kind"] == "held", "{target}");
    ensure!(target["blockers"].as_array().is_some_and(|all| !all.is_empty()), "{target}");
    let message = target["message"].as_str().unwrap_or_default();
    ensure!(message.contains("another drive"), "{message}");
    ctx.expect_untouched(mark, &STICK)
}

fn spanning(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK2, 1)?);
    make(
        ctx,
        &format!(
            "wipefs -qa {one} {two}; lvm pvcreate -q -y {one} {two}; lvm vgcreate -q rigvg {one} {two}; \
             lvm lvcreate -q -y -Wn -Zn -l 100%FREE -n riglv rigvg; mkfs.ext4 -q /dev/mapper/rigvg-riglv"
        ),
    )?;
    ctx.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    doc_output::hold(ctx, "spanning", "", &[&STICK])?;
    let node = ctx.node(&STICK)?;
    refused(ctx, &["eject", &node])?;
    refused(ctx, &["eject", "--force", &node])?;
    ctx.expect_mounted("/mnt/lv", true)?;
    ctx.sh("echo on >/mnt/lv/still && sync -f /mnt/lv/still").map(drop)
}

fn btrfs_spanning(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK2, 1)?);
    ctx.sh(&format!(
        "modprobe btrfs; mkfs.btrfs -q -f -M -d single -m single {one} {two} && btrfs device scan {one} {two}"
    ))?;
    ctx.mount(&two, "/mnt/btrfs")?;
    let (first, second) = (ctx.node(&STICK)?, ctx.node(&STICK2)?);
    refused(ctx, &["eject", &first])?;
    ctx.sh("echo on >/mnt/btrfs/still && sync -f /mnt/btrfs/still")?;
    doc_output::hold(ctx, "btrfs-together", "", &[&STICK, &STICK2])?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", &first, &second])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.expect_tray(mark, &STICK2, true)
}

fn together(ctx: &mut TestContext) -> Result<()> {
    power_off_array(ctx, false)
}

fn together_reversed(ctx: &mut TestContext) -> Result<()> {
    power_off_array(ctx, true)
}

fn power_off_array(ctx: &mut TestContext, reversed: bool) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK2, 1)?);
    make_raid1(ctx, &one, &two)?;
    let mut nodes = [ctx.node(&STICK)?, ctx.node(&STICK2)?];
    if reversed {
        nodes.reverse();
    }
    refused(ctx, &["eject", "--power-off", &nodes[0]])?;
    ctx.sh("echo on >/mnt/raid/still && sync -f /mnt/raid/still")?;
    if !reversed {
        doc_output::hold(ctx, "together", "--power-off", &[&STICK, &STICK2])?;
    }
    ctx.unmoor(0, &["eject", "--power-off", &nodes[0], &nodes[1]])?;
    ensure!(ctx.node(&STICK).is_err(), "the first is still there");
    ensure!(ctx.node(&STICK2).is_err(), "the second is still there");
    ctx.expect_mounted("/mnt/raid", false)
}

fn together_busy(ctx: &mut TestContext) -> Result<()> {
    let (one, two) = (ctx.partition(&STICK, 1)?, ctx.partition(&STICK2, 1)?);
    make_raid1(ctx, &one, &two)?;
    let fat = ctx.partition(&STICK, 2)?;
    ctx.mount(&fat, "/mnt/fat")?;
    ctx.hold("exec 3>/mnt/fat/held; echo held; exec sleep 1000")?;
    let (first, second) = (ctx.node(&STICK)?, ctx.node(&STICK2)?);
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, &["eject", &second, &first])?;
    let codes: Vec<_> = (0..2).map(|n| document["targets"][n]["exit_code"].clone()).collect();
    ensure!(codes == [3, 3], "the targets' codes are {codes:?}");
    ctx.expect_untouched(mark, &STICK)?;
    ctx.expect_untouched(mark, &STICK2)?;
    ctx.sh("echo on >/mnt/raid/still && sync -f /mnt/raid/still").map(drop)
}
