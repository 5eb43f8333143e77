//! The library half of `cargo xtask`: paths, running programs, set-up and the Windows build.
//!
//! The rig, the VM tests and the benches share these modules with the task runner. The task runner depends on none
//! of them, so that `cargo xtask demo` compiles none of them.

pub mod build;
pub mod ci;
mod components;
pub mod demo;
pub mod fuzz;
pub mod packages;
pub mod paths;
pub mod process;
pub mod setup;
pub mod windows;
