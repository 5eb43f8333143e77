//! Checks whether a volume is in use: by a question to the kernel where it has an answer, else by a scan.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, BlockerScan, Role, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::linux::blockers;
use crate::platform::linux::blockers::mounts::other_namespaces;
use crate::platform::linux::blockers::scan::shared_scan::{DriveUsage, drive_usage};
use crate::platform::linux::blockers::super_blocks::FileSystems;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::release::{teardown, umount};
use crate::platform::linux::sys::{errno, mountinfo, nbd};
use std::time::Duration;

/// Words for a drive that no process writes to, past its file systems.
pub const NO_RAW_USERS: &str = "no process writes to the device itself";

/// Timeout for a scan of processes and other mount namespaces.
const SCAN_BUDGET: Duration = Duration::from_secs(5);

/// Checks that only this drive's own mounts and levels use the volume.
///
/// # Errors
/// `Busy`; `TimedOut` and `Interrupted` if the scan did not finish.
pub fn check_volume(
    drive: &Drive,
    volume: &Volume,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let mut done = StepOutcome::default();
    for mount in &volume.mounts {
        if has_dependents(drive, volume, mount) {
            check_under_dependents(drive, volume, mount, deadline)?;
            continue;
        }
        umount::probe(mount, helper, deadline)?;
        done.merge(StepOutcome::via(
            Attempt::accepted("umount2(MNT_EXPIRE)").with_detail(mount.path.display().to_string()),
        ));
    }
    done.merge(teardown::probe(drive, volume, helper, deadline)?);
    // Neither has an open count.
    if matches!(volume.kind, VolumeKind::Raid | VolumeKind::Loop | VolumeKind::Nbd) {
        check_processes(drive, volume, deadline)?;
    }
    match volume.mounts.is_empty() && !teardown::is_stacked(volume) {
        true => Ok(StepOutcome::skipped("not mounted")),
        false => Ok(done),
    }
}

/// Checks by a search that no process uses the volume.
///
/// # Errors
/// `Busy`, with the processes; `TimedOut`; `Interrupted`.
pub fn check_processes(drive: &Drive, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<()> {
    match processes_on(drive, &[&volume.name], deadline)? {
        None => Ok(()),
        Some(scan) => Err(busy(&volume.path.display().to_string(), "is in use").with_scan(scan)),
    }
}

/// Checks that no process of this scan uses the volume.
///
/// # Errors
/// `Busy`, with the scan.
#[cfg(feature = "udisks")]
pub fn check_scan(drive: &Drive, volume: &Volume, scan: &BlockerScan) -> Result<()> {
    match is_used_by_processes(drive, &[&volume.name], scan) {
        false => Ok(()),
        true => {
            let path = volume.path.display().to_string();
            Err(busy(&path, "is in use").with_scan(scan.clone()))
        }
    }
}

/// Returns true if something that is torn down before the mount keeps it busy.
///
/// That is another mount of this drive on it or over it, a loop device over a file there, a program that serves a
/// file there, a swap file, or eCryptfs over a directory there, which holds the mount itself.
fn has_dependents(drive: &Drive, volume: &Volume, mount: &Mount) -> bool {
    let holds = |v: &Volume| v.kind.lies_on_files() || v.file_system.as_deref() == Some("ecryptfs");
    let over_a_file = |v: &Volume| holds(v) && v.parents.contains(&volume.name);
    drive
        .volumes
        .iter()
        .flat_map(|v| &v.mounts)
        .any(|m| m.parent == mount.id || mount.covered_by.contains(&m.id))
        || drive.volumes.iter().any(over_a_file)
        || volume.swaps.iter().any(|swap| *swap != volume.path)
}

/// Scans for other users of a mount that its dependents keep busy, since the kernel cannot be asked.
fn check_under_dependents(
    drive: &Drive,
    volume: &Volume,
    mount: &Mount,
    deadline: &mut Deadline<'_>,
) -> Result<()> {
    match processes_on(drive, &[&volume.name], deadline)? {
        None => Ok(()),
        Some(scan) => {
            let path = mount.path.display().to_string();
            Err(busy(&path, "is in use below what is mounted on it").with_scan(scan))
        }
    }
}

/// Checks that no other mount namespace uses the drive's volumes.
///
/// The probe of this namespace's mounts does not see that. It would keep the drive busy after every unmount, so
/// it must be known before the first one.
fn check_other_namespaces(drive: &Drive, deadline: &mut Deadline<'_>) -> Result<()> {
    let mounted: Vec<&Volume> = drive.volumes.iter().filter(|v| !v.mounts.is_empty()).collect();
    let devices: Vec<u64> = mounted.iter().map(|v| v.device).collect();
    let elsewhere =
        other_namespaces::mounted_elsewhere(&devices, deadline.capped(SCAN_BUDGET).remaining());
    deadline.check()?;
    if let Some(other) = elsewhere.mounts.first() {
        let by = match other.pid {
            Some(pid) => format!("seen by process {pid}"),
            None => "no process is in it".into(),
        };
        let path = other.path.display();
        let detail = format!("is mounted in another mount namespace too, on {path} ({by})");
        return Err(busy(&drive.name, &detail));
    }
    if let Some(overlay) = elsewhere.overlays.first() {
        let (kind, path) = (&overlay.file_system, overlay.path.display());
        let detail = format!("carries a layer of the {kind} mounted on {path}");
        return Err(busy(&drive.name, &detail));
    }
    let names: Vec<&str> = mounted.iter().map(|v| &*v.name).collect();
    let scan = match elsewhere.copies {
        true => processes_on(drive, &names, deadline)?,
        false => None,
    };
    match scan {
        None => Ok(()),
        Some(scan) => {
            Err(busy(&drive.name, "is in use in another mount namespace").with_scan(scan))
        }
    }
}

/// Returns true if the volume is mounted in another mount namespace and stays there.
pub fn is_mounted_elsewhere(volume: &Volume, time: Duration) -> bool {
    !other_namespaces::mounted_elsewhere(&[volume.device], time.min(SCAN_BUDGET)).mounts.is_empty()
}

/// Checks that no foreign mount or level lies on this drive.
///
/// Force would detach the mount too.
///
/// # Errors
/// `NotExclusive`, with the other mount.
pub fn check_foreign_mounts(drive: &Drive) -> Result<()> {
    let lines = mountinfo::read_self()
        .map_err(|e| errno::error(e, "/proc/self/mountinfo", "cannot be read"))?;
    let ours = |id: u64| drive.volumes.iter().flat_map(|v| &v.mounts).any(|m| m.id == id);
    if let Some(volume) = drive.volumes.iter().find(|volume| volume.kind == VolumeKind::Other) {
        return Err(teardown::not_taken_down(volume));
    }
    let other = lines.iter().find(|line| ours(line.parent) && !ours(line.id));
    match other {
        None => Ok(()),
        Some(line) => {
            let what = format!(
                "{} is mounted on {}, within it, and is not its own: force would take it along",
                line.file_system,
                line.path.display()
            );
            Err(Error::new(ErrorKind::NotExclusive, &drive.name, what)
                .with_help("unmount that first, or name its drive too"))
        }
    }
}

/// Checks that the drive carries no eCryptfs that a release leaves mounted.
///
/// It has a cache of its own, which force would lose.
///
/// # Errors
/// `NotExclusive`, with the mount.
pub fn check_foreign_caches(drive: &Drive, deadline: &mut Deadline<'_>) -> Result<()> {
    let time = deadline.capped(SCAN_BUDGET).remaining();
    match other_namespaces::caches_over(drive, time).first() {
        None => Ok(()),
        Some(other) => {
            let path = other.path.display();
            let what = format!(
                "the {} on {path} has its files on it, and is not unmounted with it",
                other.file_system
            );
            Err(Error::new(ErrorKind::NotExclusive, &drive.name, what)
                .with_help("unmount that first: force would lose what was written through it"))
        }
    }
}

/// Checks that none of these file systems is frozen or has hidden mounts.
///
/// Both can be unmounted, and keep the drive in use all the same.
///
/// # Errors
/// `Busy`; `TimedOut`; `Interrupted`.
pub fn check_file_systems(
    systems: FileSystems<'_>,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<()> {
    refused_by(&systems.frozen())?;
    refused_by(&systems.hidden_mounts(helper, deadline)?)
}

fn refused_by(found: &[Blocker]) -> Result<()> {
    match found.first() {
        None => Ok(()),
        Some(blocker) => Err(busy("", &blocker.description)),
    }
}

/// Returns true if a program serves the volume, or a volume below it.
///
/// Force does not cut such a volume off: what was written through it would be lost in the program.
pub fn is_served(drive: &Drive, volume: &Volume) -> bool {
    let mut names = vec![&*volume.name];
    let mut next = 0;
    while let Some(name) = names.get(next).copied() {
        next += 1;
        let Some(below) = drive.volume(name) else { continue };
        if below.kind.is_served() {
            return true;
        }
        let parents = below.parents.iter().map(|name| &**name);
        let new: Vec<&str> = parents.filter(|name| !names.contains(name)).collect();
        names.extend(new);
    }
    false
}

/// Checks that every served volume is idle, and is taken down by a release.
///
/// # Errors
/// `NotExclusive`, with the program that uses it or serves it.
pub fn check_servers(drive: &Drive, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<()> {
    let held = |what: String| {
        Error::new(ErrorKind::NotExclusive, &drive.name, what)
            .with_help("close that first: force would lose what was written through its server")
    };
    for volume in drive.volumes.iter().filter(|volume| is_served(drive, volume)) {
        match check_volume(drive, volume, helper, deadline) {
            Err(error) if error.kind() == ErrorKind::Busy => {
                let scan = error.scan().cloned();
                let error =
                    held(format!("{}, which a program serves from it, is in use", volume.name));
                return Err(match scan {
                    Some(scan) => error.with_scan(scan),
                    None => error.with_scan(blockers::scan(drive, deadline)),
                });
            }
            checked => checked.map(drop)?,
        }
    }
    if !blockers::may_have_servers() {
        return Ok(());
    }
    let scan = blockers::scan(drive, deadline);
    match scan.blockers.iter().find(|blocker| blocker.role == Role::Server) {
        Some(server) => {
            let what = format!("{} has files on it open, and serves others", server.description);
            Err(held(what).with_scan(scan))
        }
        None => Ok(()),
    }
}

/// Checks that no program uses the drive past its mounts, which are idle.
///
/// That is a program that writes to the device itself, or uses a mount in another mount namespace or a tree that
/// was detached while in use.
///
/// # Errors
/// `Busy`, with the program.
pub fn check_raw_users(
    drive: &Drive,
    stays: bool,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    const NO_VISIBLE_RAW_USERS: &str = "not every process could be looked into";
    let usage = drive_usage(drive, &mut deadline.capped(SCAN_BUDGET));
    deadline.check()?;
    match usage {
        DriveUsage::Unused => return Ok(StepOutcome::skipped(NO_RAW_USERS)),
        DriveUsage::NoneVisible => return Ok(StepOutcome::skipped(NO_VISIBLE_RAW_USERS)),
        DriveUsage::Unknown => {}
    }
    if drive.is_mounted() {
        check_other_namespaces(drive, deadline)?;
    }
    let scan = blockers::scan_open(drive, &mut deadline.capped(SCAN_BUDGET));
    let users = scan.blockers.iter().filter(|blocker| blocker.kind == BlockerKind::Process);
    let counts = |blocker: &Blocker, used: &Usage| {
        (used.kind != UsageKind::Device || !stays) && !is_fs_server(drive, blocker, used)
    };
    let mut uses =
        users.flat_map(|blocker| blocker.uses.iter().filter(move |used| counts(blocker, used)));
    match uses.next() {
        Some(used) if used.kind == UsageKind::Device => Err(busy(
            &used.volume,
            "is written to directly by a program, bypassing its file systems",
        )
        .with_scan(scan)),
        Some(used) => Err(busy(&used.volume, "is used through a mount that is no longer attached")
            .with_scan(scan)),
        None if scan.complete => Ok(StepOutcome::skipped(NO_RAW_USERS)),
        None => {
            deadline.check()?;
            Ok(StepOutcome::skipped(NO_VISIBLE_RAW_USERS))
        }
    }
}

/// Returns the scan if processes use these volumes, else `None`.
fn processes_on(
    drive: &Drive,
    volumes: &[&str],
    deadline: &mut Deadline<'_>,
) -> Result<Option<BlockerScan>> {
    let scan = blockers::scan(drive, &mut deadline.capped(SCAN_BUDGET));
    if is_used_by_processes(drive, volumes, &scan) {
        return Ok(Some(scan));
    }
    // A scan that the deadline or the cancel flag has cut short proves nothing. A scan that one process has
    // delayed is accepted: the unmount asks again.
    if !scan.complete {
        deadline.check()?;
    }
    Ok(None)
}

fn is_used_by_processes(drive: &Drive, volumes: &[&str], scan: &BlockerScan) -> bool {
    scan.blockers.iter().any(|blocker| {
        let uses = |u: &Usage| volumes.contains(&&*u.volume) && !is_fs_server(drive, blocker, u);
        blocker.kind == BlockerKind::Process && blocker.uses.iter().any(uses)
    })
}

/// Returns true if this program serves the drive (nbd) or a volume of it, and has it open for that.
fn is_fs_server(drive: &Drive, blocker: &Blocker, used: &Usage) -> bool {
    let Some(process) = &blocker.process else { return false };
    drive.volumes.iter().any(|volume| volume.servers.contains(&process.pid))
        || used.kind == UsageKind::Device && nbd::is_client(&drive.name, process.pid)
}

fn busy(subject: &str, detail: &str) -> Error {
    Error::new(ErrorKind::Busy, subject, detail)
}
