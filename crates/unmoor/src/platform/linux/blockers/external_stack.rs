//! Stacked devices that lie on the drive and on another one too (LUKS, LVM, md), or are of another kind (bcache).
//!
//! A release removes none of them. It removes those that lie on its own drives alone.

use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::blockers::shell_quote::{command_on, shell_command};
use crate::platform::linux::sys::sysfs::SysfsDir;
use std::collections::HashSet;
use std::ffi::OsStr;

/// Returns the volumes that lie on another drive too, directly or through a volume below them.
pub(crate) fn external_volumes(drive: &Drive) -> HashSet<&str> {
    let mut external: HashSet<&str> = HashSet::new();
    loop {
        let before = external.len();
        for volume in &drive.volumes {
            let on_drive = |name: &String| *name == drive.name || drive.volume(name).is_some();
            let is_external = |name: &String| !on_drive(name) || external.contains(&**name);
            if volume.parents.iter().any(is_external) {
                external.insert(&volume.name);
            }
        }
        if external.len() == before {
            return external;
        }
    }
}

/// Returns one blocker for each such device, the topmost first.
pub(crate) fn blockers(drive: &Drive) -> Vec<Blocker> {
    let external = external_volumes(drive);
    let is_blocker =
        |volume: &&Volume| volume.kind == VolumeKind::Other || external.contains(&*volume.name);
    let volumes = drive.volumes.iter().rev().filter(is_blocker);
    volumes.filter_map(|volume| stacked_blocker(drive, volume)).collect()
}

fn stacked_blocker(drive: &Drive, volume: &Volume) -> Option<Blocker> {
    let kind = match volume.kind {
        VolumeKind::Disk
        | VolumeKind::Partition
        | VolumeKind::Overlay
        | VolumeKind::Fuse
        | VolumeKind::Nbd => return None,
        VolumeKind::Crypt | VolumeKind::Lvm | VolumeKind::Mapping | VolumeKind::Other => {
            BlockerKind::Mapping
        }
        VolumeKind::Raid => BlockerKind::MultiDevice,
        VolumeKind::Loop => BlockerKind::Loop,
    };
    let below = volume.parents.first().map_or(drive.name.as_str(), String::as_str);
    let node = SysfsDir::open(format!("/sys/block/{}", volume.name.replace('/', "!"))).ok();
    let text = |name: &str| node.as_ref().and_then(|node| node.text(name));
    let mapping = text("dm/name");
    let (what, words, command) = match (volume.kind, &mapping) {
        (VolumeKind::Crypt, Some(name)) => (
            format!("encrypted volume {name}"),
            "close it",
            command(&["cryptsetup", "close", name]),
        ),
        (VolumeKind::Lvm, Some(name)) => {
            let name = logical_volume(name);
            let command = command(&["lvchange", "--activate", "n", &name]);
            (format!("logical volume {name}"), "deactivate it", command)
        }
        (_, Some(name)) => {
            (format!("mapping {name}"), "remove it", command(&["dmsetup", "remove", name]))
        }
        (VolumeKind::Raid, _) => {
            ("md array".into(), "stop it", command_on(&["mdadm", "--stop"], &volume.path))
        }
        (VolumeKind::Loop, _) => {
            let image = text("loop/backing_file").unwrap_or_else(|| "an image".into());
            (
                format!("loop device over {image}"),
                "detach it",
                command_on(&["losetup", "-d"], &volume.path),
            )
        }
        _ if volume.name.starts_with("bcache") => {
            ("bcache device".into(), "stop it", stop_bcache(volume))
        }
        _ => ("device".into(), "stop it", None),
    };
    let mut usage = Usage::new(UsageKind::Kernel, below).at(&volume.path);
    if volume.kind == VolumeKind::Loop {
        usage.path = text("loop/backing_file").map(Into::into).or(usage.path);
    }
    let description = format!("{what} is on top of {below} ({})", volume.path.display());
    Some(Blocker::new(kind, description).with_usage(usage).with_remedy(words, command))
}

/// Returns the command that unmounts a bcache device and stops it (Documentation/admin-guide/bcache.rst).
fn stop_bcache(volume: &Volume) -> Option<String> {
    let mounts = volume.mounts.iter().rev();
    let unmount = mounts.map(|mount| command_on(&["umount"], &mount.path));
    let stop = format!("echo 1 >/sys/block/{}/bcache/stop", volume.name);
    let commands: Option<Vec<String>> = unmount.chain([Some(stop)]).collect();
    commands.map(|commands| commands.join(" && "))
}

fn command(words: &[&str]) -> Option<String> {
    shell_command(words.iter().map(OsStr::new))
}

/// Returns the LVM name of a mapping: `vg/my-lv` for `vg-my--lv`.
///
/// LVM doubles the dashes of both names and puts a single dash between them (`dm_build_dm_name`, libdm).
pub fn logical_volume(mapping: &str) -> String {
    let mut out = String::new();
    let mut rest = mapping.chars().peekable();
    let mut slash = true;
    while let Some(c) = rest.next() {
        match c {
            '-' if rest.next_if_eq(&'-').is_some() => out.push('-'),
            // After the second single dash comes the name of an internal layer of the volume.
            '-' if !slash => break,
            '-' => {
                slash = false;
                out.push('/');
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_names_give_logical_volume_names() {
        assert_eq!(logical_volume("vg-lv"), "vg/lv");
        assert_eq!(logical_volume("my--vg-my--lv"), "my-vg/my-lv");
        assert_eq!(logical_volume("vg-thin-tpool"), "vg/thin");
    }
}
