//! The seam: what the procedure asks of an operating system.
//!
//! A platform knows one system's interfaces and no policy: it does not decide in which order things
//! happen, whether to go on after a failure, or whether a drive may be released. A [`Session`] is one
//! drive, opened and bound; it owns every handle and lock, and lets go of all of them when dropped.

mod host;
#[cfg(target_os = "linux")]
pub mod linux;
pub(crate) mod stuck_pool;
#[cfg(any(windows, test, feature = "fuzzing"))]
pub(crate) mod win32_parse;
#[cfg(windows)]
pub mod windows;

pub use self::host::native;

use crate::deadline::{Clock, Deadline};
use crate::model::blocker::{BlockerScan, Process};
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

/// One operating system, or a simulated one. Several drives of it may be worked on at the same time, in
/// a thread for each.
pub trait Platform: Clock + Send + Sync {
    /// The drives of this machine. `all` includes those whose medium and self both stay.
    fn list(&self, all: bool) -> Result<Vec<Drive>>;

    /// The one drive that `target` means, with everything on it.
    ///
    /// # Errors
    /// `NoSuchTarget`; `NotPermitted` when the answer depends on something this user may not read;
    /// `Refused` when it names the running system's own file systems.
    fn resolve(&self, target: &Target) -> Result<Drive>;

    /// Opens the drive and binds the session to it: everything later fails with `Gone` or `Replaced`
    /// rather than touch another device. Changes nothing, and closes no tray.
    ///
    /// # Errors
    /// `TimedOut` when it does not answer.
    fn open(&self, drive: &Drive, deadline: &mut Deadline<'_>) -> Result<Box<dyn Session + '_>>;

    /// Can volumes be taken offline: [`Options::offline`](crate::Options::offline).
    fn supports_offline(&self) -> bool {
        false
    }

    /// Has the system mount again what was dismounted and is still in the drive.
    ///
    /// # Errors
    /// `NotSupported` where the system does not mount by itself (everywhere but Windows).
    fn remount(&self, drive: &Drive) -> Result<StepOutcome> {
        Err(Error::new(
            ErrorKind::NotSupported,
            &drive.name,
            "is not mounted by this system of its own accord",
        )
        .with_help(format!("mount it with: mount {} FOLDER", drive.path.display())))
    }

    /// What may keep a drive busy on this system and is shown by no list, in words: for when the system
    /// says busy and nothing was found.
    fn undetectable_users(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whom to be in order to see more of who uses a drive; `None` when this user sees all that anybody
    /// does.
    fn elevated_account(&self) -> Option<&'static str> {
        None
    }

    /// Does [`Session::try_lock`] keep nobody out: then it may be asked by who only looks.
    fn lock_is_probe(&self) -> bool {
        false
    }

    /// Shortest time for which a refused lock is retried, if it is more than
    /// [`Options::MIN_RETRY`](crate::Options::MIN_RETRY).
    fn min_lock_retry(&self) -> Duration {
        Duration::ZERO
    }

    /// Time for the first attempt to lock, if it is more than
    /// [`Options::FIRST_LOCK_TIMEOUT`](crate::Options::FIRST_LOCK_TIMEOUT).
    fn first_lock_timeout(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns true if removing a device locks, flushes and dismounts its volumes by itself, so that a
    /// user who may not lock them may still remove the device.
    fn removal_locks_volumes(&self) -> bool {
        false
    }

    /// Can programs be ended here: [`Options::kill`](crate::Options::kill).
    fn can_terminate(&self) -> bool {
        false
    }

    /// Takes hold of a process that a search has found, so that whatever is done through what is
    /// returned hits that process and never another one of its number. `None` when it has gone.
    ///
    /// Never this program itself, one that it descends from, the first process, or a part of the kernel:
    /// whatever the caller thinks of them.
    ///
    /// # Errors
    /// `Refused` for those; `NotPermitted`; `NotSupported` where [`Platform::can_terminate`] is false.
    fn open_process(&self, process: &Process) -> Result<Option<Box<dyn ProcessHandle + '_>>> {
        let what = process.name.to_string_lossy();
        Err(Error::new(ErrorKind::NotSupported, what, "programs cannot be ended on this system"))
    }

    /// The ports that have something plugged in which the system does not use.
    ///
    /// # Errors
    /// `NotSupported` where the system does not tell; `NotPermitted`.
    fn detached_ports(&self) -> Result<Vec<Port>> {
        Err(Error::new(ErrorKind::NotSupported, "attach", "is not available on this system yet"))
    }

    /// Names of the methods that [`Platform::attach`] would try, in order.
    ///
    /// # Errors
    /// `NotSupported` for a target that is no port; `NoSuchTarget`.
    fn attach_methods(&self, target: &Target) -> Result<Vec<String>> {
        Err(attach_unsupported(target))
    }

    /// Brings back the device that a power-off took off its bus at this port, and waits for its drives.
    ///
    /// # Errors
    /// As [`Platform::attach_methods`]; `NoMedium` when nothing is plugged in there; `Failed` when it
    /// stays away.
    fn attach(&self, target: &Target, _wait: &mut Deadline<'_>) -> Result<StepOutcome> {
        Err(attach_unsupported(target))
    }

    /// Names of the methods that [`Session::perform`] would try for this action, in order.
    fn methods(&self, drive: &Drive, action: Action) -> Vec<String>;

    /// A thread is about to work on a drive while others work on others. Called by whoever starts it,
    /// before the first of them is started; the number is that thread's.
    fn register_worker(&self) -> u64 {
        0
    }

    /// The thread of this number begins. Called by itself: what it opens from here on is its own, and
    /// it closes all of it before [`Platform::worker_finished`].
    fn worker_started(&self, _number: u64) {}

    /// The thread of this number has done its work. Called by itself.
    fn worker_finished(&self, _number: u64) {}
}

/// A process that is held: see [`Platform::open_process`].
pub trait ProcessHandle {
    /// Asks it to end; what it does then is its own business. Returns the system's name for the asking.
    ///
    /// # Errors
    /// `NotPermitted`. One that has ended already is none.
    fn terminate(&mut self) -> Result<&'static str>;

    /// Makes it end. Returns the system's name for that.
    ///
    /// # Errors
    /// `NotPermitted`. One that has ended already is none.
    fn kill(&mut self) -> Result<&'static str>;

    /// Has it ended, and let go of everything.
    fn has_exited(&mut self) -> bool;
}

/// One drive, opened and bound.
///
/// Dropping a session unlocks everything it has locked. No method waits past its [`Deadline`].
pub trait Session: Send {
    /// The drive as it is now.
    ///
    /// # Errors
    /// `Gone` when it left, `Replaced` when another device has its name.
    fn refresh(&mut self) -> Result<Drive>;

    /// Tells the session before the first step whether volumes are to be taken offline
    /// ([`Session::offline`]): Windows opens them with more rights then.
    fn set_offline(&mut self, _offline: bool) {}

    /// Cheap: is this still the device that was opened, and may this user work on it. A session of a
    /// drive that the user may not open is good for [`Session::blockers`] only.
    fn check(&mut self) -> Result<()>;

    /// Writes what is in the cache for this volume. Data that could not be written is `Unwritten`,
    /// and stays so: an error the system reports only once is remembered.
    fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Bytes in the cache that the drive does not have yet, where the system tells. Asks no drive: it may be
    /// one that does not answer.
    fn unwritten(&self) -> Option<u64> {
        None
    }

    /// Writes what is in the drive's own cache.
    fn flush_drive(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// One attempt to find the volume idle, and to keep it so where the system can. Changes nothing
    /// that a user would notice.
    ///
    /// # Errors
    /// `Busy` (without a search for blockers: that is [`Session::blockers`]). `TimedOut` when it was
    /// not found out within the time: nobody was found, and nothing is locked.
    fn try_lock(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Looks once more, when every volume was found idle: does a program write to the drive itself, past
    /// its file systems (an imager, `dd`), or hold something on them that no mount shows. What is
    /// written so would be torn when the medium leaves; where it `stays`, who writes to the drive itself is
    /// in nobody's way.
    ///
    /// # Errors
    /// `Busy`, with who it is.
    fn check_raw_users(&mut self, _stays: bool, _wait: &mut Deadline<'_>) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("a lock keeps them out"))
    }

    /// Looks whether forcing the drive's mounts away would take along what is not this drive's: a mount of
    /// another one within them.
    ///
    /// # Errors
    /// `NotExclusive`, with what it is.
    fn check_foreign_mounts(&mut self) -> Result<()> {
        Ok(())
    }

    /// Takes one mount of the volume away, where the system mounts in more than one place (Linux). With
    /// `force`, even while it is in use: what is open then fails.
    fn unmount(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome>;

    /// Takes this swap space of the volume out of use; asked for only when the user wished it.
    ///
    /// # Errors
    /// `Failed` when what is in it does not fit into memory; nothing has changed then.
    fn swap_off(
        &mut self,
        volume: &Volume,
        _path: &Path,
        _wait: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Err(Error::new(ErrorKind::NotSupported, &volume.name, "swap cannot be switched off here"))
    }

    /// Dismounts the volume itself, once its mounts are gone: Windows takes the file system down here;
    /// Linux closes what is stacked (a mapping, an array, a loop device).
    fn dismount(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome>;

    /// Takes the whole drive for ourselves once every volume is dismounted: the proof that nothing
    /// uses it any more, and whatever dismounting wrote is flushed. With `force`, goes on without the
    /// claim when handles that were cut off still exist.
    ///
    /// # Errors
    /// `Busy` when something of it is mounted or set up. `Unwritten` when what dismounting wrote could
    /// not be written: the claim holds then all the same.
    fn claim(&mut self, force: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Takes a dismounted volume offline, so that nothing mounts it again until it is taken online or
    /// plugged in anew. Asked for only where [`Platform::supports_offline`].
    fn offline(&mut self, _volume: &Volume, _wait: &mut Deadline<'_>) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("this system has no offline state"))
    }

    /// Another session is about to take the whole device off its bus, and this drive with it: closes every
    /// handle that would keep it there, and lets go of the locks that those hold. Windows alone asks every
    /// handle's leave; elsewhere there is nothing to do.
    fn release_handles(&mut self) {}

    /// Carries out the last action of the plan, trying one method after the other.
    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Takes the medium in.
    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome>;

    /// Asks the drive itself, not the system's memory of it.
    fn presence(&mut self, deadline: &mut Deadline<'_>) -> Result<Presence>;

    /// Lets go of every lock and claim. Harmless when there is none.
    fn unlock(&mut self) -> Result<StepOutcome>;

    /// Searches for what keeps this drive's volumes busy.
    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan;
}

/// Where a drive can only be plugged in anew by hand.
fn attach_unsupported(target: &Target) -> Error {
    let why = "attach is not available on this system yet";
    Error::new(ErrorKind::NotSupported, target.to_string(), why)
        .with_help("unplug the drive and plug it in again")
}
