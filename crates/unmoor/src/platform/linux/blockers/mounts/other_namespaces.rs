//! Mounts of a volume in other mount namespaces: cheap enough to be asked at every release.

use crate::platform::linux::blockers::mounts::ns_members::processes;
use crate::platform::linux::blockers::mounts::overlay;
use crate::platform::linux::blockers::mounts::scan::{MountScan, Namespace};
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::sys::procfs::Proc;
use std::path::PathBuf;
use std::time::Duration;

/// A mount in another mount namespace that does not go away when ours does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherMount {
    /// The device, as it was asked for.
    pub(crate) device: u64,
    /// A process that lives in that namespace, if one does.
    pub(crate) pid: Option<u32>,
    /// Where it is mounted there.
    pub(crate) path: PathBuf,
}

/// What was found, and what could not be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MountedElsewhere {
    /// The mounts.
    pub(crate) mounts: Vec<OtherMount>,
    /// Overlays, in any namespace, that were not asked for themselves and have a layer on the device: they keep it busy by themselves,
    /// and the probe of our mounts does not show them.
    pub(crate) overlays: Vec<PathBuf>,
    /// There are copies too that leave together with our mounts. Who has a file open there keeps the
    /// device busy all the same, and our own mounts know nothing of it.
    pub(crate) copies: bool,
    /// Processes whose namespace could not be told.
    pub(crate) unseen: usize,
}

/// Where else these block devices are mounted.
///
/// Copies that mount propagation takes away together with ours are left out: a sandboxed service has
/// them of everything. What is found here keeps the device busy after every unmount of ours, so it has
/// to be known before the first one.
pub(crate) fn mounted_elsewhere(devices: &[u64], time: Duration) -> MountedElsewhere {
    let Ok(proc) = Proc::open() else { return MountedElsewhere::default() };
    let nodes: Vec<_> = devices.iter().enumerate().map(|(on, device)| (*device, on)).collect();
    let pids = processes(&proc).unwrap_or_default();
    let survey = MountScan::run(&proc, &pids, &nodes, &ScanDeadline::of(time));
    let (copies, others): (Vec<_>, Vec<_>) = survey
        .hits
        .into_iter()
        .filter(|hit| !hit.namespace.is_ours())
        .partition(|hit| hit.propagates);
    let mounts = others
        .into_iter()
        .map(|hit| {
            let pid = match hit.namespace {
                Namespace::Of(resident) => Some(resident.pid),
                Namespace::Ours | Namespace::Kept(_) => None,
            };
            OtherMount { device: devices[hit.on], pid, path: hit.path }
        })
        .collect();
    let unasked = |o: &overlay::Overlay| !(o.namespace.is_ours() && devices.contains(&o.device));
    let overlays = survey.overlays.into_iter().filter(unasked).map(|o| o.path).collect();
    MountedElsewhere { mounts, overlays, copies: !copies.is_empty(), unseen: survey.unseen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::blockers::test_support::{Holder, Stick, ok};
    use crate::platform::linux::sys::mountinfo::parse;
    use std::process::Command;

    const TIME: Duration = Duration::from_secs(20);

    /// What is found in the namespace of this process. Other tests have namespaces of their own.
    fn found(stick: &Stick, holder: &Holder) -> Vec<OtherMount> {
        let mut found = mounted_elsewhere(&[stick.number()], TIME).mounts;
        found.retain(|e| e.pid == Some(holder.pid()));
        found
    }

    #[test]
    fn a_private_copy_in_another_namespace_is_named_with_who_keeps_it() {
        let Some(stick) = Stick::new() else { return };
        let holder = Holder::in_a_namespace("private", "", &stick.mount);
        let path = stick.mount.clone();
        let expected = OtherMount { device: stick.number(), pid: Some(holder.pid()), path };
        assert_eq!(found(&stick, &holder), [expected]);
    }

    #[test]
    fn one_of_a_thread_or_of_a_process_with_another_root_is_told_before_the_first_unmount() {
        let Some(stick) = Stick::new() else { return };
        let jail = stick.beside("jail");
        let thread = "threading.Thread(target=lambda: (apart(), ready()), daemon=True).start()\n\
                      time.sleep(1000)";
        let rooted = format!("apart()\nos.chroot({jail:?})\nready()");
        for script in [thread, &rooted] {
            let Some(holder) = Holder::python(script, &stick.mount) else { return };
            let path = stick.mount.clone();
            let expected = OtherMount { device: stick.number(), pid: Some(holder.pid()), path };
            assert_eq!(found(&stick, &holder), [expected], "{script}");
        }
    }

    #[test]
    fn a_copy_that_leaves_with_ours_is_not_named() {
        let Some(stick) = Stick::new() else { return };
        let shared = stick.share();
        let inside = shared.join("mnt");
        let holder = Holder::in_a_namespace("slave", "", &shared);
        let mounts = std::fs::read(format!("/proc/{}/mountinfo", holder.pid())).unwrap();
        let inside_too = parse(&mounts).iter().any(|l| l.device == stick.number());
        assert!(inside_too, "the copy is there");
        assert_eq!(found(&stick, &holder), []);
        assert!(ok(Command::new("umount").arg(&inside)), "and it does leave");
        let mounts = std::fs::read(format!("/proc/{}/mountinfo", holder.pid())).unwrap();
        assert!(!parse(&mounts).iter().any(|l| l.device == stick.number()), "from there too");
    }
}
