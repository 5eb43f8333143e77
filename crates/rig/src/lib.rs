//! The rig: Debian's own kernel with real drivers and emulated drives, in QEMU.
//!
//! The guest's root is this machine's root, read-only, under an overlay in memory: whatever is built or
//! installed here runs there. Two sides observe the drives: the guest's kernel, and QEMU (`qmp`) with the
//! image files, which no bug in the guest can change.

pub mod agent;
pub mod blockers_fixture;
pub mod drives;
pub mod guest;
pub mod guest_command;
mod initramfs;
mod kernel;
pub mod machine;
pub mod media;
pub mod nfs;
mod qmp;
pub mod step_tracer;
pub mod write_log;
