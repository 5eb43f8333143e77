//! Overlay mounts whose layers lie on the drive.
//!
//! An overlay keeps the file systems of its layers alive by itself: the mounts of the drive can be
//! unmounted under it, and then the drive still cannot be claimed.

use super::mountline::{MountLine, plain};
use super::survey::{Hit, Namespace, Which};
use std::path::PathBuf;

/// One overlay mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overlay {
    pub(super) on: Which,
    pub(super) device: u64,
    pub(super) namespace: Namespace,
    /// Where the overlay is mounted.
    pub(super) path: PathBuf,
    /// The layer that lies on the drive, and which it is: `lowerdir`, `upperdir`, `workdir`.
    pub(super) layer: PathBuf,
    pub(super) role: &'static str,
}

/// Finds the overlays of one namespace that have a layer on one of these mounts of the drive.
pub(super) fn find(text: &[u8], namespace: Namespace, hits: &[Hit], found: &mut Vec<Overlay>) {
    if hits.is_empty() {
        return;
    }
    for line in MountLine::all(text).filter(|l| l.file_system == b"overlay") {
        // Seen in our namespace and in a container's it is the same overlay: the first one counts.
        if found.iter().any(|o| o.device == line.device && o.namespace != namespace) {
            continue;
        }
        for (role, layer) in layers(line.super_options) {
            let Some(on) = mount_of(text, &layer)
                .and_then(|id| hits.iter().find(|hit| hit.id == id).map(|hit| hit.on))
            else {
                continue;
            };
            use std::os::unix::ffi::OsStringExt;
            let layer = PathBuf::from(std::ffi::OsString::from_vec(layer));
            let path = line.path();
            found.push(Overlay { on, device: line.device, namespace, path, layer, role });
            break;
        }
    }
}

/// The layers in the options of an overlay, as paths.
fn layers(options: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut layers = Vec::new();
    for option in options.split(|b| *b == b',') {
        let Some(equals) = option.iter().position(|b| *b == b'=') else { continue };
        let (name, value) = (&option[..equals], plain(&option[equals + 1..]));
        match name {
            b"upperdir" => layers.push(("upperdir", unescaped(&value))),
            b"workdir" => layers.push(("workdir", unescaped(&value))),
            // One directory each, since Linux 6.8.
            b"lowerdir+" | b"datadir+" => layers.push(("lowerdir", value)),
            b"lowerdir" => {
                let lower = split(&value).into_iter().filter(|layer| !layer.is_empty());
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
fn mount_of(text: &[u8], path: &[u8]) -> Option<u64> {
    MountLine::all(text)
        .filter_map(|line| {
            let point = plain(line.point);
            let lies_on = match &*point {
                b"/" => path.starts_with(b"/"),
                point => path
                    .strip_prefix(point)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")),
            };
            lies_on.then_some((point.len(), line.id))
        })
        .fold(None, |best: Option<(usize, u64)>, next| match best {
            Some(best) if best.0 > next.0 => Some(best),
            _ => Some(next),
        })
        .map(|(_, id)| id)
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
        assert_eq!(mount_of(text, b"/m/x"), Some(3));
        assert_eq!(mount_of(text, b"/mm/x"), Some(1));
        assert_eq!(mount_of(text, b"m"), None);
    }
}
