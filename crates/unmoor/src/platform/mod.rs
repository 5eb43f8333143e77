//! The platform seam: what a release asks of an operating system.
//!
//! A [`Platform`] knows the interfaces of one system, and no policy. It does not decide in which order
//! things happen, whether a release continues after a failure, or whether a drive may be released. A
//! [`Session`] is one open drive. It owns every handle and lock, and releases all of them when dropped.
//!
//! # Stability
//! Programs call these traits through [`release`](crate::release()) and the stages. They may be implemented
//! too, as the crate `unmoor-simulated` does, but without a promise: a minor release may add required
//! methods or change their contract.

#[cfg(target_os = "linux")]
pub(crate) mod coalesce;
mod host;
#[cfg(target_os = "linux")]
pub mod linux;
#[cfg_attr(not(any(target_os = "linux", windows)), allow(dead_code))]
pub(crate) mod pattern;
pub(crate) mod stuck_pool;
mod watcher;
#[cfg(any(windows, test, feature = "fuzzing"))]
pub(crate) mod win32_parse;
#[cfg(windows)]
pub mod windows;

pub use self::host::native;
pub use self::watcher::{Polling, Watcher};

use crate::deadline::{Clock, Deadline};
use crate::model::blocker::{BlockerScan, Process};
use crate::model::cdrom::CdromSetting;
use crate::model::drive::Drive;
use crate::model::drive::Port;
use crate::model::drive::Presence;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::target::Target;
use crate::model::volume::Mount;
use crate::model::volume::Volume;
use std::path::Path;
use std::time::Duration;

/// An operating system, or a simulated one.
///
/// Several drives of a platform may be worked on at the same time, each in a thread.
pub trait Platform: Clock + Send + Sync {
    /// Returns the drives of this machine, or with `all` the built-in ones too.
    fn list(&self, all: bool) -> Result<Vec<Drive>>;

    /// Starts to watch for changes of drives, media and mounts.
    ///
    /// Linux: events of the kernel and of udev (NETLINK_KOBJECT_UEVENT), and of the mount table (proc(5)). Elsewhere
    /// [`Polling`].
    ///
    /// # Errors
    /// What the system reports.
    fn watch(&self) -> Result<Box<dyn Watcher>> {
        Ok(Box::new(Polling::default()))
    }

    /// Returns the one drive that `target` means, with everything on it.
    ///
    /// # Errors
    /// `NoSuchTarget`; `NotPermitted` if the answer depends on something this user may not read; `Refused`
    /// for a file system of the running system.
    fn resolve(&self, target: &Target) -> Result<Drive>;

    /// Returns the drive of the volume that `target` names, as [`Drive::only_volume`].
    ///
    /// # Errors
    /// As [`Platform::resolve`]; `InvalidTarget` for a drive with several volumes; `NotSupported` on systems without it
    /// (Windows).
    fn resolve_volume(&self, target: &Target) -> Result<Drive> {
        let why = "one volume of a drive cannot be dismounted alone on this system yet";
        Err(Error::new(ErrorKind::NotSupported, target.to_string(), why))
    }

    /// Removes what is left of a drive that is gone: dead mounts, and mappings without a device below.
    ///
    /// The detail of each accepted attempt is a part that was removed; a warning names each part that stays. Only
    /// Linux leaves such things behind.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted`.
    fn remove_remains(
        &self,
        _target: &Target,
        _deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("this system leaves nothing of a drive behind"))
    }

    /// Opens the drive and binds the session to its device. Changes nothing, and closes no tray.
    ///
    /// Every later call fails with `Gone` or `Replaced` rather than touch another device.
    ///
    /// # Errors
    /// `TimedOut` if the drive does not answer.
    fn open(&self, drive: &Drive, deadline: &mut Deadline<'_>) -> Result<Box<dyn Session + '_>>;

    /// Returns true if volumes can be taken offline ([`Options::offline`](crate::Options::offline)).
    fn supports_offline(&self) -> bool {
        false
    }

    /// Returns the minimum time for which a refused lock is retried.
    ///
    /// [`Options::MIN_RETRY`](crate::Options::MIN_RETRY) counts if it is longer.
    fn min_lock_retry(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the timeout of the first attempt to lock.
    ///
    /// [`Options::FIRST_LOCK_TIMEOUT`](crate::Options::FIRST_LOCK_TIMEOUT) counts if it is longer.
    fn first_lock_timeout(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns true if removing a device locks, flushes and dismounts its volumes by itself.
    ///
    /// A user who may not lock the volumes may still remove the device then.
    fn removal_locks_volumes(&self) -> bool {
        false
    }

    /// Mounts again what was dismounted and is still in the drive.
    ///
    /// # Errors
    /// `NotSupported` on systems that do not mount by themselves (all but Windows).
    fn remount(&self, drive: &Drive) -> Result<StepOutcome> {
        Err(Error::new(
            ErrorKind::NotSupported,
            &drive.name,
            "is not mounted by this system of its own accord",
        )
        .with_help(format!("mount it with: mount {} FOLDER", drive.path.display())))
    }

    /// Returns kinds of users that may keep a drive busy and that no scan can find, in words.
    fn undetectable_users(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the account that can see more users of a drive: `root`, `administrator`.
    ///
    /// `None` if this one sees everything.
    fn elevated_account(&self) -> Option<&'static str> {
        None
    }

    /// Returns true if [`Session::try_lock`] is a probe that excludes no user.
    ///
    /// Callers that only read may use it then.
    fn lock_is_probe(&self) -> bool {
        false
    }

    /// Returns true if processes can be terminated ([`Options::kill`](crate::Options::kill)).
    fn can_terminate(&self) -> bool {
        false
    }

    /// Returns true if this user can stop services ([`Kill::services`](crate::Kill::services)).
    fn can_stop_services(&self) -> bool {
        false
    }

    /// Opens a process that a scan has found. `None` if it has exited.
    ///
    /// Whatever is done through the handle affects this process, and never another one with the same
    /// number.
    ///
    /// # Errors
    /// `Refused` for this program, an ancestor of it, the first process and threads of the kernel;
    /// `NotPermitted`; `NotSupported` if [`Platform::can_terminate`] is false.
    fn open_process(&self, process: &Process) -> Result<Option<Box<dyn ProcessHandle + '_>>> {
        let what = process.name.to_string_lossy();
        Err(Error::new(ErrorKind::NotSupported, what, "programs cannot be ended on this system"))
    }

    /// Returns the ports with a device plugged in that the system does not use.
    ///
    /// # Errors
    /// `NotSupported` if the system does not report them; `NotPermitted`.
    fn detached_ports(&self) -> Result<Vec<Port>> {
        Err(Error::new(ErrorKind::NotSupported, "attach", "is not available on this system yet"))
    }

    /// Returns the names of the methods that [`Platform::attach`] would try, in order.
    ///
    /// # Errors
    /// `NotSupported` for a target that is not a port; `NoSuchTarget`.
    fn attach_methods(&self, target: &Target) -> Result<Vec<String>> {
        Err(attach_unsupported(target))
    }

    /// Attaches the device at this port after a power-off, and waits for its drives.
    ///
    /// # Errors
    /// As [`Platform::attach_methods`]; `NoMedium` if nothing is plugged in; `Failed` if no drive appears.
    fn attach(&self, target: &Target, _deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        Err(attach_unsupported(target))
    }

    /// Returns the names of the methods that [`Session::perform`] would try for this action, in order.
    fn methods(&self, drive: &Drive, action: Action) -> Vec<String>;

    /// Prepares for a batch with this many workers.
    ///
    /// The thread that starts the workers calls it, before the first of them starts.
    fn batch_started(&self, _workers: usize) {}

    /// Ends what [`Platform::batch_started`] prepared.
    ///
    /// The same thread calls it, after the last worker has ended.
    fn batch_finished(&self) {}

    /// Registers a worker thread and returns its number.
    ///
    /// The thread that starts the workers calls it, before the first of them starts. A simulated clock
    /// moves on only while all registered workers sleep.
    fn register_worker(&self) -> u64 {
        0
    }

    /// Marks the start of this worker. The worker calls it.
    ///
    /// It closes everything that it opens before [`Platform::worker_finished`].
    fn worker_started(&self, _number: u64) {}

    /// Marks the end of this worker. The worker calls it.
    fn worker_finished(&self, _number: u64) {}
}

/// A handle of a process: see [`Platform::open_process`].
pub trait ProcessHandle: Send {
    /// Asks the process to exit. Returns the name of the method in the system.
    ///
    /// # Errors
    /// `NotPermitted`. A process that has exited already is no error.
    fn terminate(&mut self) -> Result<&'static str>;

    /// Kills the process. Returns the name of the method in the system.
    ///
    /// # Errors
    /// As [`ProcessHandle::terminate`].
    fn kill(&mut self) -> Result<&'static str>;

    /// Returns true if the process has exited and its handles are closed.
    fn has_exited(&mut self) -> bool;

    /// Starts the service again that [`terminate`](ProcessHandle::terminate) has stopped. Returns the name
    /// of the method; `None` for a program.
    ///
    /// # Errors
    /// `Failed`, `TimedOut`.
    fn restart(&mut self) -> Result<Option<&'static str>> {
        Ok(None)
    }
}

/// An open drive, bound to its device.
///
/// Dropping a session releases everything that it has locked. No method waits past its [`Deadline`].
pub trait Session: Send {
    /// Returns the drive as it is now.
    ///
    /// # Errors
    /// `Gone` if it left, `Replaced` if another device has its name.
    fn refresh(&mut self) -> Result<Drive>;

    /// Verifies that this is still the device that was opened. Cheap.
    ///
    /// # Errors
    /// `Gone`, `Replaced`; `NotPermitted` if this user may do nothing with it (Windows).
    fn check(&mut self) -> Result<()>;

    /// Checks before the first step of a release that this user may carry out all of it.
    ///
    /// `action` is the last step. With `interactive`, the system may ask the user for a password.
    ///
    /// # Errors
    /// `NotPermitted`; `TimedOut`, `Interrupted`.
    fn authorize(
        &mut self,
        _action: Action,
        _interactive: bool,
        _deadline: &mut Deadline<'_>,
    ) -> Result<()> {
        Ok(())
    }

    /// Writes the cache of this volume to the drive.
    ///
    /// # Errors
    /// `Unwritten` if data could not be written. It is remembered, because the system reports it once.
    fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Returns the bytes in the cache that are not on the drive yet, if the system reports them.
    ///
    /// Sends no command to the drive, which may not answer.
    fn unwritten(&self) -> Option<u64> {
        None
    }

    /// Writes the cache of the drive itself to the medium.
    fn flush_drive(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Tries once to lock the volume, or to find it idle. Changes nothing that a user would notice.
    ///
    /// # Errors
    /// `Busy`, without a scan for blockers ([`Session::blockers`]). `TimedOut` if the time was too short:
    /// no user was found, and nothing is locked.
    fn try_lock(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Checks for users of the drive that no mount shows, after every volume was found idle.
    ///
    /// These are programs that write to the device itself (an imager, `dd`), and hidden users of its file
    /// systems. A write in progress would be torn by the eject. If the medium `stays`, a program may write
    /// to the device.
    ///
    /// # Errors
    /// `Busy`, with the users.
    fn check_raw_users(
        &mut self,
        _stays: bool,
        _deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("a lock keeps them out"))
    }

    /// Checks whether a forced dismount would take along a mount of another drive.
    ///
    /// # Errors
    /// `NotExclusive`, with the mount.
    fn check_foreign_mounts(&mut self) -> Result<()> {
        Ok(())
    }

    /// Unmounts one mount of the volume, on systems with several mounts of a volume (Linux).
    ///
    /// With `force`, the mount may be in use: open files fail from then on.
    fn unmount(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome>;

    /// Mounts again what this session has unmounted without force, at the same places, as far as possible.
    ///
    /// Drops the claim first. The detail of each accepted attempt is a mount point; a warning names each mount that
    /// is not back. Windows mounts a dismounted volume by itself.
    ///
    /// # Errors
    /// `Gone`, `Replaced`; `TimedOut`.
    fn mount_again(&mut self, _deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("the system mounts it by itself"))
    }

    /// Switches off this swap space of the volume ([`Options::swapoff`](crate::Options::swapoff)).
    ///
    /// # Errors
    /// `Failed` if its content does not fit into memory. Nothing has changed then.
    fn swap_off(
        &mut self,
        volume: &Volume,
        _path: &Path,
        _deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Err(Error::new(ErrorKind::NotSupported, &volume.name, "swap cannot be switched off here"))
    }

    /// Dismounts the volume itself, after its mounts.
    ///
    /// Windows: dismounts the file system. Linux: closes what is stacked (a mapping, an array, a loop
    /// device).
    fn dismount(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome>;

    /// Claims the whole drive after every volume is dismounted, and flushes what dismounting wrote.
    ///
    /// The claim proves that nothing uses the drive any more. With `force`, continues without the claim if
    /// handles that were cut off still exist.
    ///
    /// # Errors
    /// `Busy` if a part of the drive is mounted or set up. `Unwritten` if what dismounting wrote could not
    /// be written; the drive is claimed all the same.
    fn claim(&mut self, force: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Sets before the first step whether volumes are to be taken offline ([`Session::offline`]).
    ///
    /// Windows opens them with more rights then.
    fn set_offline(&mut self, _offline: bool) {}

    /// Takes a dismounted volume offline, until it is taken online or plugged in again.
    ///
    /// Called only if [`Platform::supports_offline`] is true.
    fn offline(&mut self, _volume: &Volume, _deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("this system has no offline state"))
    }

    /// Closes every handle that would keep the device on its bus, and releases their locks.
    ///
    /// Another session is about to take the whole device off its bus. Only Windows asks every handle.
    fn release_handles(&mut self) {}

    /// Carries out the last action of the plan, one method after the other until one is accepted.
    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Loads the medium.
    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Changes a setting of an optical drive.
    ///
    /// # Errors
    /// `NotSupported` on systems without it (Windows); `NotPermitted`; what the drive reports.
    fn set_cdrom(&mut self, _setting: CdromSetting, _deadline: &mut Deadline<'_>) -> Result<()> {
        let why = "settings of optical drives are not available on this system";
        Err(Error::new(ErrorKind::NotSupported, "", why))
    }

    /// Asks the drive itself for its state, not the cache of the system.
    fn presence(&mut self, deadline: &mut Deadline<'_>) -> Result<Presence>;

    /// Releases every lock and claim. Harmless without one.
    fn unlock(&mut self) -> Result<StepOutcome>;

    /// Scans for what keeps the volumes of this drive busy.
    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan;

    /// Scans where [`blockers`](Session::blockers) does not look, because it takes long there.
    ///
    /// Called when the system reports the drive as busy and that scan has found nothing.
    fn remote_blockers(&mut self, _deadline: &mut Deadline<'_>) -> BlockerScan {
        BlockerScan::default()
    }
}

/// Returns the error for a drive that only a hand can plug in again.
fn attach_unsupported(target: &Target) -> Error {
    let why = "attach is not available on this system yet";
    Error::new(ErrorKind::NotSupported, target.to_string(), why)
        .with_help("unplug the drive and plug it in again")
}
