//! One simulated drive: its traits and its state.

use crate::cache::{Chunk, total};
use crate::fault::{Fault, FaultKind, Op};
use std::time::Duration;
use unmoor::{Drive, Medium, Mount, Presence, Volume, VolumeKind};

/// Speed of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Duration of every operation.
    pub operation: Duration,
    /// Duration of a movement of the motor.
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

/// State of the drive's medium lock (SCSI: PREVENT ALLOW MEDIUM REMOVAL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Prevention {
    /// Removal is allowed.
    #[default]
    None,
    /// Removal is prevented until any process allows it again.
    Set,
    /// Removal is prevented, and the host cannot allow it.
    Stuck,
}

/// A device that is or was plugged in.
#[derive(Debug)]
pub(crate) struct Device {
    /// Properties that the drive reports. The other fields hold the state that changes.
    pub spec: Drive,
    pub attached: bool,
    /// True if the device is plugged in, but a command removed it from its bus.
    pub powered_off: bool,
    pub medium: Medium,
    pub disc_in_tray: bool,
    pub stopped: bool,
    /// Time at which the running motor stops, and the state it causes then.
    pub moving: Option<(Duration, Motion)>,
    pub prevention: Prevention,
    pub silent: bool,
    pub timing: Timing,
    pub faults: Vec<Fault>,
    pub volumes: Vec<VolumeState>,
    /// The drive's cache.
    pub cache: Vec<Chunk>,
    pub on_medium: Vec<Chunk>,
    /// Everything whose write a program saw succeed.
    pub written: Vec<Chunk>,
    pub claimed_by: Option<u64>,
    /// True if data in the drive's cache could not be written.
    pub lost: bool,
}

/// State that a motor causes when it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Motion {
    Medium(Medium),
    Stopped,
}

/// State of a volume.
#[derive(Debug)]
pub(crate) struct VolumeState {
    /// Properties and mounts.
    pub spec: Volume,
    /// True if a mapping, array or loop device is set up; always true for partitions.
    pub open: bool,
    /// Windows: drive letters that the volume gets back once a process opens a file.
    pub remount_letters: Vec<Mount>,
    /// The machine's cache of this volume.
    pub cache: Vec<Chunk>,
    pub locked_by: Option<u64>,
    /// End of a use without an open file, and the name of the user.
    pub busy_until: Option<(Duration, String)>,
    /// Windows: true if nothing mounts the volume again.
    pub offline: bool,
    /// Owner of another mount namespace where the volume is mounted, hidden from this program.
    pub foreign_namespace: Option<String>,
    /// True if data in the volume's cache could not be written.
    pub lost: bool,
}

impl VolumeState {
    pub fn new(spec: Volume) -> Self {
        VolumeState {
            spec,
            open: true,
            remount_letters: Vec::new(),
            cache: Vec::new(),
            locked_by: None,
            busy_until: None,
            offline: false,
            foreign_namespace: None,
            lost: false,
        }
    }

    pub fn is_mounted(&self) -> bool {
        !self.spec.mounts.is_empty()
    }

    /// Returns true if the volume is set up over other volumes and can be removed.
    pub fn is_stacked(&self) -> bool {
        !matches!(self.spec.kind, VolumeKind::Disk | VolumeKind::Partition)
    }
}

impl Device {
    pub fn volume(&self, name: &str) -> Option<&VolumeState> {
        self.volumes.iter().find(|v| v.spec.name == name)
    }

    pub fn volume_mut(&mut self, name: &str) -> Option<&mut VolumeState> {
        self.volumes.iter_mut().find(|v| v.spec.name == name)
    }

    pub fn is_mounted(&self) -> bool {
        self.volumes.iter().any(|v| v.is_mounted() || v.foreign_namespace.is_some())
    }

    /// Returns the fault that applies to this operation, if any.
    pub fn fault_for(&mut self, op: Op, volume: Option<&str>) -> Option<FaultKind> {
        self.faults.iter_mut().filter_map(|f| f.applies(op, volume).then_some(f.kind)).next()
    }

    /// Returns the drive as it is now.
    pub fn describe(&self) -> Drive {
        let present = self.medium == Medium::Present;
        let mut drive = self.spec.clone();
        drive.medium = if self.silent && present { Medium::Unknown } else { self.medium };
        drive.size = drive.size.filter(|_| present);
        drive.volumes = self
            .volumes
            .iter()
            .filter(|v| present && v.open)
            .map(|v| {
                let mut volume = v.spec.clone();
                volume.unwritten = Some(total(&v.cache));
                volume.read_only |= drive.read_only;
                volume
            })
            .collect();
        drive
    }

    /// Returns the presence that the drive itself reports.
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

    /// Marks the medium as out of reach. Unwritten data is lost and every mount is gone.
    pub fn lose_medium(&mut self) {
        self.lost |= !self.cache.is_empty();
        self.cache.clear();
        self.claimed_by = None;
        for volume in &mut self.volumes {
            volume.lost |= !volume.cache.is_empty();
            volume.cache.clear();
            volume.spec.mounts.clear();
            volume.remount_letters.clear();
            volume.locked_by = None;
            volume.foreign_namespace = None;
            volume.busy_until = None;
        }
    }

    /// Applies the motor's movement if its time has come.
    pub fn finish_motion(&mut self, now: Duration) {
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
