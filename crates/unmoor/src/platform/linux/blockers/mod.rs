//! What keeps a drive busy: who it is, and what would move it.
//!
//! | question | where it is asked |
//! |---|---|
//! | where is it mounted, and what lies on that, in every mount namespace | [`survey`] |
//! | which overlays, swap files, exports, stacked devices use it | [`kernel`] |
//! | which processes use it, and how | [`uses`], by device and mount, never by path |
//! | who are they, and what stops them | [`identity`], [`person`] |
//! | when to stop asking | [`search`] |
//! | is there nobody at all, asked for many drives at once | [`company`] |

pub(crate) mod btrfs;
pub(crate) mod external_stack;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod kernel_users;
pub(crate) mod mounts;
pub(crate) mod processes;
pub(crate) mod scan;
pub(crate) mod shell_quote;
#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use crate::platform::linux::blockers::scan::{scan, scan_open};
