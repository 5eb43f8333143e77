//! From a name to a [`Drive`](crate::Drive): what there is, what it is, what a target means.

pub(crate) mod describe;
pub(crate) mod file_system;
pub(crate) mod images;
pub(crate) mod resolve;
pub(crate) mod snapshot;
pub(crate) mod system_volumes;
pub(crate) mod usb_device;
