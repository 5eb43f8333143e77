//! Overlay and eCryptfs mounts with a layer on the drive.
//!
//! Such a mount pins the file systems of its layers: the drive's own mounts can be unmounted below it, and the drive is
//! still busy.

use crate::platform::linux::blockers::mounts::overlay_relative;
use crate::platform::linux::blockers::mounts::types::{DeviceIndex, DriveMount, Namespace};
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::overlay_options::{Layer, layers_of};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Overlay mount with a layer on the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    pub(crate) index: DeviceIndex,
    /// Position in the mount table.
    pub(crate) position: usize,
    pub(crate) id: u64,
    pub(crate) device: u64,
    pub(crate) namespace: Namespace,
    /// Type: `overlay`, `ecryptfs`.
    pub(crate) file_system: String,
    /// Mount point of the overlay.
    pub(crate) path: PathBuf,
    /// Layer on the drive.
    pub(crate) layer: PathBuf,
    /// Role of the layer: the option of overlayfs (`lowerdir`, `upperdir`, `workdir`), or `source`.
    pub(crate) role: &'static str,
}

/// Largest depth of overlays whose layers are overlays (`FILESYSTEM_MAX_STACK_DEPTH`, linux/fs.h).
const MAX_STACK_DEPTH: usize = 2;

/// Finds the overlays of one namespace that have a layer on one of these mounts.
///
/// An overlay that is mounted in several namespaces counts in the first one.
pub(crate) fn find(
    table: &MountTable,
    namespace: Namespace,
    drive_mounts: &[DriveMount],
    found: &mut Vec<Overlay>,
) {
    if drive_mounts.is_empty() {
        return;
    }
    let elsewhere: HashSet<u64> = found.iter().map(|overlay| overlay.device).collect();
    let mut below: HashMap<u64, DeviceIndex> =
        drive_mounts.iter().map(|mount| (mount.id, mount.index)).collect();
    let mut rest: Vec<(usize, &MountInfo, Vec<Layer>)> = table
        .iter()
        .enumerate()
        .filter(|(_, line)| !elsewhere.contains(&line.device))
        .filter_map(|(position, line)| Some((position, line, layers_of(line)?)))
        .collect();
    for _ in 0..MAX_STACK_DEPTH {
        rest.retain(|(position, line, layers)| {
            let layer = layer_on(line, layers, table, namespace, drive_mounts, &below);
            let Some((index, role, layer)) = layer else { return true };
            below.insert(line.id, index);
            found.push(Overlay {
                file_system: line.file_system.clone(),
                index,
                position: *position,
                id: line.id,
                device: line.device,
                namespace,
                path: line.path.clone(),
                layer,
                role,
            });
            false
        });
    }
}

/// Returns the first layer that lies on the drive.
fn layer_on(
    overlay: &MountInfo,
    layers: &[Layer],
    table: &MountTable,
    namespace: Namespace,
    drive_mounts: &[DriveMount],
    below: &HashMap<u64, DeviceIndex>,
) -> Option<(DeviceIndex, &'static str, PathBuf)> {
    let absolute = layers.iter().filter(|(_, layer)| layer.is_absolute());
    let mut on_drive = absolute.filter_map(|(role, layer)| {
        Some((*below.get(&table.mount_of(layer)?.id)?, *role, layer.clone()))
    });
    on_drive.next().or_else(|| {
        let relative = || layers.iter().filter(|(_, layer)| layer.is_relative());
        let (role, _) = relative().next()?;
        let paths: Vec<&Path> = relative().map(|(_, layer)| &**layer).collect();
        let (index, layer) =
            overlay_relative::find(&paths, overlay, table, namespace, drive_mounts)?;
        Some((index, *role, layer))
    })
}
