//! The USB stick: everything written is on it when the command says it may be pulled out.

use anyhow::{Context, Result, ensure};

use crate::rig::drives::{Drive, STICK, STICK2};
use crate::rig::media::{FileSystem, STICK_EXT4, STICK_VFAT, Snapshot, check, checksum, recover};
use crate::vm::trial::Trial;
use crate::vm::{STANDARD, Test};

pub const TESTS: &[Test] = &[
    Test {
        name: "stick.every-byte",
        promise: "20 MB just written to ext4 and to vfat, not synced: exit 0, every byte on the image, fsck clean",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |trial| every_byte(trial, &["eject", "/mnt/ext"]),
    },
    Test {
        name: "stick.by-other-partition",
        promise: "naming one partition's device releases the whole stick",
        drives: &[&STICK],
        machine: &STANDARD,
        run: by_other_partition,
    },
    Test {
        name: "stick.dismount-only",
        promise: "--dismount-only leaves the medium in, with every byte on it",
        drives: &[&STICK],
        machine: &STANDARD,
        run: dismount_only,
    },
    Test {
        name: "stick.power-off",
        promise: "--power-off: every byte on the image, the device gone from the guest, its neighbour not",
        drives: &[&STICK, &STICK2],
        machine: &STANDARD,
        run: power_off,
    },
    Test {
        name: "stick.unmounted",
        promise: "a stick that is not mounted is ejected too",
        drives: &[&STICK],
        machine: &STANDARD,
        run: unmounted,
    },
    Test {
        name: "stick.twice",
        promise: "ejecting what is ejected already: exit 4",
        drives: &[&STICK],
        machine: &STANDARD,
        run: twice,
    },
    Test {
        name: "stick.load",
        promise: "load brings an ejected stick's medium back",
        drives: &[&STICK],
        machine: &STANDARD,
        run: load,
    },
    Test {
        name: "stick.flush",
        promise: "flush puts every byte on the medium and leaves it mounted",
        drives: &[&STICK],
        machine: &STANDARD,
        run: flush,
    },
];

/// What was written to the two partitions of the stick.
pub struct Written {
    ext4: String,
    vfat: String,
}

/// Mounts both partitions at `/mnt/ext` and `/mnt/fat`.
pub fn mount_both(trial: &mut Trial) -> Result<()> {
    mount_at(trial, &STICK)
}

/// The same of another drive with such a medium.
pub fn mount_at(trial: &mut Trial, drive: &Drive) -> Result<()> {
    let (ext, fat) = (trial.partition(drive, 1)?, trial.partition(drive, 2)?);
    let script =
        format!("mkdir -p /mnt/ext /mnt/fat && mount {ext} /mnt/ext && mount {fat} /mnt/fat");
    trial.sh(&script).map(drop)
}

/// Writes 20 MB of random data to both, and syncs nothing.
pub fn write_both(trial: &mut Trial) -> Result<Written> {
    write(trial, 20_000_000)
}

/// Writes that much random data to both, and syncs nothing.
pub fn write(trial: &mut Trial, bytes: u32) -> Result<Written> {
    let mut write = |path: &str| -> Result<String> {
        // The sum is taken of the source: what is in the cache may be what is wrong.
        let script = format!(
            "head -c {bytes} /dev/urandom >/tmp/data && cp /tmp/data {path} && sha256sum </tmp/data; rm /tmp/data"
        );
        let sum = trial.sh(&script)?;
        Ok(sum.split_whitespace().next().unwrap_or_default().to_owned())
    };
    Ok(Written { ext4: write("/mnt/ext/data.bin")?, vfat: write("/mnt/fat/data.bin")? })
}

impl Written {
    /// Fails unless the image has what was written to ext4, which may still be mounted.
    pub fn expect_ext4_after_its_journal(&self, image: &Snapshot) -> Result<()> {
        let part = image.partition(STICK_EXT4)?;
        recover(&part)?;
        let sum = checksum(FileSystem::Ext4, &part, "data.bin").context("on the image")?;
        ensure!(sum == self.ext4, "ext4: the image has other bytes than were written");
        check(FileSystem::Ext4, &part)
    }

    /// Fails unless the image has it all and both file systems are clean.
    pub fn expect_on(&self, image: &Snapshot) -> Result<()> {
        for (file_system, place, wanted) in
            [(FileSystem::Ext4, STICK_EXT4, &self.ext4), (FileSystem::Vfat, STICK_VFAT, &self.vfat)]
        {
            let part = image.partition(place)?;
            let sum = checksum(file_system, &part, "data.bin").context("on the image")?;
            ensure!(sum == *wanted, "{file_system:?}: the image has other bytes than were written");
            check(file_system, &part)?;
        }
        Ok(())
    }
}

/// Fails unless both sides agree that the medium has left the drive.
fn expect_gone(trial: &mut Trial, mark: usize) -> Result<()> {
    trial.expect_mounted("/mnt/ext", false)?;
    trial.expect_mounted("/mnt/fat", false)?;
    trial.expect_tray(mark, &STICK, true)?;
    let node = trial.node(&STICK)?;
    let opened = trial.try_sh(&format!("head -c 1 {node}"))?;
    ensure!(opened.stdout.is_empty(), "the guest can still read {node}");
    Ok(())
}

fn every_byte(trial: &mut Trial, words: &[&str]) -> Result<()> {
    mount_both(trial)?;
    let written = write_both(trial)?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, words)?;
    let image = trial.snapshot(&STICK)?;
    expect_gone(trial, mark)?;
    written.expect_on(&image)
}

fn by_other_partition(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    let node = trial.partition(&STICK, 2)?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["eject", &node])?;
    expect_gone(trial, mark)
}

fn dismount_only(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    let written = write_both(trial)?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["eject", "--dismount-only", "/mnt/fat"])?;
    let image = trial.snapshot(&STICK)?;
    trial.expect_mounted("/mnt/ext", false)?;
    trial.expect_mounted("/mnt/fat", false)?;
    trial.expect_untouched(mark, &STICK)?;
    written.expect_on(&image)?;
    mount_both(trial)
}

fn power_off(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    let written = write_both(trial)?;
    trial.unmoor(0, &["eject", "--power-off", "/mnt/ext"])?;
    let image = trial.snapshot(&STICK)?;
    ensure!(trial.node(&STICK).is_err(), "the device is still in the guest's /sys");
    trial.expect_mounted("/mnt/ext", false)?;
    trial.expect_mounted("/mnt/fat", false)?;
    written.expect_on(&image)?;
    let neighbour = trial.node(&STICK2)?;
    trial.sh(&format!("head -c 512 {neighbour} >/dev/null")).map(drop)
}

fn unmounted(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&STICK)?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["eject", &node])?;
    expect_gone(trial, mark)
}

fn twice(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&STICK)?;
    trial.unmoor(0, &["eject", &node])?;
    trial.unmoor(4, &["eject", &node]).map(drop)
}

fn load(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&STICK)?;
    trial.unmoor(0, &["eject", &node])?;
    let mark = trial.machine.qmp.mark();
    trial.unmoor(0, &["load", &node])?;
    trial.expect_tray(mark, &STICK, false)?;
    trial.await_media(&[&STICK])?;
    mount_both(trial)
}

fn flush(trial: &mut Trial) -> Result<()> {
    mount_both(trial)?;
    let written = write_both(trial)?;
    trial.unmoor(0, &["flush", "/mnt/ext"])?;
    let image = trial.snapshot(&STICK)?;
    trial.expect_mounted("/mnt/ext", true)?;
    trial.expect_mounted("/mnt/fat", true)?;
    // In use, both are marked dirty, rightly. What a reader would get after replaying the journal counts.
    let ext4 = image.partition(STICK_EXT4)?;
    recover(&ext4)?;
    let found = checksum(FileSystem::Ext4, &ext4, "data.bin")?;
    ensure!(found == written.ext4, "ext4: the image has other bytes than were written");
    let found = checksum(FileSystem::Vfat, &image.partition(STICK_VFAT)?, "data.bin")?;
    ensure!(found == written.vfat, "vfat: the image has other bytes than were written");
    Ok(())
}
