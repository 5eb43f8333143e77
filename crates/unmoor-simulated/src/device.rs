//! One simulated drive: its traits and its state.

use crate::cache::{Chunk, total};
use crate::fault::{Fault, FaultKind, Op};
use std::time::Duration;
use unmoor::{Drive, Medium, Mount, Presence, Volume, VolumeKind};

/// How fast a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// What every operation takes.
    pub operation: Duration,
    /// What the motor takes.
    pub motor: Duration,
    pub bytes_per_second: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            operation: Duration::from_millis(1),
            motor: Duration::ZERO,
            bytes_per_second: 8 << 20,
        }
    }
}

impl Timing {
    pub fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / self.bytes_per_second)
    }
}

/// Has somebody told the drive to keep its medium (SCSI: PREVENT ALLOW MEDIUM REMOVAL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Prevention {
    /// No.
    #[default]
    None,
    /// Yes; the drive obeys whoever allows it again.
    Set,
    /// Yes, and it cannot be allowed from here.
    Stuck,
}

/// A device that is or was plugged in.
#[derive(Debug)]
pub(crate) struct Device {
    /// What the drive says of itself; what changes is in the other fields.
    pub spec: Drive,
    pub attached: bool,
    /// It left its bus by a command, and is still plugged in.
    pub powered_off: bool,
    pub medium: Medium,
    pub disc_in_tray: bool,
    pub stopped: bool,
    /// The motor runs: at that time, this will be so.
    pub moving: Option<(Duration, Motion)>,
    pub prevention: Prevention,
    pub silent: bool,
    pub pace: Timing,
    pub faults: Vec<Fault>,
    pub volumes: Vec<VolumeState>,
    /// The drive's own cache.
    pub cache: Vec<Chunk>,
    pub on_medium: Vec<Chunk>,
    /// Everything that a program was told is written.
    pub written: Vec<Chunk>,
    pub claimed_by: Option<u64>,
    /// Something in the drive's cache could not be written.
    pub lost: bool,
}

/// What a motor is about to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Motion {
    Medium(Medium),
    Stopped,
}

/// A volume's state.
#[derive(Debug)]
pub(crate) struct VolumeState {
    /// Its traits, and its mounts.
    pub shape: Volume,
    /// A mapping, an array or a loop device that is set up; always so for partitions.
    pub open: bool,
    /// Windows: the letters it has again once somebody opens a file.
    pub remount_letters: Vec<Mount>,
    /// The machine's cache.
    pub cache: Vec<Chunk>,
    pub locked_by: Option<u64>,
    /// Somebody lets go of it then, and who.
    pub busy_until: Option<(Duration, String)>,
    /// Windows: nothing mounts it again.
    pub offline: bool,
    /// Mounted where this program cannot see it, and by whom.
    pub elsewhere: Option<String>,
    /// Something in its cache could not be written.
    pub lost: bool,
}

impl VolumeState {
    pub fn new(shape: Volume) -> Self {
        VolumeState {
            shape,
            open: true,
            remount_letters: Vec::new(),
            cache: Vec::new(),
            locked_by: None,
            busy_until: None,
            offline: false,
            elsewhere: None,
            lost: false,
        }
    }

    pub fn is_mounted(&self) -> bool {
        !self.shape.mounts.is_empty()
    }

    /// Something that was set up over other volumes, and can be taken down.
    pub fn is_stacked(&self) -> bool {
        !matches!(self.shape.kind, VolumeKind::Disk | VolumeKind::Partition)
    }
}

impl Device {
    pub fn volume(&self, name: &str) -> Option<&VolumeState> {
        self.volumes.iter().find(|v| v.shape.name == name)
    }

    pub fn volume_mut(&mut self, name: &str) -> Option<&mut VolumeState> {
        self.volumes.iter_mut().find(|v| v.shape.name == name)
    }

    pub fn is_mounted(&self) -> bool {
        self.volumes.iter().any(|v| v.is_mounted() || v.elsewhere.is_some())
    }

    /// The fault that strikes this operation, if any.
    pub fn fault_for(&mut self, op: Op, volume: Option<&str>) -> Option<FaultKind> {
        self.faults.iter_mut().filter_map(|f| f.strikes(op, volume).then_some(f.kind)).next()
    }

    /// The drive as it looks now.
    pub fn describe(&self) -> Drive {
        let present = self.medium == Medium::Present;
        Drive {
            medium: if self.silent && present { Medium::Unknown } else { self.medium },
            size: if present { self.spec.size } else { None },
            volumes: self
                .volumes
                .iter()
                .filter(|v| present && v.open)
                .map(|v| Volume {
                    unwritten: Some(total(&v.cache)),
                    read_only: v.shape.read_only || self.spec.read_only,
                    ..v.shape.clone()
                })
                .collect(),
            ..self.spec.clone()
        }
    }

    /// What the drive itself would answer.
    pub fn presence(&self) -> Presence {
        match self.medium {
            _ if !self.attached => Presence::Gone,
            _ if self.silent => Presence::Unknown,
            Medium::TrayOpen => Presence::TrayOpen,
            Medium::Absent => Presence::Absent,
            _ if self.stopped => Presence::Stopped,
            _ => Presence::Present,
        }
    }

    /// The medium is out of reach: what was not on it is lost, and nothing of it is mounted any more.
    pub fn cut_off(&mut self) {
        self.lost |= !self.cache.is_empty();
        self.cache.clear();
        self.claimed_by = None;
        for volume in &mut self.volumes {
            volume.lost |= !volume.cache.is_empty();
            volume.cache.clear();
            volume.shape.mounts.clear();
            volume.remount_letters.clear();
            volume.locked_by = None;
            volume.elsewhere = None;
            volume.busy_until = None;
        }
    }

    /// The motor arrives.
    pub fn arrive(&mut self, now: Duration) {
        let Some((when, motion)) = self.moving else { return };
        if when > now {
            return;
        }
        self.moving = None;
        match motion {
            Motion::Medium(medium) => self.medium = medium,
            Motion::Stopped => self.stopped = true,
        }
    }
}
