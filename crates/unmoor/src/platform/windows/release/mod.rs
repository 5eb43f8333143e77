//! Steps of a release: flush, lock, dismount, eject, power off, load, remount.

pub(crate) mod attach;
pub(crate) mod detach;
pub(crate) mod eject;
pub(crate) mod flush;
pub(crate) mod handles;
pub(crate) mod load;
pub(crate) mod lock;
pub(crate) mod process_handle;
pub(crate) mod remount;
pub(crate) mod removal;
