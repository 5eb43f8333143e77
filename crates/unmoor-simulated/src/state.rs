//! The machine's state behind one lock: devices, handles, the clock, scheduled events.

use crate::device::{Device, VolumeState};
use crate::files::Handle;
use crate::journal::JournalEntry;
use crate::program::{Program, SignalRecord};
use crate::scheduled_event::ScheduledEvent;
use crate::semantics::Semantics;
use crate::setup::DriveSetup;
use crate::worker_threads::Threads;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unmoor::{DriveId, Error, ErrorKind, Medium, Mount, Result};

#[derive(Debug)]
pub(crate) struct MachineState {
    pub now: Duration,
    pub semantics: Semantics,
    pub devices: Vec<Device>,
    pub handles: Vec<Handle>,
    pub programs: BTreeMap<u32, Program>,
    pub signals: Vec<SignalRecord>,
    /// Services that were started again.
    pub restarted: Vec<u32>,
    /// Drives that processes have open directly: drive, pid, and true if open for writing.
    pub raw_handles: Vec<(DriveId, u32, bool)>,
    /// Drives that our own sessions have a handle on, and the session's token.
    pub own_handles: Vec<(DriveId, u64)>,
    pub scheduled: Vec<(Duration, ScheduledEvent)>,
    pub journal: Vec<JournalEntry>,
    pub threads: Threads,
    counter: u64,
}

impl MachineState {
    pub fn new(semantics: Semantics) -> Self {
        MachineState {
            now: Duration::ZERO,
            semantics,
            devices: Vec::new(),
            handles: Vec::new(),
            programs: BTreeMap::new(),
            signals: Vec::new(),
            restarted: Vec::new(),
            raw_handles: Vec::new(),
            own_handles: Vec::new(),
            scheduled: Vec::new(),
            journal: Vec::new(),
            threads: Threads::default(),
            counter: 100,
        }
    }

    /// Returns a new identifier.
    pub fn next_id(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn plug(&mut self, setup: &DriveSetup) -> DriveId {
        let id = DriveId::new(self.next_id(), self.next_id());
        self.plug_as(setup, id);
        id
    }

    fn plug_as(&mut self, setup: &DriveSetup, id: DriveId) {
        self.devices.push(setup.build(id));
        for (index, volume) in setup.volumes.iter().enumerate() {
            if let Some(known) = self.shared_mounts(id, index) {
                self.devices.last_mut().expect("just pushed").volumes[index].spec.mounts = known;
                continue;
            }
            for path in &volume.mounts {
                self.mount(id, index, path);
            }
        }
        let device = self.devices.last_mut().expect("just pushed");
        device.written = device.volumes.iter().flat_map(|v| v.cache.clone()).collect();
    }

    /// Returns a path where another drive is mounted within the mounts of this one.
    pub fn mounted_within(&self, id: DriveId) -> Option<PathBuf> {
        let own_mounts: Vec<u64> = self
            .device(id)
            .into_iter()
            .flat_map(|d| &d.volumes)
            .flat_map(|v| v.spec.mounts.iter().map(|m| m.id))
            .collect();
        let all = self.devices.iter().flat_map(|d| &d.volumes).flat_map(|v| &v.spec.mounts);
        let mut others =
            all.filter(|m| own_mounts.contains(&m.parent) && !own_mounts.contains(&m.id));
        others.next().map(|m| m.path.clone())
    }

    /// Mounts a volume on top of the mount that contains this path, as kernels do.
    pub fn mount(&mut self, id: DriveId, volume: usize, path: &Path) {
        let parent = self
            .devices
            .iter()
            .flat_map(|d| &d.volumes)
            .flat_map(|v| &v.spec.mounts)
            .filter(|m| path.starts_with(&m.path))
            .max_by_key(|m| (m.path.as_os_str().len(), m.id))
            .map_or(1, |m| m.id);
        let number = self.next_id();
        let Some(vol) = self.device_mut(id).and_then(|d| d.volumes.get_mut(volume)) else { return };
        let file_system = vol.spec.file_system.clone().unwrap_or_default();
        let mut mount = Mount::new(path, file_system, number);
        mount.read_only = vol.spec.read_only;
        mount.parent = parent;
        vol.spec.mounts.push(mount);
    }

    /// Returns the mounts of a stacked volume that another drive already has. Such a volume is set up
    /// under the same name on each of its drives.
    fn shared_mounts(&self, id: DriveId, volume: usize) -> Option<Vec<Mount>> {
        let new = &self.device(id)?.volumes[volume];
        let mut others = self.devices.iter().filter(|d| d.attached && d.spec.id != id);
        let known = others.find_map(|d| d.volume(&new.spec.name)).filter(|v| v.is_stacked());
        known.filter(|_| new.is_stacked()).map(|v| v.spec.mounts.clone())
    }

    /// Returns true if this stacked volume is also on that drive.
    pub fn is_shared(&self, volume: &str, with: DriveId) -> bool {
        self.device(with).and_then(|d| d.volume(volume)).is_some_and(VolumeState::is_stacked)
    }

    /// Copies the state of a stacked volume to the other drives that it lies on.
    pub fn sync_shared(&mut self, id: DriveId, volume: &str) {
        let Some(vol) = self.device(id).and_then(|d| d.volume(volume)) else { return };
        if !vol.is_stacked() {
            return;
        }
        let (mounts, open) = (vol.spec.mounts.clone(), vol.open);
        let others = self.devices.iter_mut().filter(|d| d.attached && d.spec.id != id);
        for other in others.filter_map(|d| d.volume_mut(volume)).filter(|v| v.is_stacked()) {
            other.spec.mounts.clone_from(&mounts);
            other.open = open;
        }
    }

    pub fn device(&self, id: DriveId) -> Option<&Device> {
        self.devices.iter().find(|d| d.spec.id == id)
    }

    pub fn device_mut(&mut self, id: DriveId) -> Option<&mut Device> {
        self.devices.iter_mut().find(|d| d.spec.id == id)
    }

    /// Returns the device if it is attached, otherwise an error with the reason.
    pub fn attached_device(&mut self, id: DriveId) -> Result<&mut Device> {
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

    /// Returns the device, as [`MachineState::attached_device`], if it has a medium.
    pub fn with_medium(&mut self, id: DriveId) -> Result<&mut Device> {
        let device = self.attached_device(id)?;
        if device.medium != Medium::Present {
            let name = &device.spec.name;
            return Err(Error::new(ErrorKind::NoMedium, name, "there is no medium in it any more"));
        }
        Ok(device)
    }

    /// Returns a volume of the device, as [`MachineState::with_medium`].
    pub fn volume(&mut self, id: DriveId, name: &str) -> Result<&mut VolumeState> {
        let device = self.with_medium(id)?;
        device.volume_mut(name).ok_or_else(|| {
            Error::new(ErrorKind::Failed, name, "there is no such volume on this drive")
        })
    }

    /// Lets time pass and applies the events that are due, in order.
    pub fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let due = self.scheduled.iter().enumerate().filter(|(_, (at, _))| *at <= until);
            let Some(next) = due.min_by_key(|(index, (at, _))| (*at, *index)).map(|(i, _)| i)
            else {
                break;
            };
            let (at, event) = self.scheduled.remove(next);
            self.advance_to(at);
            self.apply_event(event);
        }
        self.advance_to(until);
    }

    fn advance_to(&mut self, at: Duration) {
        self.now = self.now.max(at);
        let now = self.now;
        self.devices.iter_mut().for_each(|d| d.finish_motion(now));
    }

    /// Pulls the device out.
    pub fn yank(&mut self, id: DriveId) {
        if let Some(device) = self.device_mut(id) {
            (device.attached, device.powered_off) = (false, false);
            device.lose_medium();
        }
        self.invalidate(id, None);
    }

    /// Takes the medium out by hand.
    pub fn take_medium(&mut self, id: DriveId) {
        if let Some(device) = self.device_mut(id) {
            device.medium = Medium::Absent;
            device.disc_in_tray = false;
            device.moving = None;
            device.lose_medium();
        }
        self.invalidate(id, None);
    }

    /// Replaces the device by another one with the same name, number and mount points. The content
    /// differs.
    pub fn replace(&mut self, id: DriveId) {
        let Some(old) = self.device(id) else { return };
        let mut setup = DriveSetup::new("", old.spec.kind, old.spec.bus);
        setup.spec = old.spec.clone();
        setup.spec.medium = Medium::Present;
        setup.spec.serial = Some("REPLACED".into());
        setup.timing = old.timing;
        let volumes: Vec<VolumeState> = old
            .volumes
            .iter()
            .map(|v| VolumeState {
                open: v.open,
                remount_letters: v.remount_letters.clone(),
                ..VolumeState::new(v.spec.clone())
            })
            .collect();
        self.yank(id);
        let number = self.next_id();
        let id = DriveId::new(id.device, number);
        self.plug_as(&setup, id);
        let device = self.devices.last_mut().expect("just plugged");
        device.volumes = volumes;
    }

    /// Marks the open handles on this drive, or on one volume of it, as stale.
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
