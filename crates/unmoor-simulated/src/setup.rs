//! What a simulated drive is made of: plain builders, in the words of [`unmoor::Drive`].

use crate::cache::Chunk;
use crate::device::{Device, Prevention, Timing, VolumeState};
use crate::fault::Fault;
use std::path::PathBuf;
use std::time::Duration;
use unmoor::{Bus, Drive, DriveId, DriveKind, Medium, Volume, VolumeKind};

/// A drive to be plugged into a [`Simulated`](crate::Simulated) machine.
#[derive(Debug, Clone)]
pub struct DriveSetup {
    pub(crate) shape: Drive,
    pub(crate) pace: Timing,
    pub(crate) prevention: Prevention,
    pub(crate) silent: bool,
    pub(crate) disc_in_tray: bool,
    pub(crate) powered_off: bool,
    pub(crate) faults: Vec<Fault>,
    pub(crate) volumes: Vec<VolumeSetup>,
}

impl DriveSetup {
    /// A drive of this kind, named `sim:NAME`, with a medium in it and nothing on that.
    pub fn new(name: &str, kind: DriveKind, bus: Bus) -> Self {
        let name = format!("sim:{name}");
        let shape = Drive {
            id: DriveId { device: 0, generation: 0 },
            path: PathBuf::from(&name),
            kind,
            bus,
            vendor: Some("Simulated".into()),
            model: None,
            serial: None,
            size: Some(1 << 30),
            removable: true,
            hotplug: matches!(bus, Bus::Usb | Bus::Thunderbolt),
            read_only: false,
            medium: Medium::Present,
            system_uses: Vec::new(),
            backing_file: None,
            siblings: Vec::new(),
            port: matches!(bus, Bus::Usb | Bus::Thunderbolt | Bus::Scsi | Bus::Ata | Bus::Nvme)
                .then(|| name.clone()),
            volumes: Vec::new(),
            name,
        };
        DriveSetup {
            shape,
            pace: Timing::default(),
            prevention: Prevention::None,
            silent: false,
            disc_in_tray: true,
            powered_off: false,
            faults: Vec::new(),
            volumes: Vec::new(),
        }
    }

    /// A USB stick that calls itself removable.
    pub fn stick(name: &str) -> Self {
        DriveSetup::new(name, DriveKind::Disk, Bus::Usb)
    }

    /// A CD drive with a tray: read-only, on SATA, slow as a motor is.
    pub fn cd(name: &str) -> Self {
        let mut cd = DriveSetup::new(name, DriveKind::Optical, Bus::Ata).read_only();
        cd.pace.motor = Duration::from_millis(1500);
        cd
    }

    /// An SD card on a host controller of its own: it has no command to eject.
    pub fn card(name: &str) -> Self {
        DriveSetup::new(name, DriveKind::Card, Bus::Mmc)
    }

    /// A USB disk: its medium stays in it, the drive can be stopped and unplugged.
    pub fn disk(name: &str) -> Self {
        let mut disk = DriveSetup::new(name, DriveKind::Disk, Bus::Usb);
        disk.shape.removable = false;
        disk.pace.motor = Duration::from_millis(800);
        disk
    }

    /// A loop device over an image file.
    pub fn image(name: &str) -> Self {
        let mut image = DriveSetup::new(name, DriveKind::Loop, Bus::Virtual);
        image.shape.backing_file = Some(format!("/images/{name}.img").into());
        image
    }

    /// What the drive says it is.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.shape.model = Some(model.into());
        self
    }

    /// Size of the medium.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.shape.size = Some(bytes);
        self
    }

    /// Can the medium leave the drive, and the drive the machine.
    #[must_use]
    pub fn leaves(mut self, removable: bool, hotplug: bool) -> Self {
        self.shape.removable = removable;
        self.shape.hotplug = hotplug;
        self
    }

    /// Nothing can be written to it.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.shape.read_only = true;
        self
    }

    /// It carries these parts of the running system.
    #[must_use]
    pub fn system(mut self, carries: &[&str]) -> Self {
        self.shape.system_uses = carries.iter().map(ToString::to_string).collect();
        self
    }

    /// These drives (by full name) are parts of the same device: powering it off takes them along.
    #[must_use]
    pub fn siblings(mut self, names: &[&str]) -> Self {
        self.shape.siblings = names.iter().map(ToString::to_string).collect();
        self
    }

    /// No medium in it.
    #[must_use]
    pub fn empty(mut self) -> Self {
        self.shape.medium = Medium::Absent;
        self.disc_in_tray = false;
        self
    }

    /// The tray is open, with a disc in it or without.
    #[must_use]
    pub fn tray_open(mut self, disc: bool) -> Self {
        self.shape.medium = Medium::TrayOpen;
        self.disc_in_tray = disc;
        self
    }

    /// Plugged in, and taken off its bus by somebody before.
    #[must_use]
    pub fn powered_off(mut self) -> Self {
        self.powered_off = true;
        self
    }

    /// How fast it writes.
    #[must_use]
    pub fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.pace.bytes_per_second = bytes.max(1);
        self
    }

    /// How long its motor takes to move the tray, or to stop.
    #[must_use]
    pub fn motor(mut self, time: Duration) -> Self {
        self.pace.motor = time;
        self
    }

    /// Somebody has told the drive to keep its medium.
    #[must_use]
    pub fn prevention(mut self, prevention: Prevention) -> Self {
        self.prevention = prevention;
        self
    }

    /// It never says whether there is a medium in it.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Something that goes wrong with it.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// A volume on it. What lies on another volume comes after that.
    #[must_use]
    pub fn volume(mut self, volume: VolumeSetup) -> Self {
        self.volumes.push(volume);
        self
    }

    /// The device as it is before anything is mounted.
    pub(crate) fn build(&self, id: DriveId) -> Device {
        let mut shape = self.shape.clone();
        shape.id = id;
        let volumes = (1..).zip(&self.volumes).map(|(n, v)| v.build(&shape.name, id, n)).collect();
        Device {
            attached: !self.powered_off,
            powered_off: self.powered_off,
            medium: shape.medium,
            disc_in_tray: self.disc_in_tray,
            stopped: false,
            moving: None,
            prevention: self.prevention,
            silent: self.silent,
            pace: self.pace,
            faults: self.faults.clone(),
            volumes,
            cache: Vec::new(),
            on_medium: Vec::new(),
            written: Vec::new(),
            claimed_by: None,
            lost: false,
            spec: shape,
        }
    }
}

/// A volume on a simulated drive.
#[derive(Debug, Clone)]
pub struct VolumeSetup {
    pub(crate) name: Option<String>,
    pub(crate) kind: VolumeKind,
    pub(crate) on: Vec<String>,
    pub(crate) file_system: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) uuid: Option<String>,
    pub(crate) mounts: Vec<PathBuf>,
    pub(crate) dirty: Vec<(PathBuf, u64)>,
}

impl VolumeSetup {
    /// A partition, named after its drive and its place on it: the first on `sim:stick` is
    /// `sim:stick1`.
    pub fn partition(file_system: &str) -> Self {
        VolumeSetup {
            name: None,
            kind: VolumeKind::Partition,
            on: Vec::new(),
            file_system: Some(file_system.into()),
            label: None,
            uuid: None,
            mounts: Vec::new(),
            dirty: Vec::new(),
        }
    }

    /// The whole drive as one volume, of the drive's name.
    pub fn whole(file_system: &str) -> Self {
        VolumeSetup { kind: VolumeKind::Disk, ..VolumeSetup::partition(file_system) }
    }

    /// Something stacked on other volumes: a mapping, an array, a loop device.
    pub fn stacked(name: &str, kind: VolumeKind, on: &[&str]) -> Self {
        VolumeSetup {
            name: Some(name.into()),
            kind,
            on: on.iter().map(ToString::to_string).collect(),
            file_system: Some("ext4".into()),
            ..VolumeSetup::partition("ext4")
        }
    }

    /// Its label.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Its UUID or serial number.
    #[must_use]
    pub fn uuid(mut self, uuid: &str) -> Self {
        self.uuid = Some(uuid.into());
        self
    }

    /// Mounted there; more than once where called again.
    #[must_use]
    pub fn mounted(mut self, path: impl Into<PathBuf>) -> Self {
        self.mounts.push(path.into());
        self
    }

    /// A file just written, not yet on the medium.
    #[must_use]
    pub fn dirty(mut self, path: impl Into<PathBuf>, bytes: u64) -> Self {
        self.dirty.push((path.into(), bytes));
        self
    }

    fn build(&self, drive: &str, id: DriveId, number: u64) -> VolumeState {
        let name = match (&self.name, self.kind) {
            (Some(name), _) => name.clone(),
            (None, VolumeKind::Disk) => drive.to_string(),
            (None, _) => format!("{drive}{number}"),
        };
        let on = if self.on.is_empty() { vec![drive.to_string()] } else { self.on.clone() };
        let shape = Volume {
            path: PathBuf::from(&name),
            device: (id.device << 8) + number,
            kind: self.kind,
            parents: on,
            other_members: Vec::new(),
            swaps: Vec::new(),
            label: self.label.clone(),
            uuid: self.uuid.clone(),
            file_system: self.file_system.clone(),
            size: None,
            read_only: false,
            unwritten: None,
            mounts: Vec::new(),
            name,
        };
        let cache = self.dirty.iter().flat_map(|(path, bytes)| {
            Chunk::pieces(&shape.name, path, &vec![0x5a; usize::try_from(*bytes).unwrap_or(0)])
        });
        VolumeState { cache: cache.collect(), ..VolumeState::new(shape) }
    }
}
