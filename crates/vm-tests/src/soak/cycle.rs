//! Parameters of a cycle, derived from a seed.

use super::file_system::{self, FileSystem};
use super::random::Random;

/// Layout of the file systems on the drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stack {
    /// One partition.
    Partition,
    /// Two partitions, two file systems.
    Two,
    /// No partition table.
    Whole,
    Luks,
    /// LUKS without a partition table.
    LuksWhole,
    Lvm,
    LvmOnLuks,
    /// A mirror of both partitions.
    Raid,
    /// File system in an image file on another one.
    Image,
    /// The same image, served by a FUSE program, which a loop device is on.
    Served,
    /// btrfs over both partitions.
    Btrfs,
}

pub const STACKS: &[Stack] = &[
    Stack::Partition,
    Stack::Two,
    Stack::Whole,
    Stack::Luks,
    Stack::LuksWhole,
    Stack::Lvm,
    Stack::LvmOnLuks,
    Stack::Raid,
    Stack::Image,
    Stack::Served,
    Stack::Btrfs,
];

impl Stack {
    pub fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Two => "two partitions",
            Self::Whole => "whole drive",
            Self::Luks => "LUKS",
            Self::LuksWhole => "LUKS, whole drive",
            Self::Lvm => "LVM",
            Self::LvmOnLuks => "LVM on LUKS",
            Self::Raid => "md mirror",
            Self::Image => "image on a file system",
            Self::Served => "image behind a FUSE program",
            Self::Btrfs => "btrfs over two partitions",
        }
    }

    /// Returns the number of partitions of its drive.
    pub fn partitions(self) -> u32 {
        match self {
            Self::Whole | Self::LuksWhole => 0,
            Self::Two | Self::Raid | Self::Btrfs => 2,
            _ => 1,
        }
    }
}

/// Kind of drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// USB, removable medium.
    Stick,
    /// USB, fixed medium: stopped, not ejected.
    Disk,
    /// SCSI, removable medium.
    Scsi,
}

pub const KINDS: &[Kind] = &[Kind::Stick, Kind::Disk, Kind::Scsi];

/// Options of the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    Plain,
    NoVerify,
    /// `--wait`, while a program has a file open and goes on writing.
    Wait,
    DismountOnly,
    PowerOff,
    /// `--force`, with programs that go on writing.
    Force,
    /// `--force --dismount-only`: programs can still reach the medium.
    ForceDismountOnly,
    /// `--force --power-off`
    ForcePowerOff,
    /// Refused while another mount namespace has it mounted, then released.
    Elsewhere,
    /// Refused while a program has a file open on a mount that was detached, then released.
    Detached,
    /// `--offline`, which Linux refuses, and then a release without it.
    Offline,
}

pub const RELEASES: &[Release] = &[
    Release::Plain,
    Release::Plain,
    Release::NoVerify,
    Release::Wait,
    Release::DismountOnly,
    Release::PowerOff,
    Release::Force,
    Release::ForceDismountOnly,
    Release::ForcePowerOff,
    Release::Elsewhere,
    Release::Detached,
    Release::Offline,
];

impl Release {
    pub fn words(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::NoVerify => "--no-verify",
            Self::Wait => "--wait 60s",
            Self::DismountOnly => "--dismount-only",
            Self::PowerOff => "--power-off",
            Self::Force => "--force",
            Self::ForceDismountOnly => "--force --dismount-only",
            Self::ForcePowerOff => "--force --power-off",
            Self::Elsewhere => "while mounted elsewhere, then without",
            Self::Detached => "while in use and detached, then without",
            Self::Offline => "--offline, then without",
        }
    }

    pub fn forced(self) -> bool {
        matches!(self, Self::Force | Self::ForceDismountOnly | Self::ForcePowerOff)
    }
}

/// Programs that keep writing while the drive is released by force.
pub const BACKGROUND_WRITERS: &[&str] = &["buffered", "mapped", "direct"];

/// Target on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetName {
    Drive,
    Mount,
}

/// One cycle: the drive is plugged in, written to and released.
#[derive(Clone, Debug)]
pub struct Cycle {
    pub seed: u64,
    /// Number of the cycle on its medium.
    pub number: usize,
    pub kind: Kind,
    pub release: Release,
    pub named: TargetName,
    /// Number of processes that write to each volume.
    pub processes: u64,
    pub bytes: u64,
    /// True if the kernel assumes that the drive has no cache, as with USB bridges that report none.
    pub secret_cache: bool,
}

/// Medium with its cycles. The stack is made once and used several times, as in practice.
#[derive(Clone, Debug)]
pub struct Medium {
    pub seed: u64,
    pub stack: Stack,
    /// File system of each volume, from the bottom up.
    pub file_systems: Vec<FileSystem>,
    pub cycles: Vec<Cycle>,
}

/// Greatest number of cycles of a medium.
const MAX_CYCLES: usize = 5;

impl Medium {
    pub fn random(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let stack = random.pick(STACKS);
        let file_systems = match stack {
            Stack::Btrfs => vec![FileSystem::Btrfs],
            Stack::Two => vec![random.pick(file_system::ALL), random.pick(file_system::ALL)],
            Stack::Image | Stack::Served => {
                vec![random.pick(file_system::ALL), random.pick(file_system::SMALL)]
            }
            _ => vec![random.pick(file_system::ALL)],
        };
        let journaled = file_systems.iter().all(|one| one.replays());
        let mut cycles = Vec::new();
        for number in 0..MAX_CYCLES {
            let release = possible(stack, &file_systems, random.pick(RELEASES));
            cycles.push(Cycle {
                seed: random.next() >> 1,
                number,
                kind: random.pick(KINDS),
                release,
                named: random.pick(&[TargetName::Drive, TargetName::Mount]),
                processes: 2 + random.below(2),
                bytes: 300_000 + random.below(900_000),
                secret_cache: random.chance(20),
            });
            // Cut off while it is written to, what has no journal may need its checker before it is used on.
            if release.forced() && !journaled {
                break;
            }
        }
        Self { seed, stack, file_systems, cycles }
    }

    /// Returns a medium with one cycle, released by force while programs write to it.
    pub fn forced(stack: Stack, file_systems: &[FileSystem], release: Release) -> Self {
        let cycle = Cycle {
            seed: 7,
            number: 0,
            kind: Kind::Stick,
            release,
            named: TargetName::Drive,
            processes: 2,
            bytes: 500_000,
            secret_cache: false,
        };
        Self { seed: 7, stack, file_systems: file_systems.to_vec(), cycles: vec![cycle] }
    }

    pub fn name(&self) -> String {
        let names: Vec<&str> = self.file_systems.iter().map(|one| one.name()).collect();
        format!("{} ({})", self.stack.name(), names.join(" + "))
    }

    /// Returns the mount points of its volumes.
    pub fn directories(&self) -> Vec<String> {
        (1..=self.file_systems.len()).map(|number| format!("/mnt/v{number}")).collect()
    }
}

/// Returns the release, or another one if force cannot cut this stack off (docs/force.md).
fn possible(stack: Stack, file_systems: &[FileSystem], release: Release) -> Release {
    let can_be_cut_off = file_systems.iter().all(|one| one.can_be_cut_off());
    match stack {
        // Force is refused while something behind a program is in use.
        Stack::Served if release.forced() => Release::Plain,
        Stack::Whole if release.forced() && !can_be_cut_off => Release::ForcePowerOff,
        _ => release,
    }
}

impl Cycle {
    /// Returns the options of the release. QEMU's fixed disk accepts the stop command and runs on, so it
    /// cannot be verified.
    pub fn options(&self) -> String {
        let stops = matches!(
            self.release,
            Release::Plain
                | Release::Wait
                | Release::Force
                | Release::Elsewhere
                | Release::Detached
                | Release::Offline
        );
        let words = match self.release {
            Release::Offline | Release::Elsewhere | Release::Detached => "",
            release => release.words(),
        };
        match self.kind {
            Kind::Disk if stops => format!("{words} --no-verify"),
            _ => words.to_owned(),
        }
    }

    /// Returns a description in one line.
    pub fn sentence(&self) -> String {
        let secret = if self.secret_cache { ", cache not told" } else { "" };
        format!("{:?}{secret}: eject {}", self.kind, self.release.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn three_hundred_cycles_meet_everything() {
        let all: Vec<Medium> = (1..100).map(Medium::random).collect();
        let cycles: Vec<&Cycle> = all.iter().flat_map(|m| &m.cycles).take(300).collect();
        assert_eq!(cycles.len(), 300);
        let stacks: BTreeSet<_> = all.iter().map(|m| m.stack).collect();
        let releases: BTreeSet<_> = cycles.iter().map(|u| u.release).collect();
        let kinds: BTreeSet<_> = cycles.iter().map(|u| u.kind).collect();
        let systems: BTreeSet<_> = all.iter().flat_map(|m| m.file_systems.clone()).collect();
        assert_eq!(stacks.len(), STACKS.len());
        assert_eq!(releases.len(), RELEASES.len() - 1);
        assert_eq!(kinds.len(), KINDS.len());
        assert_eq!(systems.len(), file_system::ALL.len());
    }
}
