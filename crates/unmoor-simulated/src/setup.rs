//! Builders of simulated drives, in the words of [`unmoor::Drive`].

use crate::cache::Chunk;
use crate::device::{Device, Prevention, Timing, VolumeState};
use crate::fault::Fault;
use std::path::PathBuf;
use std::time::Duration;
use unmoor::{Bus, Drive, DriveId, DriveKind, Medium, SystemUse, Volume, VolumeKind};

/// A drive to be plugged into a [`Simulated`](crate::Simulated) machine.
#[derive(Debug, Clone)]
pub struct DriveSetup {
    pub(crate) spec: Drive,
    pub(crate) timing: Timing,
    pub(crate) prevention: Prevention,
    pub(crate) silent: bool,
    pub(crate) disc_in_tray: bool,
    pub(crate) powered_off: bool,
    pub(crate) faults: Vec<Fault>,
    pub(crate) volumes: Vec<VolumeSetup>,
}

impl DriveSetup {
    /// Returns a drive of this kind, named `sim:NAME`, with an empty medium.
    pub fn new(name: &str, kind: DriveKind, bus: Bus) -> Self {
        let name = format!("sim:{name}");
        let mut spec = Drive::new(DriveId::new(0, 0), name.clone(), &name, kind, bus);
        spec.vendor = Some("Simulated".into());
        spec.size = Some(1 << 30);
        spec.removable = true;
        spec.hotplug = matches!(bus, Bus::Usb | Bus::Thunderbolt);
        spec.medium = Medium::Present;
        spec.port = matches!(bus, Bus::Usb | Bus::Thunderbolt | Bus::Scsi | Bus::Ata | Bus::Nvme)
            .then_some(name);
        DriveSetup {
            spec,
            timing: Timing::default(),
            prevention: Prevention::None,
            silent: false,
            disc_in_tray: true,
            powered_off: false,
            faults: Vec::new(),
            volumes: Vec::new(),
        }
    }

    /// Returns a USB stick that reports itself as removable.
    pub fn stick(name: &str) -> Self {
        DriveSetup::new(name, DriveKind::Disk, Bus::Usb)
    }

    /// Returns a CD drive with a tray: read-only, on SATA, with a slow motor.
    pub fn cd(name: &str) -> Self {
        let mut cd = DriveSetup::new(name, DriveKind::Optical, Bus::Ata).read_only();
        cd.timing.motor = Duration::from_millis(1500);
        cd
    }

    /// Returns an SD card on its own host controller, which has no eject command.
    pub fn card(name: &str) -> Self {
        DriveSetup::new(name, DriveKind::Card, Bus::Mmc)
    }

    /// Returns a USB disk. Its medium cannot leave it, but the drive can be stopped and unplugged.
    pub fn disk(name: &str) -> Self {
        let mut disk = DriveSetup::new(name, DriveKind::Disk, Bus::Usb);
        disk.spec.removable = false;
        disk.timing.motor = Duration::from_millis(800);
        disk
    }

    /// Returns a loop device over an image file.
    pub fn image(name: &str) -> Self {
        let mut image = DriveSetup::new(name, DriveKind::Loop, Bus::Virtual);
        image.spec.backing_file = Some(format!("/images/{name}.img").into());
        image
    }

    /// Sets the model.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.spec.model = Some(model.into());
        self
    }

    /// Sets the size of the medium, in bytes.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.spec.size = Some(bytes);
        self
    }

    /// Sets whether the medium can leave the drive, and the drive the machine.
    #[must_use]
    pub fn leaves(mut self, removable: bool, hotplug: bool) -> Self {
        self.spec.removable = removable;
        self.spec.hotplug = hotplug;
        self
    }

    /// Makes the drive read-only.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.spec.read_only = true;
        self
    }

    /// Sets the parts of the running system that the drive carries.
    #[must_use]
    pub fn system(mut self, uses: &[SystemUse]) -> Self {
        self.spec.system_uses = uses.to_vec();
        self
    }

    /// Sets the drives (by full name) of the same device. Powering it off removes all of them.
    #[must_use]
    pub fn siblings(mut self, names: &[&str]) -> Self {
        self.spec.siblings = names.iter().map(ToString::to_string).collect();
        self
    }

    /// Removes the medium.
    #[must_use]
    pub fn empty(mut self) -> Self {
        self.spec.medium = Medium::Absent;
        self.disc_in_tray = false;
        self
    }

    /// Opens the tray, with a disc in it or without.
    #[must_use]
    pub fn tray_open(mut self, disc: bool) -> Self {
        self.spec.medium = Medium::TrayOpen;
        self.disc_in_tray = disc;
        self
    }

    /// Marks the drive as plugged in and powered off.
    #[must_use]
    pub fn powered_off(mut self) -> Self {
        self.powered_off = true;
        self
    }

    /// Sets the speed of writing.
    #[must_use]
    pub fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.timing.bytes_per_second = bytes.max(1);
        self
    }

    /// Sets the time that the motor takes to move the tray or to stop.
    #[must_use]
    pub fn motor(mut self, time: Duration) -> Self {
        self.timing.motor = time;
        self
    }

    /// Sets the drive's medium lock.
    #[must_use]
    pub fn prevention(mut self, prevention: Prevention) -> Self {
        self.prevention = prevention;
        self
    }

    /// Makes the drive never report whether it has a medium.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Adds a volume. Stacked volumes come after the volumes that they are set up over.
    #[must_use]
    pub fn volume(mut self, volume: VolumeSetup) -> Self {
        self.volumes.push(volume);
        self
    }

    /// Returns the device before anything is mounted.
    pub(crate) fn build(&self, id: DriveId) -> Device {
        let mut spec = self.spec.clone();
        spec.id = id;
        let volumes = (1..).zip(&self.volumes).map(|(n, v)| v.build(&spec.name, id, n)).collect();
        Device {
            attached: !self.powered_off,
            powered_off: self.powered_off,
            medium: spec.medium,
            disc_in_tray: self.disc_in_tray,
            stopped: false,
            moving: None,
            prevention: self.prevention,
            silent: self.silent,
            timing: self.timing,
            faults: self.faults.clone(),
            volumes,
            cache: Vec::new(),
            on_medium: Vec::new(),
            written: Vec::new(),
            claimed_by: None,
            lost: false,
            spec,
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
    /// Returns a partition, named after its drive and its number. The first on `sim:stick` is
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

    /// Returns a volume that is the whole drive and has the drive's name.
    pub fn whole(file_system: &str) -> Self {
        VolumeSetup { kind: VolumeKind::Disk, ..VolumeSetup::partition(file_system) }
    }

    /// Returns a volume stacked on other volumes: a mapping, an array, a loop device.
    pub fn stacked(name: &str, kind: VolumeKind, on: &[&str]) -> Self {
        VolumeSetup {
            name: Some(name.into()),
            kind,
            on: on.iter().map(ToString::to_string).collect(),
            file_system: Some("ext4".into()),
            ..VolumeSetup::partition("ext4")
        }
    }

    /// Sets the label.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Sets the UUID or serial number.
    #[must_use]
    pub fn uuid(mut self, uuid: &str) -> Self {
        self.uuid = Some(uuid.into());
        self
    }

    /// Adds a mount point.
    #[must_use]
    pub fn mounted(mut self, path: impl Into<PathBuf>) -> Self {
        self.mounts.push(path.into());
        self
    }

    /// Adds a file that was just written and is not on the medium yet.
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
        let mut spec = Volume::new(name.clone(), name, self.kind);
        spec.device = (id.device << 8) + number;
        spec.parents = on;
        spec.label = self.label.clone();
        spec.uuid = self.uuid.clone();
        spec.file_system = self.file_system.clone();
        let cache = self.dirty.iter().flat_map(|(path, bytes)| {
            Chunk::pieces(&spec.name, path, &vec![0x5a; usize::try_from(*bytes).unwrap_or(0)])
        });
        VolumeState { cache: cache.collect(), ..VolumeState::new(spec) }
    }
}
