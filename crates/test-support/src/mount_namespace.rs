//! A mount namespace for the tests of one program: unshare(2), mount_namespaces(7).
//!
//! Another program that makes a mount namespace copies every mount that it sees, and keeps the copies. In a
//! namespace of its own, a test's mounts are visible to that test program alone.

use crate::loop_image::mounts;
use crate::ok;
use std::process::Command;

/// Moves this process to a private mount namespace, without the mounts of other loop devices. Call it
/// while the process has one thread.
///
/// Returns false without the privilege for it.
pub fn enter() -> bool {
    // SAFETY: affects the mounts that this thread sees, and no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return false;
    }
    // Private first, so that the unmounting below propagates to no other namespace.
    if !ok(Command::new("mount").args(["--make-rprivate", "/"])) {
        return false;
    }
    for path in mounts(|source, _| source.starts_with("/dev/loop")) {
        ok(Command::new("umount").arg("-l").arg(path));
    }
    true
}
