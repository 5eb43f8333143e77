//! TODO.

pub(crate) mod eject;
pub(crate) mod flush;
pub(crate) mod load;
pub(crate) mod lock;
pub(crate) mod remount;
