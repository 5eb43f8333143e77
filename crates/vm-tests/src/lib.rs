//! Tests of the command in the rig: promises (`vm`), faults at every step (`faults`), and the soak.

pub mod faults;
pub mod paused_release;
pub mod scsi_debug;
pub mod soak;
pub mod stick_files;
pub mod test_context;
pub mod vm;
