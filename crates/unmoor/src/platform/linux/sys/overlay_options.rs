//! Layers of overlayfs and eCryptfs (Documentation/filesystems/overlayfs.rst, ecryptfs.rst), as mountinfo shows them.

use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::mountinfo::{MountInfo, unescape};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Option that names a layer, or `source`, and the path of the layer.
pub(crate) type Layer = (&'static str, PathBuf);

/// Returns true if a file system of this type lies on directories of others, and has a device number of its own.
pub(crate) fn has_layers(file_system: &str) -> bool {
    matches!(file_system, "overlay" | "ecryptfs")
}

/// Returns the layers of a mount; `None` for a file system without layers.
///
/// The source of an eCryptfs mount is its lower directory.
pub(crate) fn layers_of(line: &MountInfo) -> Option<Vec<Layer>> {
    match &*line.file_system {
        "overlay" => Some(layers(&line.super_options)),
        "ecryptfs" => Some(vec![("source", PathBuf::from(line.source.clone()))]),
        _ => None,
    }
}

/// Returns the mounts of the same table that the layers of this mount lie on; `None` if it has no layers.
pub(crate) fn layer_mounts(table: &MountTable, line: &MountInfo) -> Option<Vec<u64>> {
    let layers = layers_of(line)?.into_iter().filter_map(|(_, layer)| table.mount_of(&layer));
    Some(layers.map(|mount| mount.id).collect())
}

/// Returns the layers in the options of an overlay.
pub fn layers(options: &[u8]) -> Vec<Layer> {
    let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
    let mut layers = Vec::new();
    for option in options.split(|b| *b == b',') {
        let Some(equals) = option.iter().position(|b| *b == b'=') else { continue };
        let (name, value) = (&option[..equals], unescape(&option[equals + 1..]));
        let value = value.as_bytes();
        match name {
            b"upperdir" => layers.push(("upperdir", path(unescaped(value)))),
            b"workdir" => layers.push(("workdir", path(unescaped(value)))),
            // One directory each, since Linux 6.8.
            b"lowerdir+" | b"datadir+" => layers.push(("lowerdir", path(value.to_vec()))),
            b"lowerdir" => {
                let lower = split(value).into_iter().filter(|layer| !layer.is_empty());
                layers.extend(lower.map(|layer| ("lowerdir", path(layer))));
            }
            _ => {}
        }
    }
    layers
}

/// Splits a list of layers at its colons; a backslash escapes the next byte.
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
    fn layers_are_read_from_the_options() {
        let options = br"rw,lowerdir=/a\\:b:/c:/d\040e,upperdir=/u,workdir=/w,index=off";
        let found: Vec<_> = layers(options)
            .into_iter()
            .map(|(r, l)| (r, l.to_str().unwrap().to_string()))
            .collect();
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
        assert_eq!(escaped, [("lowerdir", PathBuf::from("/a:b"))]);
        assert_eq!(layers(b"lowerdir+=/a:b"), [("lowerdir", PathBuf::from("/a:b"))]);
    }
}
