//! Windows: the Win32 storage interface, Windows 7 and later.
//!
//! | step | request |
//! |---|---|
//! | flush | a write handle, `FlushFileBuffers`; not for CD and DVD |
//! | lock | a read handle, `FSCTL_LOCK_VOLUME`; the handle stays open and keeps the lock |
//! | dismount | `FSCTL_DISMOUNT_VOLUME`, with `--offline` also `IOCTL_VOLUME_OFFLINE`, on that handle |
//! | eject | `IOCTL_STORAGE_EJECT_MEDIA` on the volume, then on the drive; after a refusal `IOCTL_STORAGE_MEDIA_REMOVAL` and once more |
//! | power off | `CM_Request_Device_EjectW` on the USB device, the disk or its own adapter |
//! | detach an image | `DetachVirtualDisk` |
//! | load | `IOCTL_STORAGE_LOAD_MEDIA2`, `IOCTL_STORAGE_LOAD_MEDIA` |
//! | verify | `IOCTL_STORAGE_CHECK_VERIFY2` |
//! | unlock | `FSCTL_UNLOCK_VOLUME`, close |
//!
//! `docs/windows.md` says how each promise is tested.

pub(crate) mod blockers;
pub(crate) mod inventory;
pub(crate) mod release;
pub(crate) mod session;
pub(crate) mod sys;

use crate::deadline::Deadline;
use crate::model::blocker::Process;
use crate::model::drive::{Drive, DriveKind, Medium, Port};
use crate::model::error::Result;
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::target::Target;
use crate::platform::windows::inventory::snapshot::Inventory;
use crate::platform::windows::inventory::{describe, resolve};
use crate::platform::windows::release::{attach, process_handle, remount};
use crate::platform::windows::session::WindowsSession;
use crate::platform::windows::sys::current_directory;
use crate::platform::windows::sys::privilege::Privilege;
use crate::platform::windows::sys::registry;
use crate::platform::{Clock, Platform, ProcessHandle, Session};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The Win32 storage interface.
#[derive(Debug, Default)]
pub struct Windows {
    waiting_process: Option<u32>,
}

impl Windows {
    /// Remembers the current directory, which relative names mean from then on.
    ///
    /// Opening a drive that holds the current directory moves this process to the system directory:
    /// otherwise this process itself would keep the drive busy.
    pub fn new() -> Self {
        current_directory::at_start();
        Windows::default()
    }

    /// Returns the folder in which programs are installed, where only administrators may write.
    pub fn program_folder() -> Option<PathBuf> {
        registry::program_folders().into_iter().next().map(PathBuf::from)
    }

    /// Names a process that runs from the drive and only waits for this one.
    ///
    /// A program that releases its own drive starts a copy of itself elsewhere, and waits. Its open program
    /// file makes Windows refuse the lock. A volume that no other process was found to use is then
    /// dismounted without a lock.
    #[must_use]
    pub fn waited_for_by(mut self, pid: u32) -> Self {
        self.waiting_process = Some(pid);
        self
    }
}

/// Time for which a refused lock is retried: after copying, the indexer, a virus scanner and Explorer
/// have files open for seconds.
const LOCK_RETRY: Duration = Duration::from_secs(10);

/// Time for the first attempt to lock. The lock flushes the volume, and returns only after every program
/// registered for `GUID_IO_VOLUME_LOCK` has processed its notification.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a disc to become ready. Its file system is known only then.
const SPIN_UP: Duration = Duration::from_secs(12);
/// Interval between queries while a disc spins up.
const SPIN_UP_POLL: Duration = Duration::from_millis(250);

impl Clock for Windows {
    fn now(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl Platform for Windows {
    fn list(&self, all: bool) -> Result<Vec<Drive>> {
        let inventory = Inventory::take();
        let drives = inventory.keys().into_iter().map(|key| describe::describe(&inventory, &key));
        Ok(drives.filter(|d| all || d.removable || d.hotplug || is_optical(d)).collect())
    }

    fn resolve(&self, target: &Target) -> Result<Drive> {
        let inventory = Inventory::take();
        let key = resolve::resolve(&inventory, target)?;
        let start = Instant::now();
        loop {
            let drive = describe::describe(&inventory, &key);
            let spins_up = is_optical(&drive) && drive.medium == Medium::Unknown;
            if !spins_up || start.elapsed() >= SPIN_UP {
                return Ok(drive);
            }
            std::thread::sleep(SPIN_UP_POLL);
        }
    }

    fn open(&self, drive: &Drive, _wait: &mut Deadline<'_>) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(WindowsSession::open(drive, self.waiting_process)?))
    }

    fn elevated_account(&self) -> Option<&'static str> {
        (!Privilege::Debug.is_held()).then_some("administrator")
    }

    fn min_lock_retry(&self) -> Duration {
        LOCK_RETRY
    }

    fn first_lock_timeout(&self) -> Duration {
        LOCK_TIMEOUT
    }

    fn removal_locks_volumes(&self) -> bool {
        true
    }

    fn can_terminate(&self) -> bool {
        true
    }

    fn can_stop_services(&self) -> bool {
        // An administrator holds it; others may stop no service.
        Privilege::Debug.is_held()
    }

    fn open_process(&self, process: &Process) -> Result<Option<Box<dyn ProcessHandle + '_>>> {
        process_handle::open_process(process)
    }

    fn detached_ports(&self) -> Result<Vec<Port>> {
        Ok(attach::detached_devices())
    }

    fn attach_methods(&self, target: &Target) -> Result<Vec<String>> {
        attach::method_names(target)
    }

    fn attach(&self, target: &Target, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        attach::attach(target, deadline)
    }

    fn supports_offline(&self) -> bool {
        true
    }

    fn remount(&self, drive: &Drive) -> Result<StepOutcome> {
        remount::remount(drive)
    }

    fn methods(&self, _drive: &Drive, action: Action) -> Vec<String> {
        let methods: &[&str] = match action {
            Action::Eject => &["IOCTL_STORAGE_EJECT_MEDIA"],
            Action::Stop => &["CM_Request_Device_EjectW", "IOCTL_STORAGE_EJECT_MEDIA"],
            Action::Detach => &["DetachVirtualDisk"],
            Action::PowerOff => &["CM_Request_Device_EjectW"],
            _ => &[],
        };
        methods.iter().map(ToString::to_string).collect()
    }
}

fn is_optical(drive: &Drive) -> bool {
    drive.kind == DriveKind::Optical
}
