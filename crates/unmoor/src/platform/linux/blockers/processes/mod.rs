//! Processes that use the drive, and the commands that stop them.
//!
//! | module | content |
//! |---|---|
//! | [`open_files`] | open files, directories, mapped files of one process |
//! | [`bpf_scan`] | the processes that may use the drive, reported by programs in the kernel |
//! | [`sockets`] | Unix sockets bound on the drive |
//! | [`identity`], [`cgroup`], [`signal_mask`] | name, user and unit of a process; the signal that ends it |
//! | [`process_blocker`] | the process as a blocker, with its remedy |
//! | [`readers`] | processes that only read the device, which are no blockers |

pub(crate) mod bpf_scan;
pub(crate) mod cgroup;
pub(crate) mod identity;
pub(crate) mod open_files;
pub(crate) mod process_blocker;
pub(crate) mod readers;
pub(crate) mod servers;
pub(crate) mod signal_mask;
pub(crate) mod sockets;
