//! Drives, volumes and mounts in the JSON document.

use super::lossy::{bytes_of, plain};
use super::names;
use serde::Serialize;
use unmoor::{Drive, Mount, Volume};

#[derive(Serialize)]
pub struct DriveDto<'a> {
    name: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    kind: &'static str,
    bus: &'static str,
    vendor: Option<&'a str>,
    model: Option<&'a str>,
    serial: Option<&'a str>,
    size: Option<u64>,
    removable: bool,
    hotplug: bool,
    read_only: bool,
    medium: &'static str,
    system: Vec<String>,
    backing_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backing_file_bytes: Option<String>,
    siblings: &'a [String],
    port: Option<&'a str>,
    volumes: Vec<VolumeDto<'a>>,
}

#[derive(Serialize)]
struct VolumeDto<'a> {
    name: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    kind: &'static str,
    on: &'a [String],
    spans: &'a [String],
    swaps: Vec<String>,
    label: Option<&'a str>,
    uuid: Option<&'a str>,
    file_system: Option<&'a str>,
    size: Option<u64>,
    read_only: bool,
    unwritten: Option<u64>,
    mounts: Vec<MountDto<'a>>,
}

#[derive(Serialize)]
struct MountDto<'a> {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_bytes: Option<String>,
    file_system: &'a str,
    read_only: bool,
}

impl<'a> From<&'a Drive> for DriveDto<'a> {
    fn from(drive: &'a Drive) -> Self {
        DriveDto {
            name: &drive.name,
            path: plain(&drive.path),
            path_bytes: bytes_of(&drive.path),
            kind: names::drive_kind(drive.kind),
            bus: names::bus(drive.bus),
            vendor: drive.vendor.as_deref(),
            model: drive.model.as_deref(),
            serial: drive.serial.as_deref(),
            size: drive.size,
            removable: drive.removable,
            hotplug: drive.hotplug,
            read_only: drive.read_only,
            medium: names::medium(drive.medium),
            system: drive.system_uses.iter().map(ToString::to_string).collect(),
            backing_file: drive.backing_file.as_ref().map(plain),
            backing_file_bytes: drive.backing_file.as_ref().and_then(bytes_of),
            siblings: &drive.siblings,
            port: drive.port.as_deref(),
            volumes: drive.volumes.iter().map(VolumeDto::from).collect(),
        }
    }
}

impl<'a> From<&'a Volume> for VolumeDto<'a> {
    fn from(volume: &'a Volume) -> Self {
        VolumeDto {
            name: &volume.name,
            path: plain(&volume.path),
            path_bytes: bytes_of(&volume.path),
            kind: names::volume_kind(volume.kind),
            on: &volume.parents,
            spans: &volume.other_members,
            swaps: volume.swaps.iter().map(plain).collect(),
            label: volume.label.as_deref(),
            uuid: volume.uuid.as_deref(),
            file_system: volume.file_system.as_deref(),
            size: volume.size,
            read_only: volume.read_only,
            unwritten: volume.unwritten,
            mounts: volume.mounts.iter().map(MountDto::from).collect(),
        }
    }
}

impl<'a> From<&'a Mount> for MountDto<'a> {
    fn from(mount: &'a Mount) -> Self {
        MountDto {
            path: plain(&mount.path),
            path_bytes: bytes_of(&mount.path),
            root: plain(&mount.root),
            root_bytes: bytes_of(&mount.root),
            file_system: &mount.file_system,
            read_only: mount.read_only,
        }
    }
}
