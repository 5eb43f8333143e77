//! TODO.

pub(crate) mod blocker;
#[cfg(any(target_os = "linux", windows))]
pub(crate) mod blocker_order;
pub(crate) mod drive;
pub(crate) mod error;
pub(crate) mod kill;
pub(crate) mod report;
pub(crate) mod target;
pub(crate) mod teardown;
