//! Users of a drive that are no processes: page files, images attached as drives, encrypted containers,
//! volumes in folders.

use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::platform::win32_parse;
use crate::platform::win32_parse::{Container, VolumeNames, find_place};
use crate::platform::windows::inventory::snapshot::DriveKey;
use crate::platform::windows::sys::utf16::lossy;
use crate::platform::windows::sys::{container_driver, registry, virtual_disks, volumes};
use std::ffi::OsString;
use std::os::windows::ffi::{OsStrExt, OsStringExt};

/// Users that were found.
#[derive(Debug, Clone, Default)]
pub(crate) struct SystemUses {
    pub(crate) blockers: Vec<Blocker>,
    /// Remarks on what does not block.
    pub(crate) notes: Vec<String>,
}

/// Finds all of them. `names` are the names of the volumes at `places`.
pub(crate) fn find(places: &[VolumeNames], names: &[String]) -> SystemUses {
    let mut found = SystemUses::default();
    found.blockers.extend(page_files(places, names));
    found.blockers.extend(images(places, names));
    found.blockers.extend(containers(places, names));
    found.notes.extend(folders(places, names));
    found
}

fn page_files(places: &[VolumeNames], names: &[String]) -> Vec<Blocker> {
    let files = registry::page_files_in_use();
    let on_it = files.iter().filter_map(|file| at(places, file));
    on_it
        .map(|(volume, path)| {
            let description = format!("page file {path} on {}", names[volume]);
            Blocker::new(BlockerKind::Swap, description)
                .with_usage(Usage::new(UsageKind::Kernel, &names[volume]).at(path))
                .with_remedy(win32_parse::page_file(), None)
        })
        .collect()
}

/// Returns virtual disks and discs whose file lies on the drive. Windows has the file open.
fn images(places: &[VolumeNames], names: &[String]) -> Vec<Blocker> {
    let mut found = Vec::new();
    for disk in virtual_disks::all() {
        for file in &disk.files {
            let name =
                format!("{}{}", lossy(&file.volume).trim_end_matches('\\'), lossy(&file.path));
            let Some((volume, path)) = at(places, &name) else { continue };
            let drive =
                DriveKey::of_number(disk.number).device_name().unwrap_or_else(|| "a drive".into());
            let description = format!("{drive} lies in the image {path} on {}", names[volume]);
            let (words, command) = win32_parse::image(&path);
            found.push(
                Blocker::new(BlockerKind::Loop, description)
                    .with_usage(Usage::new(UsageKind::Kernel, &names[volume]).at(path))
                    .with_remedy(words, command),
            );
        }
    }
    found
}

/// Returns encrypted containers whose file lies on the drive. Their driver has the file open.
fn containers(places: &[VolumeNames], names: &[String]) -> Vec<Blocker> {
    let blocker = |(program, container): (&str, Container)| {
        let (volume, path) = at(places, &container.source)?;
        let letter = container.letter;
        let (words, command) = win32_parse::container(program, letter);
        let description =
            format!("{letter}: lies in the {program} container {path} on {}", names[volume]);
        let usage = Usage::new(UsageKind::Kernel, &names[volume]).at(path);
        let blocker = Blocker::new(BlockerKind::Loop, description);
        Some(blocker.with_usage(usage).with_remedy(words, command))
    };
    container_driver::mounted().into_iter().filter_map(blocker).collect()
}

/// Returns remarks on volumes that are mounted in a folder of the drive. They block nothing, but cannot
/// be reached through that folder afterwards.
fn folders(places: &[VolumeNames], names: &[String]) -> Vec<String> {
    let ours = |guid: &String| places.iter().any(|place| place.guid.as_ref() == Some(guid));
    let others = volumes::all().into_iter().filter(|guid| !ours(guid));
    let mut notes = Vec::new();
    for guid in others {
        let mounts = volumes::mount_points(&guid);
        for mount in &mounts {
            let units: Vec<u16> = mount.encode_wide().collect();
            let location = find_place(places, &units);
            let Some((volume, folder)) =
                location.and_then(|location| Some((location.volume, location.path?)))
            else {
                continue;
            };
            let folder = OsString::from_wide(&folder).to_string_lossy().into_owned();
            // The root of a letter is no folder of it.
            if folder.trim_end_matches('\\').ends_with(':') {
                continue;
            }
            let undo = win32_parse::mounted_folder(&folder)
                .map_or_else(String::new, |command| format!("; to unmount it: {command}"));
            notes.push(format!(
                "another volume, {}, is mounted in the folder {folder} of {}, and is not reached there \
                 without it{undo}",
                guid.trim_end_matches('\\'),
                names[volume]
            ));
        }
    }
    notes
}

/// Returns the volume that a file lies on, and its path there.
fn at(places: &[VolumeNames], name: &str) -> Option<(usize, String)> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let location = find_place(places, &units)?;
    Some((location.volume, String::from_utf16_lossy(&location.path?)))
}
