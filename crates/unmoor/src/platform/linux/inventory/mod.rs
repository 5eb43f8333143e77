//! From the name of a target to the drive, with everything that is stacked on it.

pub(crate) mod btrfs;
pub(crate) mod content;
pub(crate) mod describe;
pub(crate) mod loop_devices;
pub(crate) mod names;
pub(crate) mod port;
pub(crate) mod remains;
pub(crate) mod resolve;
pub(crate) mod resolve_volume;
pub(crate) mod served;
pub(crate) mod servers;
pub(crate) mod snapshot;
pub(crate) mod superblock;
pub(crate) mod system_mounts;
pub(crate) mod system_root;
pub(crate) mod tape;
pub(crate) mod watcher;
