//! What the user wishes of a release.

use crate::deadline::Cancel;
use crate::deadline::Deadline;
use crate::model::blocker::Blocker;
use crate::model::drive::Drive;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What the user wishes of a release. The default is the careful one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// How far to go.
    pub goal: Goal,
    /// Dismount even what is in use: open handles then fail (Linux: EIO; Windows: ERROR_NOT_READY).
    pub force: bool,
    /// Go on although data could not be written. Not implied by [`Options::force`].
    pub discard_unwritten: bool,
    /// Switch swap on the drive off, instead of refusing a drive that the system swaps to.
    pub swapoff: bool,
    /// The other drives that are released with this one. What lies on several drives is taken down only
    /// when all of them are among these. [`run_batch()`](crate::run_batch()) adds those that share a stack by
    /// itself, and releases them as one; this is for who walks the stages of several drives by himself.
    pub group: Vec<Drive>,
    /// End the programs that are in the way, once [`Options::wait`] is over. Nobody is ended in vain:
    /// where something is in the way that this does not move, nobody is (unless [`Options::force`]
    /// moves the rest).
    pub kill: Option<Kill>,
    /// How long to retry while something is in the way. Even zero tries more than once within a
    /// second, because system services look at drives for moments.
    pub wait: Duration,
    /// The longest the whole of it may take. `None`: [`Options::DEFAULT_STEP_TIMEOUT`] for each step, and for
    /// flushing as long as bytes still move.
    pub timeout: Option<Duration>,
    /// Take every volume offline once it is dismounted, so that nothing mounts it again (Windows).
    pub offline: bool,
    /// Look whether it really happened.
    pub verify: bool,
    /// Somebody else's wish to stop.
    pub cancel: Cancel,
}

/// How far a release goes.
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
    /// How long a step may take when no timeout is given: longer than the slowest tray and than a
    /// drive that spins up, shorter than a person's patience.
    pub const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(30);

    /// How long a refusal is retried at the least: a thumbnailer or a device manager's probe is over
    /// sooner.
    pub const MIN_RETRY: Duration = Duration::from_millis(700);

    /// How long the first attempt to lock may take, whatever [`Options::wait`] says: Windows tells
    /// programs registered for `GUID_IO_VOLUME_LOCK` first and lets them let go; Linux looks around in
    /// other mount namespaces.
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
            force: false,
            discard_unwritten: false,
            swapoff: false,
            group: Vec::new(),
            kill: None,
            wait: Duration::ZERO,
            timeout: None,
            offline: false,
            verify: true,
            cancel: Cancel::new(),
        }
    }
}

/// The wish to end the programs that are in the way of a release.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Kill {
    /// How long a program gets to end by itself, once it was asked to.
    pub grace: Duration,
    /// Does the user agree.
    pub confirm: Confirm,
}

impl Kill {
    /// Long enough to save a document, short enough to be waited for.
    pub const GRACE: Duration = Duration::from_secs(5);

    /// Terminates processes with this grace period, if `confirm` allows it.
    pub fn new(grace: Duration, confirm: Confirm) -> Self {
        Kill { grace, confirm }
    }
}

/// Who is asked whether these programs may be ended.
#[derive(Clone)]
#[non_exhaustive]
pub enum Confirm {
    /// Nobody: the user has agreed beforehand to whatever it may be.
    Always,
    /// This, each time; it is shown the drive and who would be ended. What it says holds for those
    /// processes only, and an answer may take its time.
    Prompt(PromptFn),
}

/// Asks the user; `true` is yes. It must not wait past the deadline or the wish to stop, of which the
/// [`Deadline`] knows.
pub type PromptFn = Arc<dyn Fn(&Drive, &[&Blocker], &Deadline<'_>) -> bool + Send + Sync>;

impl fmt::Debug for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Confirm::Always => "Given",
            Confirm::Prompt(_) => "Ask",
        })
    }
}
