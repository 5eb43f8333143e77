//! Overlay mounts whose layers lie on the drive.
//!
//! An overlay keeps the file systems of its layers alive by itself: the mounts of the drive can be
//! unmounted under it, and then the drive still cannot be claimed.

use super::survey::{Hit, Namespace, Which};
use crate::platform::linux::mountinfo::{Line, unescape};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One overlay mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overlay {
    pub(super) on: Which,
    pub(super) id: u64,
    pub(super) device: u64,
    pub(super) namespace: Namespace,
    /// Where the overlay is mounted.
    pub(super) path: PathBuf,
    /// The layer that lies on the drive, and which it is: `lowerdir`, `upperdir`, `workdir`.
    pub(super) layer: PathBuf,
    pub(super) role: &'static str,
}

/// Finds the overlays of one namespace that have a layer on one of these mounts of the drive.
pub(super) fn find(lines: &[Line], namespace: Namespace, hits: &[Hit], found: &mut Vec<Overlay>) {
    if hits.is_empty() {
        return;
    }
    for line in lines.iter().filter(|l| l.file_system == "overlay") {
        // Seen in our namespace and in a container's it is the same overlay: the first one counts.
        if found.iter().any(|o| o.device == line.device && o.namespace != namespace) {
            continue;
        }
        for (role, layer) in layers(&line.super_options) {
            let layer = PathBuf::from(OsString::from_vec(layer));
            let mount = mount_of(lines, &layer).map(|mount| mount.id);
            let Some(on) = hits.iter().find(|hit| Some(hit.id) == mount).map(|hit| hit.on) else {
                continue;
            };
            let path = line.path.clone();
            found.push(Overlay {
                on,
                id: line.id,
                device: line.device,
                namespace,
                path,
                layer,
                role,
            });
            break;
        }
    }
}

/// The layers in the options of an overlay, as paths.
pub(super) fn layers(options: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
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

/// The mount that a path lies on: the one with the longest mount point; of equals, the last.
pub(super) fn mount_of<'l>(lines: &'l [Line], path: &Path) -> Option<&'l Line> {
    let below = lines.iter().filter(|line| path.starts_with(&line.path));
    below.max_by_key(|line| line.path.as_os_str().len())
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

    #[test]
    fn the_longest_mount_point_holds_a_path_and_names_count_whole() {
        let text = b"1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /m rw - ext4 b rw\n3 1 8:3 / /m rw - ext4 c rw\n";
        let lines = crate::platform::linux::mountinfo::parse(text);
        let mount = |path: &str| mount_of(&lines, Path::new(path)).map(|l| l.id);
        assert_eq!((mount("/m/x"), mount("/mm/x"), mount("m")), (Some(3), Some(1), None));
    }
}
