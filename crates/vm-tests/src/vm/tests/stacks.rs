//! What is stacked on a stick: found idle as a whole, and undone from the top.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::stick_files::mount_both;
use crate::test_context::Trial;
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
        run: |trial| {
            image_on(trial, "image-on-btrfs", "modprobe btrfs; mkfs.btrfs -q -f -M", "-t btrfs")
        },
    },
    Test {
        name: "stack.image-on-fuse",
        promise: "an image on an NTFS that a program serves: that program is in nobody's way",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |trial| image_on(trial, "image-on-fuse", "mkfs.ntfs -q -Q", "-t ntfs-3g"),
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

/// There is no udev in the guest: nobody would answer, and nobody takes LVM's links away.
const NO_UDEV: &str = "export DM_DISABLE_UDEV=1; lvm() { command lvm \"$@\" --config \
    'devices{use_devicesfile=0 obtain_device_list_from_udev=0} activation{udev_sync=0 udev_rules=0}'; }; rm -rf /dev/rigvg; ";

const FORMAT: &str = "cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 -d /tmp/key";

fn make(trial: &mut Trial, script: &str) -> Result<String> {
    trial.sh(&format!("set -e; {NO_UDEV}{script}"))
}

/// Writes what is looked for afterwards, and syncs nothing.
fn fill(trial: &mut Trial, directory: &str) -> Result<()> {
    trial
        .sh(&format!(
            "head -c 8000000 /dev/urandom >/tmp/data && cp /tmp/data {directory}/data.bin"
        ))
        .map(drop)
}

/// Ejects the stick and loads it again: what is read from then on comes from the medium.
fn eject_and_load(trial: &mut Trial, target: &str) -> Result<Value> {
    let node = trial.node(&STICK)?;
    let mark = trial.machine.qmp.mark();
    let document = trial.unmoor_json(0, &["eject", target])?;
    trial.expect_tray(mark, &STICK, true)?;
    let left = trial.sh("ls /sys/block | grep -E '^(dm-|md)' || true")?;
    ensure!(left.is_empty(), "still up: {left}");
    trial.unmoor(0, &["load", &node])?;
    trial.await_partitions(&STICK, 2)?;
    Ok(document)
}

fn expect_data(trial: &mut Trial, directory: &str) -> Result<()> {
    trial.sh(&format!("cmp /tmp/data {directory}/data.bin")).map(drop)
}

pub fn make_luks(trial: &mut Trial) -> Result<String> {
    let part = trial.partition(&STICK, 1)?;
    make(
        trial,
        &format!(
            "echo -n secret >/tmp/key; {FORMAT} {part}; cryptsetup open -d /tmp/key {part} rigluks"
        ),
    )?;
    Ok(part)
}

fn luks(trial: &mut Trial) -> Result<()> {
    let part = make_luks(trial)?;
    trial.sh("mkfs.ext4 -q /dev/mapper/rigluks")?;
    trial.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    doc_output::hold(trial, "luks", "", &[&STICK])?;
    fill(trial, "/mnt/luks")?;
    eject_and_load(trial, "/mnt/luks")?;
    trial.sh("! test -e /dev/mapper/rigluks")?;
    make(trial, &format!("cryptsetup open -d /tmp/key {part} rigluks"))?;
    trial.sh("fsck.ext4 -fn /dev/mapper/rigluks")?;
    trial.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    expect_data(trial, "/mnt/luks")
}

/// `/mnt/lv` on rigvg/riglv on rigluks on the first partition; the second is mounted too.
fn make_lvm_on_luks(trial: &mut Trial) -> Result<String> {
    let part = make_luks(trial)?;
    make(
        trial,
        "lvm pvcreate -q -y /dev/mapper/rigluks; lvm vgcreate -q rigvg /dev/mapper/rigluks; \
         lvm lvcreate -q -y -Wn -Zn -l 100%FREE -n riglv rigvg; mkfs.ext4 -q /dev/mapper/rigvg-riglv",
    )?;
    trial.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    let fat = trial.partition(&STICK, 2)?;
    trial.mount(&fat, "/mnt/fat")?;
    Ok(part)
}

fn lvm_on_luks(trial: &mut Trial) -> Result<()> {
    let part = make_lvm_on_luks(trial)?;
    doc_output::hold(trial, "lvm-on-luks", "", &[&STICK])?;
    fill(trial, "/mnt/lv")?;
    let node = trial.node(&STICK)?;
    eject_and_load(trial, &node)?;
    make(
        trial,
        &format!(
            "cryptsetup open -d /tmp/key {part} rigluks; lvm vgchange -q -ay rigvg; \
             fsck.ext4 -fn /dev/mapper/rigvg-riglv"
        ),
    )?;
    trial.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    expect_data(trial, "/mnt/lv")
}

/// Fails unless every level of [`make_lvm_on_luks`] is up and the top takes new files.
fn expect_all_up(trial: &mut Trial) -> Result<()> {
    trial.expect_mounted("/mnt/lv", true)?;
    trial.expect_mounted("/mnt/fat", true)?;
    trial.sh("echo on >/mnt/lv/still && sync -f /mnt/lv/still && test -e /dev/mapper/rigluks")?;
    let mappings = trial.sh("dmsetup ls | sort | cut -f1 | tr '\\n' ' '")?;
    ensure!(mappings == "rigluks rigvg-riglv", "mappings: {mappings}");
    Ok(())
}

fn lvm(trial: &mut Trial) -> Result<()> {
    let (one, two) = (trial.partition(&STICK, 1)?, trial.partition(&STICK, 2)?);
    make(
        trial,
        &format!(
            "wipefs -qa {one} {two}; lvm pvcreate -q -y {one} {two}; lvm vgcreate -q rigvg {one} {two}; \
             lvm lvcreate -q -y -Wn -Zn -L 20M -n second rigvg; lvm lvcreate -q -y -Wn -Zn -l 100%FREE -n riglv rigvg; \
             mkfs.ext4 -q /dev/mapper/rigvg-riglv; mkfs.ext4 -q /dev/mapper/rigvg-second"
        ),
    )?;
    trial.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    doc_output::hold(trial, "lvm", "", &[&STICK])?;
    fill(trial, "/mnt/lv")?;
    eject_and_load(trial, "/mnt/lv")?;
    make(trial, "lvm vgchange -q -ay rigvg; fsck.ext4 -fn /dev/mapper/rigvg-riglv")?;
    trial.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    expect_data(trial, "/mnt/lv")
}

fn luks_whole(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&STICK)?;
    let set_up = format!(
        "wipefs -qa {node}; blockdev --rereadpt {node}; echo -n secret >/tmp/key; {FORMAT} {node}; \
         cryptsetup open -d /tmp/key {node} rigluks; mkfs.ext4 -q /dev/mapper/rigluks"
    );
    make(trial, &set_up)?;
    trial.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    doc_output::hold(trial, "luks-whole", "", &[&STICK])?;
    fill(trial, "/mnt/luks")?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["eject", "/mnt/luks"])?;
    trial.expect_tray(mark, &STICK, true)?;
    trial.sh("! test -e /dev/mapper/rigluks")?;
    trial.unmoor(0, &["load", &node])?;
    trial.sh(&format!(
        "for i in $(seq 100); do test $(blockdev --getsize64 {node}) -gt 0 && exit 0; sleep 0.1; done; exit 1"
    ))?;
    make(trial, &format!("cryptsetup open -d /tmp/key {node} rigluks"))?;
    trial.sh("fsck.ext4 -fn /dev/mapper/rigluks")?;
    trial.mount("/dev/mapper/rigluks", "/mnt/luks")?;
    expect_data(trial, "/mnt/luks")
}

fn dry_run(trial: &mut Trial) -> Result<()> {
    make_lvm_on_luks(trial)?;
    let mark = trial.machine.qmp.mark();
    let node = trial.node(&STICK)?;
    let document = trial.unmoor_json(0, &["eject", "--dry-run", &node])?;
    let steps = document["targets"][0]["steps"].as_array().cloned().unwrap_or_default();
    let dismount = steps.iter().find(|step| step["step"] == "dismount");
    let reason = dismount.and_then(|s| s["reason"].as_str()).unwrap_or_default().to_owned();
    let wanted = "/mnt/fat, /mnt/lv, logical volume dm-1, encrypted volume dm-0";
    ensure!(reason == wanted, "{reason}");
    expect_all_up(trial)?;
    trial.expect_untouched(mark, &STICK)
}

fn expect_busy(trial: &mut Trial, target: &str) -> Result<()> {
    let mark = trial.machine.qmp.mark();
    let document = trial.unmoor_json(3, &["eject", target])?;
    ensure!(document["targets"][0]["outcome"] == "busy", "{document}");
    trial.expect_untouched(mark, &STICK)
}

fn busy_top(trial: &mut Trial) -> Result<()> {
    make_lvm_on_luks(trial)?;
    trial.hold("exec 9>/mnt/lv/held; echo held; exec sleep 1000")?;
    expect_busy(trial, "/mnt/fat")?;
    expect_all_up(trial)
}

fn busy_middle(trial: &mut Trial) -> Result<()> {
    make_lvm_on_luks(trial)?;
    trial.hold("exec 9</dev/mapper/rigluks; echo held; exec sleep 1000")?;
    expect_busy(trial, "/mnt/lv")?;
    expect_all_up(trial)
}

pub fn make_raid1(trial: &mut Trial, one: &str, two: &str) -> Result<()> {
    make(
        trial,
        &format!(
            "wipefs -qa {one} {two}; mdadm --quiet --create /dev/md0 --run --level=1 --raid-devices=2 \
             --metadata=1.2 --assume-clean {one} {two}; mkfs.ext4 -q /dev/md0"
        ),
    )?;
    trial.mount("/dev/md0", "/mnt/raid")
}

fn raid1(trial: &mut Trial) -> Result<()> {
    let (one, two) = (trial.partition(&STICK, 1)?, trial.partition(&STICK, 2)?);
    make_raid1(trial, &one, &two)?;
    doc_output::hold(trial, "raid1", "", &[&STICK])?;
    fill(trial, "/mnt/raid")?;
    eject_and_load(trial, "/mnt/raid")?;
    make(trial, &format!("mdadm --quiet --assemble /dev/md0 {one} {two}; fsck.ext4 -fn /dev/md0"))?;
    let state = trial.sh("cat /sys/block/md0/md/degraded /sys/block/md0/md/resync_start")?;
    ensure!(state == "0\nnone", "the array was not stopped cleanly: {state}");
    trial.mount("/dev/md0", "/mnt/raid")?;
    expect_data(trial, "/mnt/raid")
}

fn raid_open(trial: &mut Trial) -> Result<()> {
    let (one, two) = (trial.partition(&STICK, 1)?, trial.partition(&STICK, 2)?);
    make_raid1(trial, &one, &two)?;
    trial.hold("exec 9</dev/md0; echo held; exec sleep 1000")?;
    expect_busy(trial, "/mnt/raid")?;
    trial.sh("echo on >/mnt/raid/still && sync -f /mnt/raid/still").map(drop)
}

fn btrfs(trial: &mut Trial) -> Result<()> {
    let (one, two) = (trial.partition(&STICK, 1)?, trial.partition(&STICK, 2)?);
    trial.sh(&format!(
        "modprobe btrfs; mkfs.btrfs -q -f -M -d single -m single {one} {two} && btrfs device scan {one} {two}"
    ))?;
    trial.mount(&two, "/mnt/btrfs")?;
    doc_output::hold(trial, "btrfs", "", &[&STICK])?;
    fill(trial, "/mnt/btrfs")?;
    eject_and_load(trial, "/mnt/btrfs")?;
    trial.sh(&format!("btrfs check --readonly {one} && btrfs device scan {one} {two}"))?;
    trial.mount(&one, "/mnt/btrfs")?;
    expect_data(trial, "/mnt/btrfs")
}

/// `/mnt/image` on an image that lies on the stick's second partition.
fn mount_image(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    make(
        trial,
        "truncate -s 32M /mnt/fat/disk.img; mkfs.ext4 -q /mnt/fat/disk.img; mkdir -p /mnt/image; \
         mount $(losetup --show -f /mnt/fat/disk.img) /mnt/image",
    )
    .map(drop)
}

fn image(trial: &mut Trial) -> Result<()> {
    mount_image(trial)?;
    doc_output::hold(trial, "image", "", &[&STICK])?;
    fill(trial, "/mnt/image")?;
    eject_and_load(trial, "/mnt/fat")?;
    ensure!(trial.sh("losetup -a")?.is_empty(), "a loop device is left");
    mount_both(trial)?;
    trial.sh("fsck.ext4 -fn /mnt/fat/disk.img")?;
    trial.sh("mount -o ro,loop /mnt/fat/disk.img /mnt/image")?;
    expect_data(trial, "/mnt/image")
}

/// On the second partition, made anew.
fn image_on(trial: &mut Trial, name: &str, make_it: &str, how: &str) -> Result<()> {
    let part = trial.partition(&STICK, 2)?;
    trial.sh(&format!("{make_it} {part}"))?;
    trial.mount(&format!("{how} {part}"), "/mnt/below")?;
    make(
        trial,
        "truncate -s 32M /mnt/below/disk.img; mkfs.ext4 -q /mnt/below/disk.img; mkdir -p /mnt/image; \
         mount $(losetup --show -f /mnt/below/disk.img) /mnt/image",
    )?;
    doc_output::hold(trial, name, "", &[&STICK])?;
    fill(trial, "/mnt/image")?;
    eject_and_load(trial, "/mnt/below")?;
    ensure!(trial.sh("losetup -a")?.is_empty(), "a loop device is left");
    trial.mount(&format!("{how} {part}"), "/mnt/below")?;
    trial.sh("fsck.ext4 -fn /mnt/below/disk.img")?;
    trial.sh("mount -o ro,loop /mnt/below/disk.img /mnt/image")?;
    expect_data(trial, "/mnt/image")
}

fn fuse_in_luks(trial: &mut Trial) -> Result<()> {
    let part = make_luks(trial)?;
    trial.sh("mkfs.ntfs -q -Q -F /dev/mapper/rigluks")?;
    trial.mount("-t ntfs-3g /dev/mapper/rigluks", "/mnt/luks")?;
    doc_output::hold(trial, "fuse-in-luks", "", &[&STICK])?;
    fill(trial, "/mnt/luks")?;
    eject_and_load(trial, "/mnt/luks")?;
    make(trial, &format!("cryptsetup open -d /tmp/key {part} rigluks"))?;
    trial.sh("ntfscat -f /dev/mapper/rigluks data.bin | cmp - /tmp/data").map(drop)
}

fn partitioned_image(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    let device = make(
        trial,
        "truncate -s 32M /mnt/fat/disk.img; echo '2048,,L' | sfdisk -q /mnt/fat/disk.img; \
         losetup --show -f -P /mnt/fat/disk.img",
    )?;
    make(trial, &format!("mkfs.ext4 -q {device}p1"))?;
    trial.mount(&format!("{device}p1"), "/mnt/image")?;
    doc_output::hold(trial, "partitioned-image", "", &[&STICK])?;
    eject_and_load(trial, "/mnt/fat")?;
    ensure!(trial.sh("losetup -a")?.is_empty(), "a loop device is left");
    Ok(())
}

fn image_busy(trial: &mut Trial) -> Result<()> {
    mount_image(trial)?;
    trial.hold("cd /mnt/image; echo held; exec sleep 1000")?;
    expect_busy(trial, "/mnt/fat")?;
    trial.expect_mounted("/mnt/image", true)?;
    trial.expect_mounted("/mnt/fat", true)
}

fn swapoff(trial: &mut Trial) -> Result<()> {
    let (ext, swap) = (trial.partition(&STICK, 1)?, trial.partition(&STICK, 2)?);
    trial.mount(&ext, "/mnt/ext")?;
    make(
        trial,
        &format!(
            "mkswap -q {swap}; swapon {swap}; dd if=/dev/zero of=/mnt/ext/swap bs=1M count=8 status=none; \
             chmod 600 /mnt/ext/swap; mkswap -q /mnt/ext/swap; swapon /mnt/ext/swap"
        ),
    )?;
    doc_output::hold(trial, "swap", "", &[&STICK])?;
    doc_output::hold(trial, "swapoff", "--swapoff", &[&STICK])?;
    let mark = trial.machine.qmp.mark();
    let refused = trial.unmoor_json(3, &["eject", "/mnt/ext"])?;
    let help = refused["targets"][0]["help"].as_str().unwrap_or_default().to_owned();
    ensure!(help.contains("--swapoff"), "{help}");
    trial.expect_untouched(mark, &STICK)?;
    trial.unmoor(0, &["eject", "--swapoff", "/mnt/ext"])?;
    trial.expect_tray(mark, &STICK, true)?;
    let left = trial.sh("tail -n +2 /proc/swaps")?;
    ensure!(left.is_empty(), "still swapped to: {left}");
    Ok(())
}

fn refused(trial: &mut Trial, words: &[&str]) -> Result<()> {
    let mark = trial.machine.qmp.mark();
    let document = trial.unmoor_json(3, words)?;
    let target = &document["targets"][0];
    ensure!(target["error"]["kind"] == "held", "{target}");
    ensure!(target["blockers"].as_array().is_some_and(|all| !all.is_empty()), "{target}");
    let message = target["message"].as_str().unwrap_or_default();
    ensure!(message.contains("another drive"), "{message}");
    trial.expect_untouched(mark, &STICK)
}

fn spanning(trial: &mut Trial) -> Result<()> {
    let (one, two) = (trial.partition(&STICK, 1)?, trial.partition(&STICK2, 1)?);
    make(
        trial,
        &format!(
            "wipefs -qa {one} {two}; lvm pvcreate -q -y {one} {two}; lvm vgcreate -q rigvg {one} {two}; \
             lvm lvcreate -q -y -Wn -Zn -l 100%FREE -n riglv rigvg; mkfs.ext4 -q /dev/mapper/rigvg-riglv"
        ),
    )?;
    trial.mount("/dev/mapper/rigvg-riglv", "/mnt/lv")?;
    doc_output::hold(trial, "spanning", "", &[&STICK])?;
    let node = trial.node(&STICK)?;
    refused(trial, &["eject", &node])?;
    refused(trial, &["eject", "--force", &node])?;
    trial.expect_mounted("/mnt/lv", true)?;
    trial.sh("echo on >/mnt/lv/still && sync -f /mnt/lv/still").map(drop)
}

fn btrfs_spanning(trial: &mut Trial) -> Result<()> {
    let (one, two) = (trial.partition(&STICK, 1)?, trial.partition(&STICK2, 1)?);
    trial.sh(&format!(
        "modprobe btrfs; mkfs.btrfs -q -f -M -d single -m single {one} {two} && btrfs device scan {one} {two}"
    ))?;
    trial.mount(&two, "/mnt/btrfs")?;
    let (first, second) = (trial.node(&STICK)?, trial.node(&STICK2)?);
    refused(trial, &["eject", &first])?;
    trial.sh("echo on >/mnt/btrfs/still && sync -f /mnt/btrfs/still")?;
    doc_output::hold(trial, "btrfs-together", "", &[&STICK, &STICK2])?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["eject", &first, &second])?;
    trial.expect_tray(mark, &STICK, true)?;
    trial.expect_tray(mark, &STICK2, true)
}

fn together(trial: &mut Trial) -> Result<()> {
    power_off_array(trial, false)
}

fn together_reversed(trial: &mut Trial) -> Result<()> {
    power_off_array(trial, true)
}

fn power_off_array(trial: &mut Trial, reversed: bool) -> Result<()> {
    let (one, two) = (trial.partition(&STICK, 1)?, trial.partition(&STICK2, 1)?);
    make_raid1(trial, &one, &two)?;
    let mut nodes = [trial.node(&STICK)?, trial.node(&STICK2)?];
    if reversed {
        nodes.reverse();
    }
    refused(trial, &["eject", "--power-off", &nodes[0]])?;
    trial.sh("echo on >/mnt/raid/still && sync -f /mnt/raid/still")?;
    if !reversed {
        doc_output::hold(trial, "together", "--power-off", &[&STICK, &STICK2])?;
    }
    trial.unmoor(0, &["eject", "--power-off", &nodes[0], &nodes[1]])?;
    ensure!(trial.node(&STICK).is_err(), "the first is still there");
    ensure!(trial.node(&STICK2).is_err(), "the second is still there");
    trial.expect_mounted("/mnt/raid", false)
}

fn together_busy(trial: &mut Trial) -> Result<()> {
    let (one, two) = (trial.partition(&STICK, 1)?, trial.partition(&STICK2, 1)?);
    make_raid1(trial, &one, &two)?;
    let fat = trial.partition(&STICK, 2)?;
    trial.mount(&fat, "/mnt/fat")?;
    trial.hold("exec 3>/mnt/fat/held; echo held; exec sleep 1000")?;
    let (first, second) = (trial.node(&STICK)?, trial.node(&STICK2)?);
    let mark = trial.machine.qmp.mark();
    let document = trial.unmoor_json(3, &["eject", &second, &first])?;
    let codes: Vec<_> = (0..2).map(|n| document["targets"][n]["exit_code"].clone()).collect();
    ensure!(codes == [3, 3], "the targets' codes are {codes:?}");
    trial.expect_untouched(mark, &STICK)?;
    trial.expect_untouched(mark, &STICK2)?;
    trial.sh("echo on >/mnt/raid/still && sync -f /mnt/raid/still").map(drop)
}
