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

mod btrfs;
mod bystanders;
mod cgroup;
pub(crate) mod company;
mod exports;
mod fast;
mod fdinfo;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
pub(crate) mod identity;
mod kept;
mod kernel;
mod maps;
pub(crate) mod namespaces;
mod notes;
pub(crate) mod overlay;
mod patience;
pub(crate) mod person;
mod propagation;
mod relative;
mod residents;
mod rounds;
mod search;
pub(crate) mod signals;
mod slow;
mod sockets;
mod stacked;
mod survey;
#[cfg(test)]
mod testbed;
#[cfg(test)]
mod tests;
mod text;
mod uses;
mod visitor;
mod wanted;

pub(crate) use search::{scan, scan_open};
