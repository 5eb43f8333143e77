//! Lets go of removable media safely.
//!
//! `unmoor` flushes a storage volume's file cache, locks and dismounts it, ejects the medium or powers
//! the device off, looks whether that really happened, and unlocks. If something is in the way it
//! names what, and what would move it. It loads media back.
//!
//! The whole procedure is one call, [`release()`]; its [`Report`] says what was done, step by step:
//!
//! ```
//! use unmoor::{Options, Outcome, Target, release};
//! use unmoor_simulated::Simulated;
//!
//! let target: Target = "sim:stick".parse()?; // "/dev/sdb", "/media/stick", "LABEL=Holiday", "E:"
//! let machine = Simulated::demo(); // the system's own drives: unmoor::platform::native()?
//! let report = release(&machine, &target, &Options::default(), &mut |_event| {});
//! assert_eq!(report.outcome, Outcome::Completed);
//! for step in &report.steps {
//!     println!("{:>9}: {:?}", step.step.name(), step.status);
//! }
//! # Ok::<(), unmoor::Error>(())
//! ```
//!
//! Several drives at the same time are one call too, [`run_batch()`]: each in a thread of its own, what shares
//! a stack as one.
//!
//! A program that wants to do something in between takes the stages one by one, whose types keep the
//! order: [`Opened`] → [`Locked`] → [`Dismounted`] → [`Ejected`].
//!
//! # What it is not for
//! Unmounting file systems that are not on a drive (network, FUSE, tmpfs), or keeping a drive from
//! being mounted again: whoever mounts it after the release is free to.
//!
//! # Platforms
//! - **Linux**: needs root for most drives (unmounting, claiming and SCSI commands are privileged).
//!   `diskseq`, to which a drive is bound, came with Linux 5.15; before that the device number and the
//!   open descriptor do.
//! - **Windows**: 7 and later.
//! - **Simulated** drives, in memory, are the crate `unmoor-simulated`. They work on every system and
//!   need no privileges.
#![warn(missing_docs)]

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
pub use crate::model::drive::Bus;
pub use crate::model::drive::Drive;
pub use crate::model::drive::DriveId;
pub use crate::model::drive::DriveKind;
pub use crate::model::drive::Medium;
pub use crate::model::drive::Port;
pub use crate::model::drive::Presence;
pub use crate::model::error::{Error, ErrorKind, Result};
pub use crate::model::event::{Event, EventHandler};
pub use crate::model::report::Outcome;
pub use crate::model::report::Report;
pub use crate::model::report::StepOutcome;
pub use crate::model::report::StepReport;
pub use crate::model::report::Termination;
pub use crate::model::report::TerminationResult;
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

/// The drives of this machine. `all` includes those whose medium and self both stay.
///
/// # Errors
/// What the system says; a drive that vanishes meanwhile is left out.
pub fn list(platform: &dyn Platform, all: bool) -> Result<Vec<Drive>> {
    platform.list(all)
}

/// The ports that have something plugged in which the system does not use: what [`attach`] could bring
/// back.
///
/// # Errors
/// `NotSupported` where the system does not tell; `NotPermitted` where this user may not ask.
pub fn detached_ports(platform: &dyn Platform) -> Result<Vec<Port>> {
    platform.detached_ports()
}

/// The drive that `target` means, as it is now.
///
/// # Errors
/// As [`Platform::resolve`].
pub fn resolve(platform: &dyn Platform, target: &Target) -> Result<Drive> {
    platform.resolve(target).map_err(|e| e.with_step(Step::Resolve))
}
