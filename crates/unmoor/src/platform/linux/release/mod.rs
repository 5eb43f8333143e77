//! The steps of a session: what each asks the kernel, and what its answers mean.

pub(crate) mod attach;
pub(crate) mod busy_check;
pub(crate) mod claim;
pub(crate) mod drive_errors;
pub(crate) mod eject;
pub(crate) mod flush;
pub(crate) mod force;
pub(crate) mod mount_again;
pub(crate) mod process_handle;
pub(crate) mod remains;
pub(crate) mod served;
pub(crate) mod teardown;
pub(crate) mod umount;
pub(crate) mod volume_device;
