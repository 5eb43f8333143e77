//! TODO.

pub(crate) mod plan;
pub(crate) mod preconditions;
pub(crate) mod removable;
pub(crate) mod verify;
