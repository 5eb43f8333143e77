//! File systems elsewhere that have their log or journal on the drive.

use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::blockers::shell_quote::command_on;
use crate::platform::linux::sys::external_logs;
use std::collections::HashMap;
use std::path::PathBuf;

/// Returns a blocker for each mount that a release of this drive does not unmount.
pub(crate) fn blockers<'d>(
    drive: &Drive,
    filter: &DeviceFilter,
    name: &impl Fn(DeviceIndex) -> &'d str,
) -> Vec<Blocker> {
    let mut known: HashMap<u64, Option<(DeviceIndex, PathBuf)>> = HashMap::new();
    let is_released = |id: u64| drive.volumes.iter().flat_map(|v| &v.mounts).any(|m| m.id == id);
    let mut found = Vec::new();
    // The last mount has to go first.
    for mount in filter.own_table().iter().rev() {
        let log = known.entry(mount.device).or_insert_with(|| {
            let devices = external_logs::of_mount(mount).into_iter();
            devices.map(|device| (filter.path(&device), device)).find_map(|(i, d)| Some((i?, d)))
        });
        let Some((index, device)) = log.as_ref().filter(|_| !is_released(mount.id)) else {
            continue;
        };
        let (path, device) = (mount.path.display(), device.display());
        let what = format!("the {} on {path} has its log on {device}", mount.file_system);
        found.push(
            Blocker::new(BlockerKind::Mount, what)
                .with_usage(Usage::new(UsageKind::Kernel, name(*index)).at(&mount.path))
                .with_remedy("unmount it first", command_on(&["umount"], &mount.path)),
        );
    }
    found
}
