//! Simulated drives in memory, with the semantics of Linux or Windows.
//!
//! They serve tests, demonstrations and programs that embed this library, on every system.
//!
//! A [`Simulated`] machine has drives with volumes, programs with open files, caches at three levels
//! (the machine's, the drive's, the medium), trays and motors that take their time, faults of any kind,
//! and a clock of its own. Sleeping costs no real time unless [`Simulated::with_real_clock`] is set.
//!
//! The machine reports its true state independently of any report: [`Simulated::journal`],
//! [`Simulated::medium`], [`Simulated::medium_contents`], [`Simulated::locks_held`] and others.
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
//! assert!(report.error().is_none());
//! assert_eq!(machine.medium_contents(stick), machine.written(stick));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub(crate) mod blockers;
pub(crate) mod cache;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod fault;
pub(crate) mod files;
pub(crate) mod hardware;
pub(crate) mod inspect;
pub(crate) mod journal;
pub(crate) mod port;
pub(crate) mod process_handle;
pub(crate) mod processes;
pub(crate) mod scheduled_event;
pub(crate) mod session;
pub(crate) mod setup;
pub(crate) mod state;
pub(crate) mod virtual_clock;
pub(crate) mod volume_ops;

pub use crate::cache::Contents;
pub use crate::device::Prevention;
pub use crate::fault::{Fault, FaultKind, Op};
pub use crate::files::{FileError, HandleId};
pub use crate::journal::{Effect, JournalEntry};
pub use crate::process_handle::{SignalBehavior, SignalRecord};
pub use crate::scheduled_event::ScheduledEvent;
pub use crate::setup::{DriveSetup, VolumeSetup};

use crate::device::Device;
use crate::state::MachineState;
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
    /// Notified when a thread that sleeps by this machine's clock may continue.
    woke: Condvar,
    real_time: bool,
    lock_retry: Duration,
}

/// The operating system whose semantics a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Semantics {
    /// Mounts are unmounted one by one. A lock is a probe that excludes no process; the drive is claimed
    /// at the end.
    Linux,
    /// A lock excludes every process until the unlock. A volume is dismounted as a whole, with its
    /// letters, and is mounted again when a process opens a file.
    Windows,
}

impl Semantics {
    /// Returns the semantics of the system that this program runs on.
    pub fn native() -> Self {
        if cfg!(windows) { Semantics::Windows } else { Semantics::Linux }
    }
}

impl Simulated {
    /// Returns a machine without drives.
    pub fn new(semantics: Semantics) -> Self {
        Simulated {
            state: Mutex::new(MachineState::new(semantics)),
            woke: Condvar::new(),
            real_time: false,
            lock_retry: Duration::ZERO,
        }
    }

    /// Makes sleeps and operations take real time, so that a person can watch them.
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

    /// Plugs a drive in and returns its identifier, which every other call takes.
    pub fn plug(&self, drive: &DriveSetup) -> DriveId {
        self.with(|state| state.plug(drive))
    }

    /// Returns the attached drive with this full name (`sim:stick`).
    pub fn find(&self, name: &str) -> Option<DriveId> {
        self.with(|state| {
            state.devices.iter().find(|d| d.attached && d.spec.name == name).map(|d| d.spec.id)
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut MachineState) -> T) -> T {
        // Nothing panics while it holds this lock. Even after a panic the state would be readable.
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

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

    fn open(&self, drive: &Drive, _wait: &mut Deadline<'_>) -> Result<Box<dyn Session + '_>> {
        let token = self.with(MachineState::next_id);
        session::SimSession::open(self, drive.id, token)
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
