//! Parts of the command that only Windows needs.

pub mod code_page;
pub mod elevate;
mod keep_in_memory;
mod named_pipe;
mod runas;
pub mod self_copy;
