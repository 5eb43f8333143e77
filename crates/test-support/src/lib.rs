//! Support for tests that need root, loop devices or tools of the system.
//!
//! Such a test is a plain function, listed with what it needs:
//!
//! ```no_run
//! use unmoor_test_support::{LOOP_DEVICES, LoopImage, PYTHON, Test, run, test};
//!
//! fn an_image_is_mounted() {
//!     assert_eq!(LoopImage::new("unmoor-doc").mounts(), 1);
//! }
//!
//! fn python_runs() {}
//!
//! const TESTS: &[Test] = &[
//!     test!(an_image_is_mounted, LOOP_DEVICES),
//!     test!(python_runs, LOOP_DEVICES, PYTHON),
//! ];
//!
//! fn main() {
//!     run(&[TESTS]);
//! }
//! ```
//!
//! The runner reports a test as ignored, with the reason, if this machine or user lacks what it needs.
#![cfg(target_os = "linux")]

mod desktop;
mod holder;
mod loop_control;
mod loop_image;
mod mount_namespace;
mod need;
mod runner;

pub use desktop::{AT_THE_DESK, Desktop, Part, USER, answer_as_udev_if_asked};
pub use holder::{Holder, shell};
pub use loop_image::{Attached, LoopImage, alone};
pub use need::{
    BINFMT_MISC, BTRFS, C_COMPILER, CGROUP2, DBUS_DAEMON, FUSE, IO_URING_PATHS, LOOP_DEVICES,
    LOOP_PARTITIONS, Need, OVERLAY, PYTHON, SCRIPT, STATIC_C, UDISKS, UPROBES, USER_NAMESPACES,
    XFS,
};
pub use runner::{Test, run};

use std::process::{Command, Stdio};

/// Returns a command that starts this program with every signal at its default (env(1)).
///
/// Below nohup(1), and in the background of a shell, programs start with signals ignored.
#[cfg(unix)]
pub fn with_default_signals(program: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal", program]);
    command
}

/// Runs a command silently; returns true if it succeeds.
pub fn ok(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
