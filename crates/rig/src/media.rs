//! Media of the drives, made without root and without mounting.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use xtask::process::{program, run};

pub const MIB: u64 = 1024 * 1024;

/// Kind of medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Medium {
    /// ISO 9660, label `RIGCD`.
    Cd,
    /// ISO 9660, label `RIGDVD`.
    Dvd,
    /// Partition 1 ext4 (`RIGEXT`), partition 2 vfat (`RIGFAT`).
    Stick,
    /// The same, with one sector in vfat's data area that cannot be written.
    Flawed,
    /// One vfat partition (`RIGTWO`).
    Plain,
    /// One vfat partition (`RIGCARD`); its size is a power of two, as QEMU wants of a card.
    Card,
    /// ext4 on the whole disk (`RIGOWN`).
    Own,
    /// vfat on the whole of a 1.44 MB floppy (`RIGFLOPPY`).
    Floppy,
}

impl Medium {
    pub fn read_only(self) -> bool {
        matches!(self, Self::Cd | Self::Dvd)
    }

    /// Returns the number of partitions; 0 if the file system fills the drive.
    pub fn partitions(self) -> u32 {
        match self {
            Self::Cd | Self::Dvd | Self::Own | Self::Floppy => 0,
            Self::Plain | Self::Card => 1,
            Self::Stick | Self::Flawed => 2,
        }
    }
}

/// Position of a partition, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Partition {
    pub start: u64,
    pub size: u64,
}

pub const STICK_EXT4: Partition = Partition { start: MIB, size: 63 * MIB };
pub const STICK_VFAT: Partition = Partition { start: 64 * MIB, size: 64 * MIB };
pub const ONE: Partition = Partition { start: MIB, size: 63 * MIB };

/// Bad sector of [`Medium::Flawed`]. Any file that fills the first third of the partition has it.
pub const BAD_SECTOR: u64 = (STICK_VFAT.start + 16 * MIB) / 512;

pub const STICK_EXT4_UUID: &str = "5e1f0000-0000-4000-8000-00000000e074";
/// UUID as `blkid` writes it; `mkfs.vfat -i` takes it without the hyphen.
pub const STICK_VFAT_UUID: &str = "5E1F-FA70";

/// Creates a new medium of this kind at `path`.
pub fn make(medium: Medium, path: &Path) -> Result<()> {
    match medium {
        Medium::Cd => disc(path, "RIGCD"),
        Medium::Dvd => disc(path, "RIGDVD"),
        Medium::Stick | Medium::Flawed => {
            partitioned(path, 128 * MIB, &[(STICK_EXT4, "83"), (STICK_VFAT, "c")])?;
            ext4(path, STICK_EXT4, "RIGEXT", STICK_EXT4_UUID)?;
            vfat(path, STICK_VFAT, "RIGFAT", &STICK_VFAT_UUID.replace('-', ""))
        }
        Medium::Plain => {
            partitioned(path, 64 * MIB, &[(ONE, "c")])?;
            vfat(path, ONE, "RIGTWO", "5E1F0002")
        }
        Medium::Card => {
            partitioned(path, 64 * MIB, &[(ONE, "c")])?;
            vfat(path, ONE, "RIGCARD", "5E1F0003")
        }
        Medium::Own => {
            let whole = Partition { start: 0, size: 64 * MIB };
            empty(path, whole.size)?;
            ext4(path, whole, "RIGOWN", "5e1f0000-0000-4000-8000-000000000001")
        }
        Medium::Floppy => {
            empty(path, 1440 * 1024)?;
            run(program("mkfs.vfat").args(["-n", "RIGFLOPPY", "-i", "5E1F0004"]).arg(path))
                .map(drop)
        }
    }
}

/// Creates an empty image.
pub fn empty(path: &Path, size: u64) -> Result<()> {
    File::create(path)
        .and_then(|file| file.set_len(size))
        .with_context(|| path.display().to_string())
}

fn disc(path: &Path, label: &str) -> Result<()> {
    let tree = path.with_extension("tree");
    fs::create_dir_all(&tree)?;
    let mut data = Vec::new();
    File::open("/dev/urandom")?.take(4 * MIB).read_to_end(&mut data)?;
    File::create(tree.join("data.bin"))?.write_all(&data)?;
    fs::write(tree.join("hello.txt"), format!("{label}\n"))?;
    run(program("genisoimage")
        .args(["-quiet", "-J", "-R", "-V", label, "-o"])
        .arg(path)
        .arg(&tree))?;
    fs::remove_dir_all(tree)?;
    Ok(())
}

/// Creates an image with these empty partitions. Types are as `sfdisk` writes them.
pub fn partitioned(path: &Path, size: u64, partitions: &[(Partition, &str)]) -> Result<()> {
    empty(path, size)?;
    let mut script = "label: dos\n".to_owned();
    for (partition, kind) in partitions {
        let (start, size) = (partition.start / 512, partition.size / 512);
        script.push_str(&format!("start={start}, size={size}, type={kind}\n"));
    }
    let table = path.with_extension("sfdisk");
    fs::write(&table, script)?;
    let shell = "sfdisk --quiet --no-reread --no-tell-kernel \"$1\" < \"$2\"";
    run(program("sh").args(["-c", shell, "sh"]).arg(path).arg(&table))?;
    fs::remove_file(table)?;
    Ok(())
}

fn ext4(path: &Path, partition: Partition, label: &str, uuid: &str) -> Result<()> {
    run(program("mkfs.ext4")
        .args(["-q", "-F", "-L", label, "-U", uuid, "-E"])
        .arg(format!("offset={},lazy_itable_init=0,lazy_journal_init=0", partition.start))
        .arg(path)
        .arg(format!("{}k", partition.size / 1024)))?;
    Ok(())
}

fn vfat(path: &Path, partition: Partition, label: &str, id: &str) -> Result<()> {
    run(program("mkfs.vfat")
        .args(["-F", "32", "-n", label, "-i", id, "--offset"])
        .arg((partition.start / 512).to_string())
        .arg(path)
        .arg((partition.size / 1024).to_string()))?;
    Ok(())
}

pub fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("--sparse=always").arg(from).arg(to)).map(drop)
}

/// Copy of a drive's image at one moment.
pub struct Snapshot {
    pub path: PathBuf,
}

impl Snapshot {
    /// Copies the image file now. It has all data that the guest has sent to QEMU, flushed or not: the copy
    /// is what an unplugged drive would have, not what a power cut would leave.
    pub fn take(image: &Path, path: PathBuf) -> Result<Self> {
        copy(image, &path)?;
        Ok(Self { path })
    }

    /// Copies one partition to a file of its own, for file system tools.
    pub fn partition(&self, partition: Partition) -> Result<PathBuf> {
        let path = self.path.with_extension(format!("{}.part", partition.start));
        run(Command::new("dd")
            .args(["status=none", "bs=1M", "conv=sparse"])
            .arg(format!("if={}", self.path.display()))
            .arg(format!("of={}", path.display()))
            .arg(format!("skip={}", partition.start / MIB))
            .arg(format!("count={}", partition.size / MIB)))?;
        Ok(path)
    }
}

/// File system, which selects the tools that check it.
#[derive(Clone, Copy, Debug)]
pub enum FileSystem {
    Ext4,
    Vfat,
}

/// Fails unless the file system's own checker finds it clean, without any repair.
pub fn check(file_system: FileSystem, path: &Path) -> Result<()> {
    match file_system {
        FileSystem::Ext4 => {
            // e2fsck -n passes over an unreplayed journal: a clean dismount leaves none.
            let header = run(program("dumpe2fs").arg("-h").arg(path))?;
            anyhow::ensure!(
                !header.contains("needs_recovery"),
                "the ext4 journal was not replayed"
            );
            run(program("fsck.ext4").arg("-fn").arg(path)).map(drop)
        }
        FileSystem::Vfat => {
            let said = run(program("fsck.vfat").arg("-n").arg(path))?;
            anyhow::ensure!(
                !said.contains("Dirty bit"),
                "the vfat volume is marked dirty:\n{said}"
            );
            Ok(())
        }
    }
}

/// Replays the journal of the ext4 file system in this file, as the next mount would.
pub fn recover(path: &Path) -> Result<()> {
    run(program("e2fsck").args(["-E", "journal_only", "-y"]).arg(path)).map(drop)
}

/// Returns the sha256 of a file in the file system image, without mounting it.
pub fn checksum(file_system: FileSystem, path: &Path, name: &str) -> Result<String> {
    let copy = path.with_extension("copy");
    let _ = fs::remove_file(&copy);
    match file_system {
        FileSystem::Ext4 => run(program("debugfs")
            .arg("-R")
            .arg(format!("dump /{name} \"{}\"", copy.display()))
            .arg(path))?,
        FileSystem::Vfat => {
            run(program("mcopy").args(["-n", "-i"]).arg(path).arg(format!("::{name}")).arg(&copy))?
        }
    };
    let sum = run(Command::new("sha256sum").arg(&copy))
        .with_context(|| format!("{name} is not on it"))?;
    fs::remove_file(copy)?;
    Ok(sum.split_whitespace().next().unwrap_or_default().to_owned())
}
