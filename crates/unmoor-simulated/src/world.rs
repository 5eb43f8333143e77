//! Everything inside the machine, behind one lock: devices, handles, the clock, what is yet to happen.

use crate::Semantics;
use crate::device::{Device, VolumeState};
use crate::files::Handle;
use crate::happening::ScheduledEvent;
use crate::journal::JournalEntry;
use crate::running::{Program, SignalRecord};
use crate::setup::DriveSetup;
use crate::threads::Threads;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unmoor::{DriveId, Error, ErrorKind, Medium, Mount, Result};

#[derive(Debug)]
pub(crate) struct MachineState {
    pub now: Duration,
    pub manner: Semantics,
    pub devices: Vec<Device>,
    pub handles: Vec<Handle>,
    pub programs: BTreeMap<u32, Program>,
    pub told: Vec<SignalRecord>,
    /// Who has a drive itself open: which, who, and whether to write.
    pub raw: Vec<(DriveId, u32, bool)>,
    /// Which drives our own sessions have a handle on, and whose it is.
    pub ours: Vec<(DriveId, u64)>,
    pub agenda: Vec<(Duration, ScheduledEvent)>,
    pub journal: Vec<JournalEntry>,
    pub threads: Threads,
    counter: u64,
}

impl MachineState {
    pub fn new(manner: Semantics) -> Self {
        MachineState {
            now: Duration::ZERO,
            manner,
            devices: Vec::new(),
            handles: Vec::new(),
            programs: BTreeMap::new(),
            told: Vec::new(),
            raw: Vec::new(),
            ours: Vec::new(),
            agenda: Vec::new(),
            journal: Vec::new(),
            threads: Threads::default(),
            counter: 100,
        }
    }

    /// A number never given before.
    pub fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn plug(&mut self, setup: &DriveSetup) -> DriveId {
        let id = DriveId { device: self.number(), generation: self.number() };
        self.plug_as(setup, id);
        id
    }

    fn plug_as(&mut self, setup: &DriveSetup, id: DriveId) {
        self.devices.push(setup.build(id));
        for (index, volume) in setup.volumes.iter().enumerate() {
            if let Some(known) = self.known_elsewhere(id, index) {
                self.devices.last_mut().expect("just pushed").volumes[index].shape.mounts = known;
                continue;
            }
            for path in &volume.mounts {
                self.mount(id, index, path);
            }
        }
        let device = self.devices.last_mut().expect("just pushed");
        device.written = device.volumes.iter().flat_map(|v| v.cache.clone()).collect();
    }

    /// Where another drive is mounted within the mounts of this one.
    pub fn mounted_within(&self, id: DriveId) -> Option<PathBuf> {
        let ours: Vec<u64> = self
            .device(id)
            .into_iter()
            .flat_map(|d| &d.volumes)
            .flat_map(|v| v.shape.mounts.iter().map(|m| m.id))
            .collect();
        let all = self.devices.iter().flat_map(|d| &d.volumes).flat_map(|v| &v.shape.mounts);
        let mut others = all.filter(|m| ours.contains(&m.parent) && !ours.contains(&m.id));
        others.next().map(|m| m.path.clone())
    }

    /// Attaches a volume there: on top of the mount that holds this path, as kernels do.
    pub fn mount(&mut self, id: DriveId, volume: usize, path: &Path) {
        let parent = self
            .devices
            .iter()
            .flat_map(|d| &d.volumes)
            .flat_map(|v| &v.shape.mounts)
            .filter(|m| path.starts_with(&m.path))
            .max_by_key(|m| (m.path.as_os_str().len(), m.id))
            .map_or(1, |m| m.id);
        let number = self.number();
        let Some(vol) = self.device_mut(id).and_then(|d| d.volumes.get_mut(volume)) else { return };
        vol.shape.mounts.push(Mount {
            path: path.to_path_buf(),
            root: "/".into(),
            file_system: vol.shape.file_system.clone().unwrap_or_default(),
            read_only: vol.shape.read_only,
            id: number,
            parent,
            covered_by: Vec::new(),
        });
    }

    /// What is stacked on several drives is one volume, set up on each of them under the same name: its
    /// mounts, where another drive has it already.
    fn known_elsewhere(&self, id: DriveId, volume: usize) -> Option<Vec<Mount>> {
        let new = &self.device(id)?.volumes[volume];
        let mut others = self.devices.iter().filter(|d| d.attached && d.spec.id != id);
        let known = others.find_map(|d| d.volume(&new.shape.name)).filter(|v| v.is_stacked());
        known.filter(|_| new.is_stacked()).map(|v| v.shape.mounts.clone())
    }

    /// Is the stacked volume of this name on that drive too.
    pub fn is_shared(&self, volume: &str, with: DriveId) -> bool {
        self.device(with).and_then(|d| d.volume(volume)).is_some_and(VolumeState::is_stacked)
    }

    /// What became of a stacked volume on one drive became of it on all others that it lies on.
    pub fn mirror(&mut self, id: DriveId, volume: &str) {
        let Some(vol) = self.device(id).and_then(|d| d.volume(volume)) else { return };
        if !vol.is_stacked() {
            return;
        }
        let (mounts, open) = (vol.shape.mounts.clone(), vol.open);
        let others = self.devices.iter_mut().filter(|d| d.attached && d.spec.id != id);
        for other in others.filter_map(|d| d.volume_mut(volume)).filter(|v| v.is_stacked()) {
            other.shape.mounts.clone_from(&mounts);
            other.open = open;
        }
    }

    pub fn device(&self, id: DriveId) -> Option<&Device> {
        self.devices.iter().find(|d| d.spec.id == id)
    }

    pub fn device_mut(&mut self, id: DriveId) -> Option<&mut Device> {
        self.devices.iter_mut().find(|d| d.spec.id == id)
    }

    /// The device this session is bound to, or what became of it.
    pub fn bound(&mut self, id: DriveId) -> Result<&mut Device> {
        let Some(at) = self.devices.iter().position(|d| d.spec.id == id) else {
            return Err(Error::new(ErrorKind::Gone, "", "the drive is gone"));
        };
        if self.devices[at].attached {
            return Ok(&mut self.devices[at]);
        }
        let name = &self.devices[at].spec.name;
        match self.devices.iter().any(|d| d.attached && d.spec.name == *name) {
            true => Err(Error::new(ErrorKind::Replaced, name, "is another device now")),
            false => Err(Error::new(ErrorKind::Gone, name, "the drive is gone")),
        }
    }

    /// As [`MachineState::bound`], with a medium in it.
    pub fn with_medium(&mut self, id: DriveId) -> Result<&mut Device> {
        let device = self.bound(id)?;
        if device.medium != Medium::Present {
            let name = &device.spec.name;
            return Err(Error::new(ErrorKind::NoMedium, name, "there is no medium in it any more"));
        }
        Ok(device)
    }

    /// As [`MachineState::with_medium`], and this volume of it.
    pub fn volume(&mut self, id: DriveId, name: &str) -> Result<&mut VolumeState> {
        let device = self.with_medium(id)?;
        device.volume_mut(name).ok_or_else(|| {
            Error::new(ErrorKind::Failed, name, "there is no such volume on this drive")
        })
    }

    /// Lets time pass, and everything happen that is due, in its order.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let due = self.agenda.iter().enumerate().filter(|(_, (at, _))| *at <= until);
            let Some(next) = due.min_by_key(|(index, (at, _))| (*at, *index)).map(|(i, _)| i)
            else {
                break;
            };
            let (at, happening) = self.agenda.remove(next);
            self.settle(at);
            self.apply_event(happening);
        }
        self.settle(until);
    }

    fn settle(&mut self, at: Duration) {
        self.now = self.now.max(at);
        let now = self.now;
        self.devices.iter_mut().for_each(|d| d.arrive(now));
    }

    /// Pulls the device out.
    pub fn yank(&mut self, id: DriveId) {
        if let Some(device) = self.device_mut(id) {
            (device.attached, device.powered_off) = (false, false);
            device.cut_off();
        }
        self.invalidate(id, None);
    }

    /// Takes the medium out by hand.
    pub fn take_medium(&mut self, id: DriveId) {
        if let Some(device) = self.device_mut(id) {
            device.medium = Medium::Absent;
            device.disc_in_tray = false;
            device.moving = None;
            device.cut_off();
        }
        self.invalidate(id, None);
    }

    /// Pulls the device out, and another one appears in its place: same name, same number, same mount
    /// points, other content.
    pub fn replace(&mut self, id: DriveId) {
        let Some(old) = self.device(id) else { return };
        let mut setup = DriveSetup::new("", old.spec.kind, old.spec.bus);
        setup.shape = old.spec.clone();
        setup.shape.medium = Medium::Present;
        setup.shape.serial = Some("REPLACED".into());
        setup.pace = old.pace;
        let volumes: Vec<VolumeState> = old
            .volumes
            .iter()
            .map(|v| VolumeState {
                open: v.open,
                remount_letters: v.remount_letters.clone(),
                ..VolumeState::new(v.shape.clone())
            })
            .collect();
        self.yank(id);
        let number = self.number();
        let id = DriveId { device: id.device, generation: number };
        self.plug_as(&setup, id);
        let device = self.devices.last_mut().expect("just plugged");
        device.volumes = volumes;
    }

    /// Handles on this drive (or on one volume of it) no longer work.
    pub fn invalidate(&mut self, id: DriveId, volume: Option<&str>) {
        let on = |d: &&Device| volume.is_some_and(|v| self.is_shared(v, d.spec.id));
        let shared: Vec<DriveId> = self.devices.iter().filter(on).map(|d| d.spec.id).collect();
        self.handles
            .iter_mut()
            .filter(|h| match volume {
                Some(volume) => {
                    h.volume == volume && (h.device == id || shared.contains(&h.device))
                }
                None => h.device == id,
            })
            .for_each(|h| h.stale = true);
    }
}
