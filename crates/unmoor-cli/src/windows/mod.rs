//! Parts of the command that only Windows needs.

mod keep_in_memory;
pub mod self_copy;
