//! The machine as a platform of the library.

use crate::device::Device;
use crate::machine::Simulated;
use crate::semantics::Semantics;
use crate::state::MachineState;
use crate::{hardware, session};
use std::path::Path;
use std::time::Duration;
use unmoor::platform::{Platform, ProcessHandle, Session};
use unmoor::{
    Action, Clock, Deadline, Drive, Error, ErrorKind, Mount, Port, Process, Result, StepOutcome,
    Target, Volume,
};

impl Clock for Simulated {
    fn now(&self) -> Duration {
        self.with(|state| state.now)
    }

    fn sleep(&self, time: Duration) {
        self.spend(time);
    }
}

impl Platform for Simulated {
    fn list(&self, all: bool) -> Result<Vec<Drive>> {
        Ok(self.with(|state| {
            state
                .devices
                .iter()
                .filter(|d| d.attached && (all || d.spec.removable || d.spec.hotplug))
                .map(Device::describe)
                .collect()
        }))
    }

    fn resolve(&self, target: &Target) -> Result<Drive> {
        self.with(|state| {
            let attached = || state.devices.iter().filter(|d| d.attached);
            let found = match target {
                Target::Simulated(name) => {
                    attached().find(|d| is_named_by(d, &format!("sim:{name}")))
                }
                Target::Label(label) => attached().find(|d| {
                    d.volumes.iter().any(|v| v.spec.label.as_ref().is_some_and(|l| l == label))
                }),
                Target::Uuid(uuid) => attached().find(|d| {
                    d.volumes.iter().any(|v| v.spec.uuid.as_ref().is_some_and(|u| u == uuid))
                }),
                Target::Path(path) => attached()
                    .find(|d| path.to_str().is_some_and(|name| is_named_by(d, name)))
                    .or_else(|| mounted_at(attached(), Path::new(path))),
                _ => None,
            };
            found.map(Device::describe).ok_or_else(|| {
                let names: Vec<&str> = attached().map(|d| &*d.spec.name).collect();
                Error::new(ErrorKind::NoSuchTarget, target.to_string(), "no such simulated drive")
                    .with_help(format!("simulated drives: {}", names.join(", ")))
            })
        })
    }

    fn resolve_volume(&self, target: &Target) -> Result<Drive> {
        let drive = self.resolve(target)?;
        let is_it = |volume: &Volume| match target {
            Target::Simulated(name) => volume.name == format!("sim:{name}"),
            Target::Label(label) => volume.label.as_ref() == Some(label),
            Target::Uuid(uuid) => volume.uuid.as_ref() == Some(uuid),
            Target::Path(path) => {
                let below = |mount: &Mount| Path::new(path).starts_with(&mount.path);
                path.to_str() == Some(&volume.name) || volume.mounts.iter().any(below)
            }
            _ => false,
        };
        let named = drive.volumes.iter().find(|volume| is_it(volume)).map(|v| v.name.clone());
        match named {
            Some(name) => Ok(drive.only_volume(&name)),
            None => {
                let names: Vec<&str> = drive.volumes.iter().map(|v| &*v.name).collect();
                let names = names.join(", ");
                let why = format!("means the whole drive, not one of its volumes: {names}");
                Err(Error::new(ErrorKind::InvalidTarget, target.to_string(), why))
            }
        }
    }

    fn open(&self, drive: &Drive, _wait: &mut Deadline<'_>) -> Result<Box<dyn Session + '_>> {
        let token = self.with(MachineState::next_id);
        session::SimSession::open(self, drive, token)
            .map(|session| Box::new(session) as Box<dyn Session>)
    }

    fn supports_offline(&self) -> bool {
        self.with(|state| state.semantics) == Semantics::Windows
    }

    fn remount(&self, drive: &Drive) -> Result<StepOutcome> {
        self.with(|state| {
            if state.semantics == Semantics::Linux {
                let why = "is not mounted by this system of its own accord";
                return Err(Error::new(ErrorKind::NotSupported, &drive.name, why));
            }
            for vol in &mut state.with_medium(drive.id)?.volumes {
                let name = &vol.spec.name;
                if vol.offline {
                    return Err(Error::new(ErrorKind::Failed, name, "the volume is offline"));
                }
                if vol.locked_by.is_some() {
                    return Err(Error::new(ErrorKind::Busy, name, "the volume is locked"));
                }
                vol.spec.mounts.append(&mut vol.remount_letters);
            }
            Ok(StepOutcome::default())
        })
    }

    fn register_worker(&self) -> u64 {
        self.register_thread()
    }

    fn worker_started(&self, number: u64) {
        self.thread_started(number);
    }

    fn worker_finished(&self, number: u64) {
        self.thread_finished(number);
    }

    fn lock_is_probe(&self) -> bool {
        self.with(|state| state.semantics) == Semantics::Linux
    }

    fn min_lock_retry(&self) -> Duration {
        self.lock_retry
    }

    fn removal_locks_volumes(&self) -> bool {
        self.with(|state| state.semantics) == Semantics::Windows
    }

    fn can_terminate(&self) -> bool {
        true
    }

    fn can_stop_services(&self) -> bool {
        self.with(|state| state.semantics) == Semantics::Windows
    }

    fn open_process(&self, process: &Process) -> Result<Option<Box<dyn ProcessHandle + '_>>> {
        let held = self.open_process(process)?;
        Ok(held.map(|held| Box::new(held) as Box<dyn ProcessHandle>))
    }

    fn detached_ports(&self) -> Result<Vec<Port>> {
        Ok(self.detached_ports())
    }

    fn attach_methods(&self, target: &Target) -> Result<Vec<String>> {
        self.attach_methods(target)
    }

    fn attach(&self, target: &Target, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.attach(target, deadline)
    }

    fn methods(&self, drive: &Drive, action: Action) -> Vec<String> {
        hardware::methods(self.with(|state| state.semantics), drive, action)
    }
}

/// Returns true if the drive or one of its volumes has this name.
fn is_named_by(device: &Device, name: &str) -> bool {
    device.spec.name == name || device.volumes.iter().any(|v| v.spec.name == name)
}

/// Returns the device whose mount contains this path: the innermost, and of those the latest.
fn mounted_at<'d>(devices: impl Iterator<Item = &'d Device>, path: &Path) -> Option<&'d Device> {
    devices
        .flat_map(|d| d.volumes.iter().flat_map(|v| &v.spec.mounts).map(move |m| (m, d)))
        .filter(|(m, _)| path.starts_with(&m.path))
        .max_by_key(|(m, _)| (m.path.as_os_str().len(), m.id))
        .map(|(_, device)| device)
}
