//! Drives in memory, with the semantics of real ones: for tests, for demonstrations, for programs that
//! embed this library, on every system.
//!
//! A [`Simulated`] machine has drives with volumes, programs with open files, caches at three levels
//! (the machine's, the drive's, the medium), trays and motors that take their time, faults of any kind,
//! and a clock of its own: sleeping costs no time unless [`Simulated::with_real_clock`] is asked for.
//!
//! What truly happened can be asked of the machine afterwards, independently of any report:
//! [`Simulated::journal`], [`Simulated::medium`], [`Simulated::medium_contents`],
//! [`Simulated::locks_held`] and others.
//!
//! ```
//! use unmoor::{ErrorKind, Options, release};
//! use unmoor_simulated::{DriveSetup, Semantics, Simulated, VolumeSetup};
//!
//! let machine = Simulated::new(Semantics::Linux);
//! let volume = VolumeSetup::partition("ext4").mounted("/media/photos");
//! let stick = machine.plug(&DriveSetup::stick("photos").volume(volume));
//! let file = machine.open_file(stick, "sim:photos1", 4312, "/letter.txt")?;
//! machine.write(file, b"Dear Ada")?;
//!
//! let target = "sim:photos".parse()?;
//! let report = release(&machine, &target, &Options::default(), &mut |_| {});
//! assert_eq!(report.error().unwrap().kind(), ErrorKind::Busy);
//! assert!(machine.is_mounted(stick));
//!
//! machine.close(file);
//! let report = release(&machine, &target, &Options::default(), &mut |_| {});
//! assert_eq!(report.exit_code(), 0);
//! assert_eq!(machine.medium_contents(stick), machine.written(stick));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod blockers;
pub(crate) mod cache;
pub(crate) mod cut_off;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod fault;
pub(crate) mod files;
pub(crate) mod happening;
pub(crate) mod hardware;
pub(crate) mod journal;
pub(crate) mod programs;
pub(crate) mod running;
pub(crate) mod session;
pub(crate) mod setup;
pub(crate) mod socket;
pub(crate) mod threads;
pub(crate) mod truth;
pub(crate) mod world;

pub use crate::cache::Contents;
pub use crate::device::Prevention;
pub use crate::fault::{Fault, FaultKind, Op};
pub use crate::files::{FileError, HandleId};
pub use crate::happening::ScheduledEvent;
pub use crate::journal::{Effect, JournalEntry};
pub use crate::running::{SignalBehavior, SignalRecord};
pub use crate::setup::{DriveSetup, VolumeSetup};

use crate::device::Device;
use crate::world::MachineState;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;
use unmoor::platform::{Platform, ProcessHandle, Session};
use unmoor::{
    Action, Clock, Deadline, Drive, DriveId, Error, ErrorKind, Port, Process, Result, StepOutcome,
    Target,
};

/// A machine in memory.
#[derive(Debug)]
pub struct Simulated {
    state: Mutex<MachineState>,
    /// A thread that sleeps by this machine's clock may have been woken.
    woke: Condvar,
    real_time: bool,
    lock_retry: Duration,
}

/// Whose ways a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Semantics {
    /// Mounts are taken away one by one; a probe finds them idle but keeps nobody out; the drive is
    /// claimed at the end.
    Linux,
    /// A volume is locked, and nobody can open a file until it is unlocked; it is dismounted as a
    /// whole, letters and all, and is mounted again when somebody opens a file.
    Windows,
}

impl Semantics {
    /// As the system this program runs on.
    pub fn native() -> Self {
        if cfg!(windows) { Semantics::Windows } else { Semantics::Linux }
    }
}

impl Simulated {
    /// A machine without drives.
    pub fn new(manner: Semantics) -> Self {
        Simulated {
            state: Mutex::new(MachineState::new(manner)),
            woke: Condvar::new(),
            real_time: false,
            lock_retry: Duration::ZERO,
        }
    }

    /// Sleeps and operations take real time too, so that a person sees them pass.
    #[must_use]
    pub fn with_real_clock(mut self) -> Self {
        self.real_time = true;
        self
    }

    /// Retries a refused lock for at least this time, as the native Windows platform does.
    #[must_use]
    pub fn with_lock_retry(mut self, time: Duration) -> Self {
        self.lock_retry = time;
        self
    }

    /// Plugs a drive in. Every other call names it by what is returned.
    pub fn plug(&self, drive: &DriveSetup) -> DriveId {
        self.with(|w| w.plug(drive))
    }

    /// The drive that has this full name (`sim:stick`) now.
    pub fn find(&self, name: &str) -> Option<DriveId> {
        self.with(|w| {
            w.devices.iter().find(|d| d.attached && d.spec.name == name).map(|d| d.spec.id)
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut MachineState) -> T) -> T {
        // Nothing panics while it holds this lock; were it so, the machine's state is still readable.
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for Simulated {
    fn now(&self) -> Duration {
        self.with(|w| w.now)
    }

    fn sleep(&self, time: Duration) {
        self.spend(time);
    }
}

impl Platform for Simulated {
    fn list(&self, all: bool) -> Result<Vec<Drive>> {
        Ok(self.with(|w| {
            w.devices
                .iter()
                .filter(|d| d.attached && (all || d.spec.removable || d.spec.hotplug))
                .map(Device::describe)
                .collect()
        }))
    }

    fn resolve(&self, target: &Target) -> Result<Drive> {
        self.with(|w| {
            let attached = || w.devices.iter().filter(|d| d.attached);
            let found = match target {
                Target::Simulated(name) => {
                    attached().find(|d| is_named_by(d, &format!("sim:{name}")))
                }
                Target::Label(label) => attached().find(|d| {
                    d.volumes.iter().any(|v| v.shape.label.as_ref().is_some_and(|l| l == label))
                }),
                Target::Uuid(uuid) => attached().find(|d| {
                    d.volumes.iter().any(|v| v.shape.uuid.as_ref().is_some_and(|u| u == uuid))
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

    fn open(&self, drive: &Drive, _wait: &mut Deadline<'_>) -> Result<Box<dyn Session + '_>> {
        let token = self.with(MachineState::number);
        session::SimSession::open(self, drive.id, token)
            .map(|bound| Box::new(bound) as Box<dyn Session>)
    }

    fn supports_offline(&self) -> bool {
        self.with(|w| w.manner) == Semantics::Windows
    }

    fn remount(&self, drive: &Drive) -> Result<StepOutcome> {
        self.with(|w| {
            if w.manner == Semantics::Linux {
                let why = "is not mounted by this system of its own accord";
                return Err(Error::new(ErrorKind::NotSupported, &drive.name, why));
            }
            for vol in &mut w.with_medium(drive.id)?.volumes {
                let name = &vol.shape.name;
                if vol.offline {
                    return Err(Error::new(ErrorKind::Failed, name, "the volume is offline"));
                }
                if vol.locked_by.is_some() {
                    return Err(Error::new(ErrorKind::Busy, name, "the volume is locked"));
                }
                vol.shape.mounts.append(&mut vol.remount_letters);
            }
            Ok(StepOutcome::default())
        })
    }

    fn register_worker(&self) -> u64 {
        self.announce()
    }

    fn worker_started(&self, number: u64) {
        self.begin(number);
    }

    fn worker_finished(&self, number: u64) {
        self.end(number);
    }

    fn lock_is_probe(&self) -> bool {
        self.with(|w| w.manner) == Semantics::Linux
    }

    fn min_lock_retry(&self) -> Duration {
        self.lock_retry
    }

    fn removal_locks_volumes(&self) -> bool {
        self.with(|w| w.manner) == Semantics::Windows
    }

    fn can_terminate(&self) -> bool {
        true
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
        hardware::methods(self.with(|w| w.manner), drive, action)
    }
}

/// Is this the name of the drive, or of a volume of it.
fn is_named_by(device: &Device, name: &str) -> bool {
    device.spec.name == name || device.volumes.iter().any(|v| v.shape.name == name)
}

/// The device whose mount holds this path: the innermost, the latest.
fn mounted_at<'d>(devices: impl Iterator<Item = &'d Device>, path: &Path) -> Option<&'d Device> {
    devices
        .flat_map(|d| d.volumes.iter().flat_map(|v| &v.shape.mounts).map(move |m| (m, d)))
        .filter(|(m, _)| path.starts_with(&m.path))
        .max_by_key(|(m, _)| (m.path.as_os_str().len(), m.id))
        .map(|(_, device)| device)
}
