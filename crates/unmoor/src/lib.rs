//! Releases removable media safely: flush, lock, dismount, eject, verify.
//!
//! `unmoor` writes everything that is cached for a drive, finds every volume idle, dismounts them,
//! ejects the medium or powers the device off, and verifies that it happened. If something blocks the
//! drive, the error names the process, mount, swap or mapping, and the command that removes it. It also
//! loads and reattaches what was released.
//!
//! # One line
//!
//! ```no_run
//! unmoor::eject("/media/stick")?; // or "/dev/sdb", "LABEL=Holiday", "E:"
//! # Ok::<(), unmoor::Error>(())
//! ```
//!
//! # With options, events and a report
//!
//! [`release()`] is the whole procedure. Its [`Report`] lists every step, and its [`Event`]s own their
//! data, so that they can be sent to another thread.
//!
//! ```
//! use std::time::Duration;
//! use unmoor::{Event, Options, Outcome, release};
//! use unmoor_simulated::Simulated;
//!
//! let platform = Simulated::demo(); // drives in memory; real ones: unmoor::platform::native()?
//! let mut options = Options::default();
//! options.wait = Duration::from_secs(10);
//! let report = release(&platform, &"sim:stick".parse()?, &options, &mut |event| {
//!     if let Event::Waiting { error, .. } = event {
//!         eprintln!("{error}");
//!     }
//! });
//! assert_eq!(report.outcome, Outcome::Completed);
//! for step in &report.steps {
//!     println!("{:>9}: {:?}", step.step.name(), step.status);
//! }
//! # Ok::<(), unmoor::Error>(())
//! ```
//!
//! # Stage by stage
//!
//! A program that does something between the steps takes the stages one by one. Their types keep the
//! order: [`Opened`] → [`Locked`] → [`Dismounted`] → [`Ejected`]. Dropping a stage unlocks the drive.
//!
//! ```
//! use unmoor::{Opened, Options};
//! # use unmoor_simulated::Simulated;
//!
//! # let platform = Simulated::demo();
//! let mut drive = Opened::new(&platform, &"sim:stick".parse()?, &Options::default())?;
//! drive.flush()?;
//! let dismounted = drive.lock()?.dismount()?;
//! // Nothing is mounted, and the drive is claimed: check it, image it, …
//! dismounted.eject()?.verify()?;
//! # Ok::<(), unmoor::Error>(())
//! ```
//!
//! # Several drives
//!
//! [`run_batch()`] works on several drives at the same time. Drives that one volume spans are released
//! together or not at all.
//!
//! # Threads and async
//!
//! Every call blocks: for seconds while data is written, for [`Options::wait`] while something blocks
//! the drive. [`Options::timeout`] bounds it, and [`Options::cancel`] ends it from another thread or a
//! signal handler. Platforms, options, reports, events and the stages are [`Send`]. An async program
//! runs a release on a thread for blocking calls (`spawn_blocking` in Tokio) and sends the events
//! through a channel.
//!
//! # Errors
//!
//! An [`Error`] has a [kind](ErrorKind) to match on, the [step](Step) at which it happened, the number of
//! the system, the [scan](BlockerScan) of what blocks the drive, and a [`Hint`] of what to do next, as
//! data. Texts may contain names from strangers (labels, files, processes): escape them for a terminal.
//!
//! # Features
//!
//! - `serde`: drives, blockers, reports and errors implement `serde::Serialize`, with the names of the command's
//!   JSON document.
//!
//! # What it is not for
//!
//! It does not unmount file systems that are on no drive (network, FUSE, tmpfs), and does not keep a
//! drive from being mounted again after the release.
//!
//! # Platforms
//!
//! - **Linux**: needs root for most drives, because unmounting, claiming and SCSI commands are
//!   privileged. A drive is bound to its `diskseq` from Linux 5.15 on, before that to its device number
//!   and the open descriptor.
//! - **Windows** 7 and later.
//! - **Simulated** drives, in memory, are the crate `unmoor-simulated`. They work on every system and
//!   need no privileges.
#![cfg_attr(not(feature = "fuzzing"), warn(missing_docs))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub(crate) mod deadline;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod model;
pub(crate) mod options;
pub mod platform;
pub(crate) mod policy;
pub(crate) mod release;

pub use crate::deadline::{Cancel, Clock, Deadline};
pub use crate::model::blocker::NotTerminable;
pub use crate::model::blocker::all_terminable;
pub use crate::model::blocker::{
    Blocker, BlockerKind, BlockerScan, Process, Role, Usage, UsageKind,
};
pub use crate::model::cdrom::CdromSetting;
pub use crate::model::drive::Bus;
pub use crate::model::drive::Drive;
pub use crate::model::drive::DriveId;
pub use crate::model::drive::DriveKind;
pub use crate::model::drive::Medium;
pub use crate::model::drive::Port;
pub use crate::model::drive::Presence;
pub use crate::model::drive::Selection;
pub use crate::model::drive::SystemUse;
pub use crate::model::error::{Error, ErrorKind, Result};
pub use crate::model::event::{Event, EventHandler};
pub use crate::model::hint::Hint;
pub use crate::model::report::Outcome;
pub use crate::model::report::Report;
pub use crate::model::report::StepOutcome;
pub use crate::model::report::StepReport;
pub use crate::model::report::Termination;
pub use crate::model::report::TerminationResult;
#[cfg(feature = "serde")]
pub use crate::model::serialize::name_and_bytes;
pub use crate::model::step::Action;
pub use crate::model::step::Attempt;
pub use crate::model::step::Status;
pub use crate::model::step::Step;
pub use crate::model::target::Target;
pub use crate::model::teardown::{TeardownStep, teardown_order};
pub use crate::model::volume::Mount;
pub use crate::model::volume::Volume;
pub use crate::model::volume::VolumeKind;
pub use crate::options::Confirm;
pub use crate::options::Kill;
pub use crate::options::PromptFn;
pub use crate::options::{Goal, Options};
pub use crate::policy::plan::Plan;
pub use crate::policy::plan::PlannedStep;
pub use crate::policy::plan::plan;
pub use crate::policy::removable::select_removable;
pub use crate::release::batch::{BatchEvent, BatchHandler, BatchItem, MAX_CONCURRENT, run_batch};
pub use crate::release::stages::{Dismounted, Ejected, Locked, Opened, StageError};
pub use crate::release::{
    Operation, attach, attach_dry_run, dry_run, flush, load, release, remount,
};

use crate::platform::Platform;
use std::ffi::OsStr;

/// Ejects the drive of this target with the default options.
///
/// The target is a path on the drive, a device, a label or a UUID, as [`Target::parse`] reads it.
///
/// ```no_run
/// let report = unmoor::eject("/media/stick")?;
/// report.warnings.iter().for_each(|warning| eprintln!("{warning}"));
/// # Ok::<(), unmoor::Error>(())
/// ```
///
/// # Errors
/// `Busy` if something uses the drive: [`Error::scan`] names it. The drive is as it was before. Every
/// other [`ErrorKind`].
pub fn eject(target: impl AsRef<OsStr>) -> Result<Report> {
    let target = Target::parse(target)?;
    let platform = platform::native()?;
    release(&*platform, &target, &Options::default(), &mut |_| {}).into_result()
}

/// Returns the drives of this machine, or with `all` the built-in ones too.
///
/// # Errors
/// What the system reports. A drive that vanishes meanwhile is left out.
pub fn list(platform: &dyn Platform, all: bool) -> Result<Vec<Drive>> {
    platform.list(all)
}

/// Returns the ports with a device plugged in that the system does not use.
///
/// [`attach`] brings such a device back.
///
/// # Errors
/// `NotSupported` if the system does not report them; `NotPermitted`.
pub fn detached_ports(platform: &dyn Platform) -> Result<Vec<Port>> {
    platform.detached_ports()
}

/// Returns the drive of this target, as it is now.
///
/// # Errors
/// As [`Platform::resolve`].
pub fn resolve(platform: &dyn Platform, target: &Target) -> Result<Drive> {
    platform.resolve(target).map_err(|e| e.with_step(Step::Resolve))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program may open a drive on one thread and eject it on another.
    #[test]
    fn stages_events_and_reports_can_be_sent_to_another_thread() {
        fn sendable<T: Send>() {}
        sendable::<Opened<'_>>();
        sendable::<Locked<'_>>();
        sendable::<Dismounted<'_>>();
        sendable::<Ejected<'_>>();
        sendable::<StageError<'_>>();
        sendable::<Event>();
        sendable::<BatchEvent>();
        sendable::<Report>();
        sendable::<Options>();
        sendable::<Box<dyn Platform>>();
    }
}
