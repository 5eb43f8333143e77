//! The rig: Debian's own kernel with real drivers and emulated drives, in QEMU.
//!
//! The guest's root is this machine's root, read-only, under an overlay that forgets: whatever is built or
//! installed here runs there. What the drives did is judged from both sides: by the guest's kernel, and by
//! QEMU (`qmp`) and the image files, which no bug in the guest can talk into anything.

pub mod drives;
pub mod guest;
pub mod initramfs;
pub mod kernel;
pub mod machine;
pub mod media;
pub mod nfs;
pub mod qmp;
pub mod write_log;
