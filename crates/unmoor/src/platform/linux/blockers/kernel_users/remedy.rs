//! Commands that unmount a path in its mount namespace.

use crate::platform::linux::blockers::mounts::pinned_ns::PinnedNs;
use crate::platform::linux::blockers::mounts::types::{DriveMount, Namespace};
use crate::platform::linux::blockers::shell_quote::shell_command;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Returns the command that unmounts this path in its namespace.
pub(super) fn umount(pinned: &[PinnedNs], namespace: Namespace, path: &Path) -> Option<String> {
    umount_in(pinned, namespace, &[path])
}

/// Returns the command that unmounts all of these mounts of one namespace, the last one first.
pub(super) fn umount_all(pinned: &[PinnedNs], mounts: &[&DriveMount]) -> Option<String> {
    let paths: Vec<&Path> = mounts.iter().rev().map(|mount| &*mount.path).collect();
    umount_in(pinned, mounts.first()?.namespace, &paths)
}

/// Returns a command of umount(8), which enters the namespace itself: the namespace may have no programs.
fn umount_in(pinned: &[PinnedNs], namespace: Namespace, paths: &[&Path]) -> Option<String> {
    let namespace: Option<OsString> = match namespace {
        Namespace::Ours => None,
        Namespace::Member(member) => Some(format!("/proc/{}/ns/mnt", member.proc_entry()).into()),
        Namespace::Pinned(position) => Some(pinned.get(position)?.path.clone().into()),
    };
    let enter = namespace.iter().flat_map(|path| [OsStr::new("--namespace"), path.as_os_str()]);
    let paths = paths.iter().map(|path| path.as_os_str());
    shell_command(std::iter::once(OsStr::new("umount")).chain(enter).chain(paths))
}
