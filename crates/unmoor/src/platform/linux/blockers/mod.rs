//! Blockers: processes, mounts and kernel users that keep a drive busy, with the commands that remove them.
//!
//! | question | module |
//! |---|---|
//! | Where is the drive mounted, in every mount namespace, and what is mounted on it? | [`mounts`] |
//! | Which swap files, NFS exports and stacked devices use it? | [`kernel_users`], [`external_stack`], [`btrfs`] |
//! | Which of its file systems are frozen, or mounted where no table shows it? | [`super_blocks`] |
//! | Do the kernel's own counts prove that nothing else uses it? | [`open_counts`] |
//! | What keeps it from answering? | [`unanswered`] |
//! | Which processes use it, and how? (by device and mount, never by path) | [`processes`] |
//! | How do the threads share the work, and when does the scan end? | [`scan`] |
//! | How is a command written so that a shell reads it back? | [`shell_quote`] |

pub(crate) mod btrfs;
pub(crate) mod external_stack;
pub(crate) mod kernel_users;
pub(crate) mod mounts;
#[cfg(test)]
mod old_kernel_tests;
pub(crate) mod open_counts;
pub(crate) mod processes;
pub(crate) mod scan;
pub(crate) mod shell_quote;
pub(crate) mod super_blocks;
#[cfg(test)]
pub(crate) mod test_support;
pub(crate) mod unanswered;

use crate::platform::linux::blockers::scan::limitations::sees_every_process;
use crate::platform::linux::inventory::servers;
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::procfs::Proc;

pub(crate) use crate::platform::linux::blockers::scan::{scan, scan_open, scan_remote};

/// Returns true if a program of this machine may serve a file system or a block device.
pub(crate) fn may_have_servers() -> bool {
    MountTable::read_self().map_or(true, |table| servers::may_exist(&table))
}

/// Returns true if processes outside of this one's PID namespace are not visible.
pub(crate) fn is_in_container() -> bool {
    Proc::open().is_ok_and(|proc| !sees_every_process(&proc))
}
