//! Decisions of a release: pure functions of the model and the options.

pub(crate) mod data_loss;
pub(crate) mod overrides;
pub(crate) mod plan;
pub(crate) mod preconditions;
pub(crate) mod removable;
pub(crate) mod verify;
