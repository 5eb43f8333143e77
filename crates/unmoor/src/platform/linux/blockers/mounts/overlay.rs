//! Overlay mounts whose layers lie on the drive.
//!
//! An overlay keeps the file systems of its layers alive by itself: the mounts of the drive can be
//! unmounted under it, and then the drive still cannot be claimed.

use crate::platform::linux::blockers::mounts::scan::{DeviceIndex, DriveMount, Namespace};
use crate::platform::linux::sys::mountinfo::{MountInfo, mount_of, unescape};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One overlay mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overlay {
    pub(crate) on: DeviceIndex,
    /// Its place in the mount table.
    pub(crate) at: usize,
    pub(crate) id: u64,
    pub(crate) device: u64,
    pub(crate) namespace: Namespace,
    /// Where the overlay is mounted.
    pub(crate) path: PathBuf,
    /// The layer that lies on the drive, and which it is: `lowerdir`, `upperdir`, `workdir`.
    pub(crate) layer: PathBuf,
    pub(crate) role: &'static str,
}

/// Overlays can be layers of overlays: as deep as the kernel lets them (`FILESYSTEM_MAX_STACK_DEPTH`).
const DEPTH: usize = 2;

/// Finds the overlays of one namespace that have a layer on one of these mounts of the drive.
pub(crate) fn find(
    lines: &[MountInfo],
    namespace: Namespace,
    hits: &[DriveMount],
    found: &mut Vec<Overlay>,
) {
    if hits.is_empty() {
        return;
    }
    for _ in 0..DEPTH {
        for (at, line) in lines.iter().enumerate().filter(|(_, l)| l.file_system == "overlay") {
            // Seen in our namespace and in a container's it is the same overlay: the first one counts.
            let same = |o: &Overlay| o.device == line.device && o.namespace != namespace;
            let known = |o: &Overlay| o.id == line.id && o.namespace == namespace;
            if found.iter().any(|o| same(o) || known(o)) {
                continue;
            }
            let Some((on, role, layer)) = layer_on(line, lines, namespace, hits, found) else {
                continue;
            };
            let (id, device, path) = (line.id, line.device, line.path.clone());
            found.push(Overlay { on, at, id, device, namespace, path, layer, role });
        }
    }
}

/// The first layer that lies on the drive.
fn layer_on(
    overlay: &MountInfo,
    lines: &[MountInfo],
    namespace: Namespace,
    hits: &[DriveMount],
    found: &[Overlay],
) -> Option<(DeviceIndex, &'static str, PathBuf)> {
    let layers: Vec<(&'static str, PathBuf)> = layers(&overlay.super_options)
        .into_iter()
        .map(|(role, path)| (role, PathBuf::from(OsString::from_vec(path))))
        .collect();
    let absolute = layers.iter().filter(|(_, layer)| layer.is_absolute());
    let mut placed = absolute.filter_map(|(role, layer)| {
        let mount = mount_of(lines, layer)?.id;
        let hit = hits.iter().find(|hit| hit.id == mount).map(|hit| hit.on);
        let over = || found.iter().find(|o| o.id == mount && o.namespace == namespace);
        Some((hit.or_else(|| over().map(|o| o.on))?, *role, layer.clone()))
    });
    placed.next().or_else(|| {
        let relative = || layers.iter().filter(|(_, layer)| layer.is_relative());
        let (role, _) = relative().next()?;
        let paths: Vec<&Path> = relative().map(|(_, layer)| &**layer).collect();
        let (on, layer) = crate::platform::linux::blockers::mounts::overlay_relative::place(
            &paths, overlay, lines, namespace, hits,
        )?;
        Some((on, *role, layer))
    })
}

/// The mounts of the same table that the layers of this overlay lie on.
pub(crate) fn layer_mounts(lines: &[MountInfo], overlay: &MountInfo) -> Vec<u64> {
    let layers = layers(&overlay.super_options).into_iter();
    let paths = layers.map(|(_, layer)| PathBuf::from(OsString::from_vec(layer)));
    paths.filter_map(|path| mount_of(lines, &path)).map(|mount| mount.id).collect()
}

/// The layers in the options of an overlay, as paths.
pub(crate) fn layers(options: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut layers = Vec::new();
    for option in options.split(|b| *b == b',') {
        let Some(equals) = option.iter().position(|b| *b == b'=') else { continue };
        let (name, value) = (&option[..equals], unescape(&option[equals + 1..]));
        let value = value.as_bytes();
        match name {
            b"upperdir" => layers.push(("upperdir", unescaped(value))),
            b"workdir" => layers.push(("workdir", unescaped(value))),
            // One directory each, since Linux 6.8.
            b"lowerdir+" | b"datadir+" => layers.push(("lowerdir", value.to_vec())),
            b"lowerdir" => {
                let lower = split(value).into_iter().filter(|layer| !layer.is_empty());
                layers.extend(lower.map(|layer| ("lowerdir", layer)));
            }
            _ => {}
        }
    }
    layers
}

/// A list of layers at its colons; a backslash takes the meaning from what follows it.
fn split(list: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = list.iter();
    while let Some(b) = bytes.next() {
        match b {
            b':' => parts.push(Vec::new()),
            b'\\' => {
                if let (Some(part), Some(b)) = (parts.last_mut(), bytes.next()) {
                    part.push(*b);
                }
            }
            b => {
                if let Some(part) = parts.last_mut() {
                    part.push(*b);
                }
            }
        }
    }
    parts
}

fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(b) = bytes.next() {
        out.extend(if *b == b'\\' { bytes.next() } else { Some(b) });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_told_apart() {
        let options = br"rw,lowerdir=/a\\:b:/c:/d\040e,upperdir=/u,workdir=/w,index=off";
        let found: Vec<_> =
            layers(options).into_iter().map(|(r, l)| (r, String::from_utf8(l).unwrap())).collect();
        let expected = [
            ("lowerdir", r"/a\"),
            ("lowerdir", "b"),
            ("lowerdir", "/c"),
            ("lowerdir", "/d e"),
            ("upperdir", "/u"),
            ("workdir", "/w"),
        ];
        assert_eq!(found, expected.map(|(r, l)| (r, l.to_string())));
        let escaped = layers(br"lowerdir=/a\134:b");
        assert_eq!(escaped, [("lowerdir", b"/a:b".to_vec())]);
        assert_eq!(layers(b"lowerdir+=/a:b"), [("lowerdir", b"/a:b".to_vec())]);
    }
}
