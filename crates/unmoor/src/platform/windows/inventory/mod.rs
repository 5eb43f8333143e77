//! TODO.

pub(crate) mod describe;
pub(crate) mod resolve;
pub(crate) mod snapshot;
pub(crate) mod system_volumes;
