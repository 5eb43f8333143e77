//! Mounts of a volume in other mount namespaces, cheap enough for every release.

use crate::model::drive::Drive;
use crate::platform::linux::blockers::mounts::ns_members::processes;
use crate::platform::linux::blockers::mounts::overlay::Overlay;
use crate::platform::linux::blockers::mounts::scan::{MountScan, NamespaceWalk};
use crate::platform::linux::blockers::mounts::types::Namespace;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::sys::procfs::Proc;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Mount in another mount namespace that stays when ours is unmounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherMount {
    /// Process in that namespace; `None` if the namespace has no process.
    pub(crate) pid: Option<u32>,
    /// Mount point there.
    pub(crate) path: PathBuf,
    pub(crate) id: u64,
}

/// Overlay or eCryptfs mount with a layer on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherOverlay {
    /// Process in its namespace; `None` if the namespace has no process.
    pub(crate) pid: Option<u32>,
    /// Mount point there.
    pub(crate) path: PathBuf,
    /// Type: `overlay`, `ecryptfs`.
    pub(crate) file_system: String,
    pub(crate) id: u64,
}

impl OtherOverlay {
    /// Returns true if it has a cache of its own. That of an overlay is the cache of its layers.
    pub(crate) fn has_cache(&self) -> bool {
        self.file_system == "ecryptfs"
    }
}

/// Mounts of a volume in other namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MountedElsewhere {
    /// Mounts that stay when ours are unmounted.
    pub(crate) mounts: Vec<OtherMount>,
    /// Overlays in any namespace with a layer on the devices, without those that were asked for.
    ///
    /// An overlay pins the device, and the probe of our mounts does not show it.
    pub(crate) overlays: Vec<OtherOverlay>,
    /// True if there are copies that are unmounted together with our mounts.
    ///
    /// A file that is open on such a copy keeps the device busy, and the probe of our mounts does not show it.
    pub(crate) copies: bool,
}

/// Finds the mounts of these block devices in other mount namespaces.
///
/// Copies that mount propagation unmounts together with ours are left out: a sandboxed service has a copy of every
/// mount. The others keep the device busy after ours are unmounted, so they have to be known before the first unmount.
pub(crate) fn mounted_elsewhere(devices: &[u64], time: Duration) -> MountedElsewhere {
    let Ok(proc) = Proc::open() else { return MountedElsewhere::default() };
    let nodes: Vec<_> =
        devices.iter().enumerate().map(|(index, device)| (*device, index)).collect();
    let pids = processes(&proc).unwrap_or_default();
    let scan = MountScan::run(&proc, &pids, &nodes, &ScanDeadline::of(time));
    let (copies, others): (Vec<_>, Vec<_>) = scan
        .drive_mounts
        .into_iter()
        .filter(|mount| !mount.namespace.is_ours())
        .partition(|mount| mount.propagates);
    let pid_in = |namespace: Namespace| match namespace {
        Namespace::Ours => Some(std::process::id()),
        Namespace::Member(member) => Some(member.pid),
        Namespace::Pinned(_) => None,
    };
    let mounts = others
        .into_iter()
        .map(|mount| OtherMount { pid: pid_in(mount.namespace), path: mount.path, id: mount.id })
        .collect();
    let unplanned = |o: &Overlay| !(o.namespace.is_ours() && devices.contains(&o.device));
    let other = |o: Overlay| {
        let Overlay { path, file_system, id, namespace, .. } = o;
        OtherOverlay { pid: pid_in(namespace), path, file_system, id }
    };
    let overlays = scan.overlays.into_iter().filter(unplanned).map(other).collect();
    MountedElsewhere { mounts, overlays, copies: !copies.is_empty() }
}

/// Finds the mounts over the drive's directories that have a cache of their own, and that no release unmounts.
pub(crate) fn caches_over(drive: &Drive, time: Duration) -> Vec<OtherOverlay> {
    if !Path::new(ECRYPTFS).exists() {
        return Vec::new();
    }
    let devices: Vec<u64> = drive.volumes.iter().map(|volume| volume.device).collect();
    let mut overlays = mounted_elsewhere(&devices, time).overlays;
    overlays.retain(OtherOverlay::has_cache);
    overlays
}

/// Folder in sysfs that is there once the kernel has eCryptfs.
const ECRYPTFS: &str = "/sys/fs/ecryptfs";

/// Namespaces whose mounts are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Those with a process, or pinned by a mount.
    ByMembers,
    /// Also those that only a descriptor keeps. All descriptors of all processes are looked at for them.
    ByDescriptors,
}

/// Returns the number of mounts of each of these block devices in these mount namespaces.
///
/// `None` for one of which the tables do not tell: not all could be read, or an overlay has layers there.
pub(crate) fn mounts_in_tables(devices: &[u64], kept: Kept, time: Duration) -> Vec<Option<usize>> {
    let unknown = || vec![None; devices.len()];
    if devices.is_empty() {
        return Vec::new();
    }
    let Ok(proc) = Proc::open() else { return unknown() };
    let Ok(pids) = processes(&proc) else { return unknown() };
    let nodes: Vec<_> =
        devices.iter().enumerate().map(|(index, device)| (*device, index)).collect();
    let mut walk = NamespaceWalk::begin(&proc, &nodes);
    let deadline = ScanDeadline::of(time);
    walk.read_of_processes(&pids, &deadline);
    if kept == Kept::ByDescriptors {
        walk.add_kept_by_descriptors(&pids, &deadline);
    }
    let scan = walk.finish();
    if scan.unreadable != 0 || scan.timed_out {
        return unknown();
    }
    let count = |(_, index): &(u64, usize)| {
        let shown = scan.drive_mounts.iter().filter(|mount| mount.index == *index).count();
        let has_layers = scan.overlays.iter().any(|overlay| overlay.index == *index);
        (!has_layers).then_some(shown)
    };
    nodes.iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::blockers::test_support::{Holder, LoopImage, image, number, ok};
    use crate::platform::linux::sys::mountinfo::parse;
    use std::process::Command;

    const TIME: Duration = Duration::from_secs(20);

    /// Returns the mounts in the namespace of this process; other tests have namespaces of their own.
    fn found(stick: &LoopImage, holder: &Holder) -> Vec<(Option<u32>, PathBuf)> {
        let found = mounted_elsewhere(&[number(stick)], TIME).mounts.into_iter();
        found.filter(|m| m.pid == Some(holder.pid())).map(|m| (m.pid, m.path)).collect()
    }

    #[test]
    #[ignore = "needs root and loop devices"]
    fn a_private_mount_in_another_namespace_is_found_with_its_process() {
        let stick = image();
        let holder = Holder::in_a_namespace("private", "", &stick.mount);
        assert_eq!(found(&stick, &holder), [(Some(holder.pid()), stick.mount.clone())]);
    }

    #[test]
    #[ignore = "needs root and loop devices"]
    fn namespaces_of_threads_and_of_processes_in_a_chroot_are_found() {
        let stick = image();
        let jail = stick.beside("jail");
        let thread = "threading.Thread(target=lambda: (apart(), ready()), daemon=True).start()\n\
                      time.sleep(1000)";
        let rooted = format!("apart()\nos.chroot({jail:?})\nready()");
        for script in [thread, &rooted] {
            let holder = Holder::python(script, &stick.mount);
            let expected = (Some(holder.pid()), stick.mount.clone());
            assert_eq!(found(&stick, &holder), [expected], "{script}");
        }
    }

    #[test]
    #[ignore = "needs root and loop devices"]
    fn a_propagated_copy_is_not_reported() {
        let stick = image();
        let shared = stick.share();
        let inside = shared.join("mnt");
        let holder = Holder::in_a_namespace("slave", "", &shared);
        let mounts = std::fs::read(format!("/proc/{}/mountinfo", holder.pid())).unwrap();
        let inside_too = parse(&mounts).iter().any(|l| l.device == number(&stick));
        assert!(inside_too, "the copy exists");
        assert_eq!(found(&stick, &holder), []);
        assert!(ok(Command::new("umount").arg(&inside)), "the unmount succeeds");
        let mounts = std::fs::read(format!("/proc/{}/mountinfo", holder.pid())).unwrap();
        assert!(
            !parse(&mounts).iter().any(|l| l.device == number(&stick)),
            "the copy is unmounted too"
        );
    }
}
