//! Options of a release.

use crate::deadline::Cancel;
use crate::deadline::Deadline;
use crate::model::blocker::Blocker;
use crate::model::drive::Drive;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Options of a release. The default is the careful one.
///
/// ```
/// use unmoor::{Goal, Options};
///
/// let mut options = Options::default();
/// options.goal = Goal::PowerOff;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Goal of the release.
    pub goal: Goal,
    /// Flush and dismount the one volume that the target names.
    ///
    /// The other volumes of its drive stay as they are. What lies on the volume goes with it. Needs [`Goal::Dismount`]. A target that names a drive with several volumes is refused. Linux only.
    pub only_volume: bool,
    /// Dismount volumes that are in use.
    ///
    /// Open handles fail from then on (Linux: `EIO`; Windows: `ERROR_NOT_READY`).
    pub force: bool,
    /// Continue although data could not be written. [`Options::force`] does not imply this.
    pub discard_unwritten: bool,
    /// Switch off swap on the drive. Otherwise such a drive is refused.
    pub swapoff: bool,
    /// Other drives that are released together with this one.
    ///
    /// A volume that spans several drives is taken down only if all of them are listed.
    /// [`run_batch()`](crate::run_batch()) fills the list. A program that takes several drives through the
    /// stages fills it itself.
    pub group: Vec<Drive>,
    /// Terminate the processes that block the drive, after [`Options::wait`].
    ///
    /// No process is terminated in vain: if something else blocks the drive too, none is, unless
    /// [`Options::force`] is set.
    pub kill: Option<Kill>,
    /// Time to wait while something blocks the drive.
    ///
    /// Zero still retries for [`Options::MIN_RETRY`], because system services open drives for moments.
    pub wait: Duration,
    /// Timeout of the whole operation.
    ///
    /// `None`: [`Options::DEFAULT_STEP_TIMEOUT`] for each step, and no limit for writing as long as bytes
    /// still move.
    pub timeout: Option<Duration>,
    /// Take dismounted volumes offline, so that nothing mounts them again (Windows).
    pub offline: bool,
    /// Verify that the drive did what it accepted.
    pub verify: bool,
    /// Let the system ask the user for a password (Linux: polkit, without root).
    pub interactive: bool,
    /// Flag that cancels the operation from another thread or a signal handler.
    pub cancel: Cancel,
}

/// Goal of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Goal {
    /// Eject the medium, as far as this drive can.
    #[default]
    Eject,
    /// Flush and dismount only.
    Dismount,
    /// Take the device off its bus.
    PowerOff,
}

impl Options {
    /// Timeout of a step if no timeout is given.
    ///
    /// It is longer than the slowest tray and a drive that spins up, and shorter than a person's patience.
    pub const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(30);

    /// Timeout of a question that the system asks the user ([`Options::interactive`]).
    pub const PASSWORD_TIMEOUT: Duration = Duration::from_secs(120);

    /// Minimum time for which a lock is retried.
    ///
    /// The probe of a thumbnailer or a device manager is finished sooner.
    pub const MIN_RETRY: Duration = Duration::from_millis(700);

    /// Timeout of the first attempt to lock, whatever [`Options::wait`] is.
    ///
    /// Windows notifies programs registered for `GUID_IO_VOLUME_LOCK` first, which may close their
    /// handles. Linux scans other mount namespaces.
    pub const FIRST_LOCK_TIMEOUT: Duration = Duration::from_secs(5);
}

impl Options {
    /// Returns the default options, with this flag to cancel the operation.
    pub fn cancelled_by(cancel: Cancel) -> Self {
        Options { cancel, ..Options::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            goal: Goal::Eject,
            only_volume: false,
            force: false,
            discard_unwritten: false,
            swapoff: false,
            group: Vec::new(),
            kill: None,
            wait: Duration::ZERO,
            timeout: None,
            offline: false,
            verify: true,
            interactive: false,
            cancel: Cancel::new(),
        }
    }
}

/// Termination of the processes that block a release.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Kill {
    /// Time for a process to exit after it was asked to. Then it is killed.
    pub grace: Duration,
    /// Confirmation by the user.
    pub confirm: Confirm,
    /// Stops services too, and starts them again when the release has ended (Windows).
    ///
    /// Only a service that has its process for itself is stopped, and it is never ended by force.
    pub services: bool,
}

impl Kill {
    /// Default grace period: enough to save a document.
    pub const GRACE: Duration = Duration::from_secs(5);

    /// Terminates processes with this grace period, if `confirm` allows it.
    pub fn new(grace: Duration, confirm: Confirm) -> Self {
        Kill { grace, confirm, services: false }
    }
}

/// Confirmation before processes are terminated.
#[derive(Clone)]
#[non_exhaustive]
pub enum Confirm {
    /// The user has agreed beforehand.
    Always,
    /// This function asks the user each time. Its answer counts for the listed processes only.
    Prompt(PromptFn),
}

/// Asks the user whether these processes of this drive may be terminated.
///
/// It has to return when [`Deadline::check`] fails: at the deadline, or when the operation is cancelled.
pub type PromptFn = Arc<dyn Fn(&Drive, &[&Blocker], &Deadline<'_>) -> bool + Send + Sync>;

impl fmt::Debug for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Confirm::Always => "Always",
            Confirm::Prompt(_) => "Prompt",
        })
    }
}
