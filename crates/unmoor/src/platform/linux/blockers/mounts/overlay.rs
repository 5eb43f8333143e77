//! Overlay mounts with a layer on the drive.
//!
//! An overlay pins the file systems of its layers: the drive's own mounts can be unmounted below it, and the drive is
//! still busy.

use crate::platform::linux::blockers::mounts::overlay_relative;
use crate::platform::linux::blockers::mounts::types::{DeviceIndex, DriveMount, Namespace};
use crate::platform::linux::sys::mountinfo::{MountInfo, mount_of};
use crate::platform::linux::sys::overlay_options::layers;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Overlay mount with a layer on the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overlay {
    pub(crate) index: DeviceIndex,
    /// Position in the mount table.
    pub(crate) position: usize,
    pub(crate) id: u64,
    pub(crate) device: u64,
    pub(crate) namespace: Namespace,
    /// Mount point of the overlay.
    pub(crate) path: PathBuf,
    /// Layer on the drive.
    pub(crate) layer: PathBuf,
    /// Option that names the layer: `lowerdir`, `upperdir`, `workdir`.
    pub(crate) role: &'static str,
}

/// Largest depth of overlays whose layers are overlays (`FILESYSTEM_MAX_STACK_DEPTH`, linux/fs.h).
const MAX_STACK_DEPTH: usize = 2;

/// Finds the overlays of one namespace that have a layer on one of these mounts.
pub(crate) fn find(
    lines: &[MountInfo],
    namespace: Namespace,
    drive_mounts: &[DriveMount],
    found: &mut Vec<Overlay>,
) {
    if drive_mounts.is_empty() {
        return;
    }
    for _ in 0..MAX_STACK_DEPTH {
        for (position, line) in lines.iter().enumerate().filter(|(_, l)| l.file_system == "overlay")
        {
            // An overlay that is mounted in several namespaces counts in the first one.
            let same = |o: &Overlay| o.device == line.device && o.namespace != namespace;
            let known = |o: &Overlay| o.id == line.id && o.namespace == namespace;
            if found.iter().any(|o| same(o) || known(o)) {
                continue;
            }
            let Some((index, role, layer)) = layer_on(line, lines, namespace, drive_mounts, found)
            else {
                continue;
            };
            let (id, device, path) = (line.id, line.device, line.path.clone());
            found.push(Overlay { index, position, id, device, namespace, path, layer, role });
        }
    }
}

/// Returns the first layer that lies on the drive.
fn layer_on(
    overlay: &MountInfo,
    lines: &[MountInfo],
    namespace: Namespace,
    drive_mounts: &[DriveMount],
    found: &[Overlay],
) -> Option<(DeviceIndex, &'static str, PathBuf)> {
    let layers: Vec<(&'static str, PathBuf)> = layers(&overlay.super_options)
        .into_iter()
        .map(|(role, path)| (role, PathBuf::from(OsString::from_vec(path))))
        .collect();
    let absolute = layers.iter().filter(|(_, layer)| layer.is_absolute());
    let mut on_drive = absolute.filter_map(|(role, layer)| {
        let mount = mount_of(lines, layer)?.id;
        let direct = drive_mounts.iter().find(|m| m.id == mount).map(|m| m.index);
        let over = || found.iter().find(|o| o.id == mount && o.namespace == namespace);
        Some((direct.or_else(|| over().map(|o| o.index))?, *role, layer.clone()))
    });
    on_drive.next().or_else(|| {
        let relative = || layers.iter().filter(|(_, layer)| layer.is_relative());
        let (role, _) = relative().next()?;
        let paths: Vec<&Path> = relative().map(|(_, layer)| &**layer).collect();
        let (index, layer) =
            overlay_relative::find(&paths, overlay, lines, namespace, drive_mounts)?;
        Some((index, *role, layer))
    })
}
