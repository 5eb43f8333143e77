//! Content of volumes: type, label and UUID, from udev's database or from the medium.

use crate::model::drive::{Drive, DriveKind, Medium};
use crate::model::volume::Volume;
use crate::platform::linux::helper::pipeline::DriveCall;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::helper::timed_read::TimedReader;
use crate::platform::linux::helper::{Helper, c_path};
use crate::platform::linux::inventory::superblock::{self, StartProbe};
use crate::platform::linux::sys::content::Content;
use crate::platform::linux::sys::udev::Database;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::time::Duration;

/// Amount of detail in a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Everything that a release needs. Labels come from udev alone, and the medium is not read.
    NoLabels,
    /// Labels too, from udev or from a medium that answers at once: an ejection waits for no label.
    QuickLabels,
    /// Labels too, read from the medium where udev does not know them.
    Labels,
}

impl Detail {
    /// Returns the timeout for reading what is on one volume.
    fn timeout(self) -> Duration {
        match self {
            Detail::NoLabels => Duration::ZERO,
            Detail::QuickLabels => Duration::from_millis(250),
            Detail::Labels => Duration::from_secs(2),
        }
    }
}

/// File systems whose label is not at the start of the volume.
const FURTHER_IN: [&str; 6] = ["vfat", "msdos", "exfat", "btrfs", "iso9660", "udf"];

/// Drive whose content is not read yet.
pub struct Described {
    pub drive: Drive,
    /// True if this user may not open its node.
    pub denied: bool,
}

/// A volume that udev does not know.
struct Unknown<'v> {
    drive: usize,
    volume: &'v mut Volume,
    path: CString,
    /// True if the start of the volume is worth a probe of its own.
    by_start: bool,
    probe: Option<StartProbe>,
}

/// Sets what is on each volume of these drives.
///
/// `probes` has what was found on loop devices before, by name.
pub fn read(
    drives: Vec<&mut Described>,
    probes: &HashMap<&str, &StartProbe>,
    detail: Detail,
    helper: &Helper,
) {
    let database = Database::open();
    let mut unknown: Vec<Unknown<'_>> = Vec::new();
    for (number, Described { drive, denied }) in drives.into_iter().enumerate() {
        let is_read = detail != Detail::NoLabels && drive.medium == Medium::Present;
        let is_disc = drive.kind == DriveKind::Optical;
        for volume in drive.volumes.iter_mut().filter(|volume| volume.kind.has_node()) {
            let probe = probes.get(&*volume.name).map(|probe| (*probe).clone());
            // Only what udev does not know was read before.
            let known = if probe.is_none() { database.content(volume.device) } else { None };
            let is_readable = !(*denied && volume.name == drive.name);
            match known {
                Some(content) => set(volume, content),
                None if is_read && is_readable => {
                    unknown.extend(c_path(&volume.path).ok().map(|path| {
                        let far = |mount: &str| FURTHER_IN.contains(&mount);
                        let by_start = !is_disc && !volume.file_system.as_deref().is_some_and(far);
                        Unknown { drive: number, volume, path, by_start, probe }
                    }))
                }
                None => {}
            }
        }
    }
    let silent = read_starts(&mut unknown, detail, helper);
    read_further(unknown, silent, detail, helper);
}

/// Reads the starts of volumes, all in one go, and keeps those that have to be read further.
///
/// Returns the drives that did not answer in time. They are not asked for their other volumes.
fn read_starts(unknown: &mut Vec<Unknown<'_>>, detail: Detail, helper: &Helper) -> HashSet<usize> {
    let is_asked = |one: &Unknown<'_>| one.by_start && one.probe.is_none();
    let asked: Vec<usize> = (0..unknown.len()).filter(|at| is_asked(&unknown[*at])).collect();
    let mut probes: Vec<Option<StartProbe>> = asked.iter().map(|_| None).collect();
    let call = |at: &usize| DriveCall {
        drive: unknown[*at].drive,
        request: Request::ReadStart { path: &unknown[*at].path },
    };
    let calls: Vec<DriveCall<'_>> = asked.iter().map(call).collect();
    helper.call_all(&calls, detail.timeout(), &mut |at, result| {
        probes[at] = match result {
            Ok(Ok(([_, _, failed, ..], start))) => Some(StartProbe::at(start, failed != 0)),
            Ok(Err(_)) => Some(StartProbe::Unknown(true)),
            Err(_) => Some(StartProbe::Silent),
        };
    });
    for (at, probe) in asked.into_iter().zip(probes) {
        unknown[at].probe = probe;
    }
    let mut silent = HashSet::new();
    unknown.retain_mut(|one| match one.probe.take() {
        // A label that was read in part may be an old one: none is better.
        Some(StartProbe::Known(_, true) | StartProbe::Unknown(true))
            if detail != Detail::Labels =>
        {
            false
        }
        Some(StartProbe::Known(content, _)) => {
            set(one.volume, content);
            false
        }
        Some(StartProbe::Unknown(true)) => false,
        Some(StartProbe::Silent) => {
            silent.insert(one.drive);
            false
        }
        Some(StartProbe::Unknown(false)) | None => true,
    });
    silent
}

fn read_further(
    unknown: Vec<Unknown<'_>>,
    mut silent: HashSet<usize>,
    detail: Detail,
    helper: &Helper,
) {
    for one in unknown {
        if silent.contains(&one.drive) {
            continue;
        }
        let length = match one.volume.file_system.as_deref() {
            Some("vfat" | "msdos" | "exfat") => superblock::SMALL_FAT,
            _ => superblock::FAR,
        };
        match probe(&one.path, length, detail, helper) {
            Ok(Some(content)) => set(one.volume, content),
            Ok(None) => {}
            Err(Silent) => _ = silent.insert(one.drive),
        }
    }
}

/// The drive did not answer in time.
struct Silent;

/// Finds out what is on a volume. The first `length` bytes are read in one go.
fn probe(
    path: &CStr,
    length: usize,
    detail: Detail,
    helper: &Helper,
) -> Result<Option<Content>, Silent> {
    let time = detail.timeout();
    let request = Request::OpenAndReadAhead { path, length: length as u64 };
    let opened = helper.within(time, |deadline| helper.open_by(&request, deadline));
    let Ok(device) = opened.map_err(|_| Silent)? else { return Ok(None) };
    let reader = TimedReader::new(&device, time);
    let content = superblock::probe(&reader);
    // A label that was read in part may be an old one: none is better.
    match reader.timed_out() {
        true => Err(Silent),
        false => Ok(content.filter(|_| detail == Detail::Labels || !reader.failed())),
    }
}

/// Sets what udev knows of these volumes.
pub fn set_from_udev<'v>(volumes: impl Iterator<Item = &'v mut Volume>) {
    let database = Database::open();
    for volume in volumes {
        if let Some(content) = database.content(volume.device) {
            set(volume, content);
        }
    }
}

/// Sets the content. The type by which a volume is mounted counts more.
fn set(volume: &mut Volume, content: Content) {
    (volume.label, volume.uuid) = (content.label, content.uuid);
    volume.file_system.get_or_insert(content.kind);
}
