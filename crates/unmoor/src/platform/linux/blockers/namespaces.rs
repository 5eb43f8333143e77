//! Mounts of a volume in other mount namespaces: cheap enough to be asked at every release.

use super::patience::Patience;
use super::survey::Survey;
use crate::platform::linux::procfs::Proc;
use std::path::PathBuf;
use std::time::Duration;

/// A mount in another mount namespace that does not go away when ours does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The device, as it was asked for.
    pub(crate) device: u64,
    /// A process that lives in that namespace.
    pub(crate) pid: u32,
    /// Where it is mounted, as that process sees it.
    pub(crate) path: PathBuf,
}

/// What was found, and what could not be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MountedElsewhere {
    /// The mounts.
    pub(crate) mounts: Vec<Elsewhere>,
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
    let survey = Survey::take(&proc, &nodes, &Patience::of(time));
    let mounts = survey
        .hits
        .into_iter()
        .filter(|hit| !hit.namespace.ours && !hit.follows)
        .map(|hit| Elsewhere { device: devices[hit.on], pid: hit.namespace.pid, path: hit.path })
        .collect();
    MountedElsewhere { mounts, unseen: survey.unseen }
}
