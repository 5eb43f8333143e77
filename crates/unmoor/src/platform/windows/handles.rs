//! What keeps a volume busy.

use super::control::{Access, Device};
use super::{in_time, process, users};
use crate::blocker::{Blocker, BlockerKind, Process, Scan, Use, UseKind};
use crate::drive::Drive;
use crate::wait::Wait;
use std::collections::BTreeMap;
use std::path::Path;

/// Searches for what is open on the drive's volumes.
pub(super) fn search(drive: &Drive, wait: &mut Wait<'_>) -> Scan {
    let mut scan = Scan { complete: true, ..Scan::default() };
    let mut uses: BTreeMap<u32, Vec<Use>> = BTreeMap::new();
    for volume in &drive.volumes {
        let Ok(device) = Device::open(&volume.path, Access::Query) else {
            incomplete(&mut scan, format!("{} could not be opened", volume.name));
            continue;
        };
        let answer = in_time::within(wait, || false, move || Ok(users::processes(&device)));
        match answer {
            Ok(Ok(Ok(pids))) => {
                for pid in pids.into_iter().filter(|pid| *pid != std::process::id()) {
                    let used = Use::new(UseKind::OpenFile, &volume.name);
                    uses.entry(pid).or_default().push(used);
                }
            }
            Ok(Ok(Err(status))) => incomplete(
                &mut scan,
                format!("{}'s file system does not tell who uses it ({status:#010x})", volume.name),
            ),
            Ok(Err(_)) | Err(_) => {
                incomplete(&mut scan, format!("{}'s file system did not answer", volume.name));
            }
        }
    }
    scan.blockers = uses.into_iter().map(|(pid, uses)| blocker(pid, uses)).collect();
    scan
}

fn incomplete(scan: &mut Scan, why: String) {
    scan.complete = false;
    scan.notes.push(why);
}

/// The process that runs the file system drivers, and holds what they hold.
const SYSTEM: u32 = 4;

fn blocker(pid: u32, uses: Vec<Use>) -> Blocker {
    let program = process::program(pid);
    let name = match (&program, pid) {
        (Some(path), _) => Path::new(path).file_name().unwrap_or(path).to_os_string(),
        (None, SYSTEM) => "System".into(),
        (None, _) => "a process of another user".into(),
    };
    let shown = name.to_string_lossy().into_owned();
    let remedy = match pid {
        SYSTEM => "close file shares, mounted images and virus scans of this drive".into(),
        _ => format!("close {shown}"),
    };
    let what = format!("{shown} (pid {pid}) has files or folders open on it");
    let mut blocker = Blocker::new(BlockerKind::Process, what).with_remedy(remedy, None);
    blocker.uses = uses;
    blocker.process = Some(Process {
        pid,
        name,
        command_line: program.into_iter().collect(),
        user: None,
        unit: None,
        started: 0,
    });
    blocker
}
