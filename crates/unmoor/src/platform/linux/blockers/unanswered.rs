//! Reasons why a drive does not answer: suspended mappings, and programs that are asked before each open (fanotify(7)).
//!
//! After a call has timed out on one of them, more time would not help.

use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::blockers::mounts::ns_members::processes;
use crate::platform::linux::blockers::processes::identity::{Identity, Users};
use crate::platform::linux::blockers::processes::process_blocker;
use crate::platform::linux::blockers::shell_quote::shell_command;
use crate::platform::linux::sys::fdinfo::{PermissionMark, permission_marks};
use crate::platform::linux::sys::procfs::{Proc, ProcPath, dir_buf};
use crate::platform::linux::sys::sysfs::SysfsDir;
use std::ffi::OsStr;

/// Returns a blocker for each suspended mapping.
pub(crate) fn suspended_mappings(drive: &Drive) -> Vec<Blocker> {
    drive.volumes.iter().filter_map(suspended).collect()
}

fn suspended(volume: &Volume) -> Option<Blocker> {
    let node = SysfsDir::open(format!("/sys/block/{}/dm", volume.name)).ok()?;
    if !node.flag("suspended") {
        return None;
    }
    let name = node.text("name")?;
    let resume = match volume.kind {
        VolumeKind::Crypt => ["cryptsetup", "luksResume", &name],
        _ => ["dmsetup", "resume", &name],
    };
    let usage = Usage::new(UsageKind::Kernel, &volume.name).at(&volume.path);
    Some(
        Blocker::new(BlockerKind::Mapping, format!("the mapping {name} is suspended"))
            .with_usage(usage)
            .with_remedy("resume it", shell_command(resume.map(OsStr::new))),
    )
}

/// Returns a blocker for each program that permits or denies the opening of files on the drive.
///
/// Such a program blocks nothing while it answers.
pub(crate) fn listeners(drive: &Drive) -> Vec<Blocker> {
    find_listeners(drive).unwrap_or_default()
}

fn find_listeners(drive: &Drive) -> Option<Vec<Blocker>> {
    let proc = Proc::open().ok()?;
    let (mut buf, mut fds, mut text) = (dir_buf(), Vec::new(), Vec::new());
    let users = Users::read();
    let mut found = Vec::new();
    for pid in processes(&proc).ok()? {
        let Ok(task) = proc.task(pid) else { continue };
        fds.clear();
        let _ = task.numbers(c"fd", &mut buf, |fd| fds.push(fd));
        let volume = fds.iter().find_map(|fd| {
            task.link(ProcPath::within("fd/", *fd).as_c_str(), &mut text).ok()?;
            if text != b"anon_inode:[fanotify]" {
                return None;
            }
            task.read(ProcPath::within("fdinfo/", *fd).as_c_str(), &mut text).ok()?;
            permission_marks(&text).into_iter().find_map(|mark| marked(drive, mark))
        });
        let Some(volume) = volume else { continue };
        let Ok(process) = Identity::of(pid, &task, &users, &mut text) else { continue };
        let description = format!(
            "{} is asked before a file on {} is opened (fanotify), and may not have answered",
            process_blocker::description(&process),
            volume.name
        );
        let mut usage = Usage::new(UsageKind::Kernel, &volume.name);
        if let Some(mount) = volume.mounts.first() {
            usage = usage.at(&mount.path);
        }
        found.push(
            Blocker::new(BlockerKind::Kernel, description)
                .with_usage(usage)
                .with_remedy("end it", Some(process_blocker::kill_command(&process))),
        );
    }
    Some(found)
}

/// Returns the volume of the drive that has this mark.
fn marked(drive: &Drive, mark: PermissionMark) -> Option<&Volume> {
    drive.volumes.iter().find(|volume| match mark {
        PermissionMark::Mount(id) => volume.mounts.iter().any(|mount| mount.id == id),
        PermissionMark::FileSystem(device) => volume.device == device,
    })
}
