//! TODO.

pub(crate) mod bpf_prefilter;
pub(crate) mod cgroup;
pub(crate) mod identity;
pub(crate) mod open_files;
pub(crate) mod process_blocker;
pub(crate) mod readers;
pub(crate) mod signal_mask;
pub(crate) mod sockets;
