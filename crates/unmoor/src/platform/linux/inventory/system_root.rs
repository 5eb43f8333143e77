//! The file systems that the running system runs from, by device and not by path.
//!
//! A live system's root is an overlay whose layers were mounted by the initramfs. Their paths mean nothing in the root
//! that the system has now, and their mounts are in no table. What shows them is that the kernel holds their device.

use crate::model::drive::{Drive, SystemUse};
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::helper::Helper;
use crate::platform::linux::inventory::system_mounts::is_system;
use crate::platform::linux::sys::maps::Mapping;
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::mountinfo::{self, MountInfo};
use crate::platform::linux::sys::overlay_options;
use crate::platform::linux::sys::procfs::Proc;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Timeout for one layer, and for one device.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// File systems that are made to be the lower layer of a system.
const IMAGES: [&str; 4] = ["squashfs", "erofs", "cramfs", "iso9660"];

/// Devices of the running system.
#[derive(Debug, Default)]
pub struct SystemRoot {
    /// Devices that are known to carry it, each with the mount point that needs it.
    known: Vec<(u64, PathBuf)>,
    /// True if a layer of the root's overlay is not where its options say, and its device is not known.
    has_unknown_layers: bool,
}

/// A process, and the mount table that it sees.
struct Witness<'t> {
    pid: &'static str,
    table: &'t MountTable,
}

/// An overlay that is the root of a witness, and hides lower layers.
struct Overlay {
    device: u64,
    /// Number of lower layers that are not at their paths.
    hidden: usize,
    /// Devices of the files that the witness has mapped from it.
    mapped: Vec<u64>,
}

impl SystemRoot {
    /// Looks at the roots and the programs of this process and of the first one.
    pub fn read(own: &MountTable, helper: &Helper) -> SystemRoot {
        let mut root = SystemRoot::default();
        let Ok(proc) = Proc::open() else { return root };
        for link in [c"1/root", c"1/exe"] {
            root.known.extend(proc.stat(link).ok().map(|stat| (stat.device, "/".into())));
        }
        let is_there = |path: &Path| is_there(path, helper);
        let mut overlays =
            Vec::from_iter(overlay(&Witness { pid: "self", table: own }, is_there, &proc));
        let mut text = Vec::new();
        if shares_namespace(&proc) {
            // What this process has mapped may come from the upper layer alone: a static program is one file.
            if !overlays.is_empty() {
                overlays.extend(overlay(&Witness { pid: "1", table: own }, is_there, &proc));
            }
        } else if proc.read(c"1/mountinfo", &mut text).is_ok() {
            let table = MountTable::new(mountinfo::parse(&text));
            let needed = table.iter().filter(|line| is_system(&line.path));
            root.known.extend(needed.map(|line| (line.device, line.path.clone())));
            // Its paths cannot be looked at from here.
            overlays.extend(overlay(&Witness { pid: "1", table: &table }, |_| false, &proc));
        }
        root.add_layers(&overlays);
        // Anonymous numbers are those of overlays and of the network, which are on no drive.
        root.known.retain(|(device, _)| device >> 32 != 0);
        root
    }

    /// Adds the devices below the overlays, as far as they are known.
    fn add_layers(&mut self, overlays: &[Overlay]) {
        for overlay in overlays {
            let same = overlays.iter().filter(|other| other.device == overlay.device);
            let mut mapped: Vec<u64> =
                same.flat_map(|other| other.mapped.iter().copied()).collect();
            mapped.sort_unstable();
            mapped.dedup();
            let on_device = mapped.iter().any(|device| device >> 32 != 0);
            self.has_unknown_layers |= !on_device && mapped.len() < overlay.hidden;
            self.known.extend(mapped.into_iter().map(|device| (device, "/".into())));
        }
    }

    /// Returns what the running system uses of the drive, besides its mounts in this namespace.
    pub fn uses(&self, drive: &Drive, helper: &Helper) -> Vec<SystemUse> {
        let of_drive = |device: &u64| {
            *device == drive.id.device || drive.volumes.iter().any(|v| v.device == *device)
        };
        let mut uses: Vec<SystemUse> = Vec::new();
        for (_, path) in self.known.iter().filter(|(device, _)| of_drive(device)) {
            uses.push(SystemUse::Mount(path.clone()));
        }
        let is_layer = |volume: &&Volume| is_layer(drive, volume, helper);
        if uses.is_empty() && self.has_unknown_layers && drive.volumes.iter().any(|v| is_layer(&v))
        {
            uses.push(SystemUse::Mount("/".into()));
        }
        uses
    }
}

/// Returns true if the volume may be a layer of a root whose layers are hidden.
///
/// It is an image of a system, or the kernel holds it although nothing shows a use of it.
fn is_layer(drive: &Drive, volume: &Volume, helper: &Helper) -> bool {
    if volume.kind == VolumeKind::Loop
        && volume.mounts.iter().any(|mount| IMAGES.contains(&&*mount.file_system))
    {
        return true;
    }
    let on_top = |other: &Volume| other.name != volume.name && other.parents.contains(&volume.name);
    let unused = volume.mounts.is_empty()
        && volume.swaps.is_empty()
        && volume.other_members.is_empty()
        && !drive.volumes.iter().any(on_top);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::EXCL;
    let claimed =
        || helper.within(LOOK_TIMEOUT, |deadline| helper.open(&volume.path, flags, deadline));
    volume.kind.has_node() && unused && matches!(claimed(), Ok(Err(Errno::BUSY)))
}

/// Returns the number of lower layers of this overlay that are not at their paths.
fn hidden_lower_layers(
    table: &MountTable,
    root: &MountInfo,
    is_there: impl Fn(&Path) -> bool,
) -> usize {
    if root.file_system != "overlay" {
        return 0;
    }
    let layers = overlay_options::layers(&root.super_options).into_iter();
    let is_hidden = |layer: &PathBuf| {
        let mount = table.mount_of(layer);
        // A path on the overlay itself is none of its layers.
        mount.is_none_or(|mount| mount.device == root.device) || !is_there(layer)
    };
    layers.filter(|(name, layer)| *name == "lowerdir" && is_hidden(layer)).count()
}

/// Returns the overlay at the root of the witness, if it hides lower layers.
///
/// Up to Linux 6.6, a file that is mapped from an overlay shows the device of its layer.
fn overlay(
    witness: &Witness<'_>,
    is_there: impl Fn(&Path) -> bool,
    proc: &Proc,
) -> Option<Overlay> {
    let line = witness.table.iter().rev().find(|line| line.path == Path::new("/"))?;
    let hidden = hidden_lower_layers(witness.table, line, is_there);
    let mapped = || devices_mapped_from(proc, witness, line);
    (hidden > 0).then(|| Overlay { device: line.device, hidden, mapped: mapped() })
}

/// Returns the devices of the files that the witness has mapped from this mount, without the mount's own.
fn devices_mapped_from(proc: &Proc, witness: &Witness<'_>, root: &MountInfo) -> Vec<u64> {
    let (mut text, mut devices) = (Vec::new(), Vec::new());
    let Ok(file) = CString::new(format!("{}/maps", witness.pid)) else { return devices };
    if proc.read(&file, &mut text).is_err() {
        return devices;
    }
    for mapping in Mapping::all(&text) {
        let (path, _) = mapping.path();
        let on_root = witness.table.mount_of(&path).is_some_and(|mount| mount.id == root.id);
        if on_root && mapping.device != root.device && !devices.contains(&mapping.device) {
            devices.push(mapping.device);
        }
    }
    devices
}

/// Returns true if the first process is in the mount namespace of this one, with the same root.
fn shares_namespace(proc: &Proc) -> bool {
    let same = |own: &CStr, first: &CStr| {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        proc.link(own, &mut a).is_ok() && proc.link(first, &mut b).is_ok() && a == b
    };
    same(c"self/ns/mnt", c"1/ns/mnt") && same(c"self/root", c"1/root")
}

fn is_there(path: &Path, helper: &Helper) -> bool {
    let found = helper.within(LOOK_TIMEOUT, |deadline| helper.stat(path, deadline));
    !matches!(found, Ok(Err(Errno::NOENT | Errno::NOTDIR)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(options: &str) -> usize {
        let text = format!(
            "20 1 0:25 / / rw - overlay overlay rw,{options}\n21 20 0:26 / /run rw - tmpfs run rw\n"
        );
        let table = MountTable::new(mountinfo::parse(text.as_bytes()));
        hidden_lower_layers(&table, &table[0], |path| path.ends_with("here"))
    }

    #[test]
    fn layers_whose_paths_have_vanished_are_hidden() {
        assert_eq!(hidden("lowerdir=//filesystem.squashfs,upperdir=/cow/upper"), 1);
        assert_eq!(hidden("lowerdir=/a.squashfs:/b.squashfs,upperdir=/cow/upper"), 2);
        assert_eq!(hidden("lowerdir=/run/gone"), 1);
        assert_eq!(hidden("lowerdir=/run/here,upperdir=/cow/upper"), 0);
    }

    #[test]
    fn a_layer_that_either_process_has_mapped_is_known() {
        let overlay =
            |device, mapped: &[u64]| Overlay { device, hidden: 2, mapped: mapped.to_vec() };
        let unknown = |overlays: &[Overlay]| {
            let mut root = SystemRoot::default();
            root.add_layers(overlays);
            root.has_unknown_layers
        };
        assert!(unknown(&[overlay(25, &[41])]));
        assert!(!unknown(&[overlay(25, &[41, 42])]));
        assert!(!unknown(&[overlay(25, &[41]), overlay(25, &[42])]));
        assert!(unknown(&[overlay(25, &[41]), overlay(25, &[41])]));
        // Another overlay's layers are its own.
        assert!(unknown(&[overlay(25, &[41]), overlay(26, &[42, 43])]));
    }

    #[test]
    fn only_an_overlay_has_layers() {
        let line = "20 1 8:1 / / rw - ext4 /dev/sda1 rw,lowerdir=/gone\n";
        let table = MountTable::new(mountinfo::parse(line.as_bytes()));
        assert_eq!(hidden_lower_layers(&table, &table[0], |_| false), 0);
    }
}
