//! From what a user named to the one volume of its drive.

use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::target::Target;
use crate::model::volume::Volume;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::inventory::{names, resolve};
use crate::platform::linux::sys::udev;
use crate::platform::pattern::fits;
use std::ffi::OsStr;

/// Returns the drive with the volume alone that `target` names.
///
/// # Errors
/// `InvalidTarget` if the target means a drive with several volumes, or several volumes.
pub fn only_named(drive: Drive, target: &Target, helper: Helper) -> Result<Drive> {
    let uuid = |own: &Option<String>, uuid: &str| {
        own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(uuid))
    };
    let entry = |volume: &Volume| udev::partition_entry(volume.device);
    let found: Vec<&Volume> = match target {
        Target::Path(given) => by_path(&drive, given, helper),
        Target::Label(label) => all(&drive, |v| names::has_label(v, label)),
        Target::Uuid(given) => all(&drive, |v| uuid(&v.uuid, given)),
        Target::PartLabel(label) => all(&drive, |v| entry(v).name.as_ref() == Some(label)),
        Target::PartUuid(given) => all(&drive, |v| uuid(&entry(v).uuid, given)),
        Target::Port(_) | Target::Simulated(_) => Vec::new(),
    };
    match &found[..] {
        [volume] => {
            let name = volume.name.clone();
            Ok(drive.only_volume(&name))
        }
        _ => match &drive.volumes[..] {
            // A file system on the whole drive.
            [volume] if volume.name == drive.name => {
                let name = volume.name.clone();
                Ok(drive.only_volume(&name))
            }
            _ => Err(no_single_volume(&drive, target)),
        },
    }
}

fn all(drive: &Drive, wanted: impl Fn(&Volume) -> bool) -> Vec<&Volume> {
    drive.volumes.iter().filter(|volume| wanted(volume)).collect()
}

/// Returns the volumes that a word or a path names.
fn by_path<'d>(drive: &'d Drive, given: &OsStr, helper: Helper) -> Vec<&'d Volume> {
    let word = given.to_str().filter(|word| !word.contains('/'));
    if let Some(volume) = word.and_then(|word| drive.volume(word)) {
        return vec![volume];
    }
    if word == Some(&*drive.name) {
        return Vec::new();
    }
    if let Some(device) = resolve::device_of_path(given, &helper) {
        return all(drive, |volume| {
            volume.device == device.number && volume.kind.has_node()
                || volume.mounts.iter().any(|mount| Some(mount.id) == device.mount)
        });
    }
    match word {
        Some(word) => all(drive, |v| v.label.as_deref().is_some_and(|label| fits(word, label))),
        None => Vec::new(),
    }
}

fn no_single_volume(drive: &Drive, target: &Target) -> Error {
    let names: Vec<&str> = drive.volumes.iter().map(|volume| &*volume.name).collect();
    let why = match names.is_empty() {
        true => format!("means the whole drive {}, which has no volumes", drive.name),
        false => format!(
            "means the whole drive {}, not one of its volumes: {}",
            drive.name,
            names.join(", ")
        ),
    };
    Error::new(ErrorKind::InvalidTarget, target.to_string(), why)
        .with_help("name one volume, or leave --volume out to dismount the whole drive")
}
