//! Plain data: drives, volumes, blockers, steps, reports and errors.

pub(crate) mod blocker;
#[cfg(any(target_os = "linux", windows))]
pub(crate) mod cdrom;
pub(crate) mod drive;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod hint;
pub(crate) mod report;
#[cfg(feature = "serde")]
pub(crate) mod serialize;
pub(crate) mod step;
pub(crate) mod target;
pub(crate) mod teardown;
pub(crate) mod volume;
