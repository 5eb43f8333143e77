//! `open(O_EXCL)`: the claim on a drive, and the users that refuse it.
//!
//! The kernel grants `O_EXCL` on a block device only while no file system, mapping, array, swap space or
//! program with a claim of its own uses the device or a partition of it, in any mount namespace. So a refusal is
//! the only trace of a file system that is mounted in another namespace alone, or that was detached while in use.

use crate::deadline::Deadline;
use crate::model::drive::{Drive, DriveKind};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::helper::Helper;
use crate::platform::linux::release::volume_device;
use crate::platform::linux::sys::errno;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Flags that wait for no medium and close no tray.
pub const OPEN_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// Returns the flags of a descriptor that commands are sent through.
///
/// A user who is not root may send ALLOW MEDIUM REMOVAL and SYNCHRONIZE CACHE only through a descriptor that may
/// write (`scsi_cmd_allowed`, drivers/scsi/scsi_ioctl.c).
pub fn command_flags(drive: &Drive) -> OFlags {
    let is_root = rustix::process::geteuid().is_root();
    match drive.kind {
        DriveKind::Disk if !is_root && !drive.read_only => OFlags::RDWR | OFlags::NONBLOCK,
        _ => OPEN_FLAGS,
    }
}

/// Returns true if nothing that unmoor plans to take down uses the volume.
///
/// A mount of it here, a level on top of it, its swap spaces and the other members of its file system are
/// all checked in their own way. Any user of such a volume is an unknown one.
pub fn has_no_known_user(drive: &Drive, volume: &Volume) -> bool {
    // A file system on the whole drive has the drive's name, and the drive for its parent.
    let on_top = |other: &Volume| other.name != volume.name && other.parents.contains(&volume.name);
    volume.kind.has_node()
        && volume.mounts.is_empty()
        && volume.swaps.is_empty()
        && volume.other_members.is_empty()
        && !drive.volumes.iter().any(on_top)
        && !is_below_whole_use(drive, volume)
}

/// Returns true if this is a partition of a drive that is in use as a whole.
///
/// The kernel refuses a claim on it then, and no program can have one (`bd_may_claim` of block/bdev.c). `mkfs.vfat`
/// makes such a partition, which spans the drive, beside the file system on the drive itself.
fn is_below_whole_use(drive: &Drive, volume: &Volume) -> bool {
    let uses_whole = |other: &Volume| match other.name == drive.name {
        true => {
            !other.mounts.is_empty() || !other.swaps.is_empty() || !other.other_members.is_empty()
        }
        false => other.kind != VolumeKind::Partition && other.parents.contains(&drive.name),
    };
    volume.kind == VolumeKind::Partition && drive.volumes.iter().any(uses_whole)
}

/// Returns true if an unknown user holds a claim on the volume.
///
/// # Errors
/// `TimedOut`; `Interrupted`.
pub fn is_claimed(volume: &Volume, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<bool> {
    let opened = volume_device::open(volume, OFlags::EXCL, helper, deadline)?;
    Ok(matches!(opened, Err(Errno::BUSY)))
}

/// Fails if an unknown user holds a volume that is not mounted here.
///
/// Neither a dismount nor force reaches such a user: what it has written would be lost with the medium. So this is
/// asked before the first mount is unmounted.
///
/// # Errors
/// `Busy`, with the volume; `TimedOut`; `Interrupted`.
pub fn check_unknown_users(
    drive: &Drive,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<()> {
    // The floppy driver refuses a claim while any program has the drive open, this one included.
    if drive.kind == DriveKind::Floppy {
        return Ok(());
    }
    for volume in drive.volumes.iter().filter(|volume| has_no_known_user(drive, volume)) {
        if is_claimed(volume, helper, deadline)? {
            return Err(unknown_user(&volume.name));
        }
    }
    Ok(())
}

/// Claims the selected volume for a moment, after its dismount. The other volumes of its drive stay in use.
///
/// `cut_off` are the volumes that were forced, which their last open files hold.
///
/// # Errors
/// `Busy` if something still uses it; `TimedOut`; `Interrupted`.
pub fn check_volume_unused(
    drive: &Drive,
    cut_off: &[String],
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let name = drive.selection.as_ref().map(|one| &*one.volume).unwrap_or_default();
    let node = |volume: &&Volume| {
        matches!(volume.kind, VolumeKind::Disk | VolumeKind::Partition) && volume.name == name
    };
    // A level is gone once it is taken down.
    let Some(volume) = drive.volumes.iter().find(node) else {
        return Ok(StepOutcome::default());
    };
    let claimed = StepOutcome::via(
        Attempt::accepted("open(O_EXCL)").with_detail(volume.path.display().to_string()),
    );
    match is_claimed(volume, helper, deadline)? {
        false => Ok(claimed),
        true if with_everything_below(drive, cut_off).contains(&&*volume.name) => {
            Ok(StepOutcome::via(Attempt::failed("open(O_EXCL)", "in use")).with_warning(format!(
                "{} is still held by programs that were cut off",
                volume.name
            )))
        }
        true => Err(unknown_user(&volume.name)),
    }
}

/// Returns the error for a refused claim, unless this run's own force explains it.
///
/// `cut_off` are the volumes that were forced: each holds everything below it until its last handle is closed.
///
/// # Errors
/// `TimedOut`; `Interrupted`.
pub fn unexplained_holder(
    drive: &Drive,
    cut_off: &[String],
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<Option<Error>> {
    let explained = with_everything_below(drive, cut_off);
    let on_disk =
        |volume: &&Volume| matches!(volume.kind, VolumeKind::Disk | VolumeKind::Partition);
    let (held, others): (Vec<_>, Vec<_>) =
        drive.volumes.iter().filter(on_disk).partition(|v| explained.contains(&&*v.name));
    if held.is_empty() && !explained.contains(&&*drive.name) {
        return Ok(Some(unknown_user(&drive.name)));
    }
    for volume in others {
        if is_claimed(volume, helper, deadline)? {
            return Ok(Some(unknown_user(&volume.name)));
        }
    }
    Ok(None)
}

/// Returns the names of these volumes and of all that they lie on.
fn with_everything_below<'d>(drive: &'d Drive, names: &'d [String]) -> Vec<&'d str> {
    let mut below: Vec<&str> = names.iter().map(|name| &**name).collect();
    let mut next = 0;
    while let Some(name) = below.get(next).copied() {
        let parents =
            drive.volume(name).into_iter().flat_map(|v| v.parents.iter().chain(&v.other_members));
        for parent in parents {
            if !below.contains(&&**parent) {
                below.push(parent);
            }
        }
        next += 1;
    }
    below
}

fn unknown_user(name: &str) -> Error {
    let what = "is in use, but not mounted here: by a file system in another mount namespace, one that was \
                detached while in use, or a program that has claimed it";
    Error::new(ErrorKind::Busy, name, what)
        .with_attempts(vec![Attempt::failed("open(O_EXCL)", "in use")])
        .with_os_code(Errno::BUSY.raw_os_error())
}

/// Returns the error for a claim that failed otherwise.
pub fn failed(drive: &Drive, errno: Errno) -> Error {
    errno::error(errno, &drive.name, "open(O_EXCL)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drive::tests::{drive, volume};

    /// A stick with two partitions, LUKS with LVM on the second one.
    fn stick() -> Drive {
        let mut stick = drive();
        let level = |name: &str, on: &str, kind| Volume { kind, ..volume(name, on) };
        stick.volumes = vec![
            volume("sdb1", "sdb"),
            volume("sdb2", "sdb"),
            level("dm-0", "sdb2", VolumeKind::Crypt),
            level("dm-1", "dm-0", VolumeKind::Lvm),
        ];
        stick
    }

    fn unknown(stick: &Drive) -> Vec<&str> {
        let unknown = stick.volumes.iter().filter(|v| has_no_known_user(stick, v));
        unknown.map(|v| &*v.name).collect()
    }

    #[test]
    fn only_volumes_without_a_mount_or_a_level_on_top_are_asked_for_unknown_users() {
        let mut stick = stick();
        assert_eq!(unknown(&stick), ["sdb1", "dm-1"]);
        stick.volumes[0].swaps.push("/dev/sdb1".into());
        stick.volumes[3].other_members.push("sdc1".into());
        assert!(unknown(&stick).is_empty());
    }

    #[test]
    fn the_file_system_of_a_whole_drive_is_asked_for_unknown_users() {
        let mut stick = drive();
        stick.volumes = vec![volume("sdb", "sdb")];
        assert_eq!(unknown(&stick), ["sdb"]);
    }

    #[test]
    fn a_partition_of_a_drive_in_use_as_a_whole_is_not_asked_for() {
        let mut stick = drive();
        stick.volumes = vec![volume("sdb", "sdb"), volume("sdb1", "sdb")];
        stick.volumes[0].kind = VolumeKind::Disk;
        assert_eq!(unknown(&stick), ["sdb1"]);
        stick.volumes[0].swaps.push("/dev/sdb".into());
        assert!(unknown(&stick).is_empty());
        stick.volumes[0].swaps.clear();
        stick.volumes.push(Volume { kind: VolumeKind::Crypt, ..volume("dm-0", "sdb") });
        assert_eq!(unknown(&stick), ["dm-0"]);
    }

    #[test]
    fn a_volume_that_was_cut_off_explains_a_claim_on_everything_below_it() {
        let stick = stick();
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let below = names(&["dm-1"]);
        let below = with_everything_below(&stick, &below);
        assert_eq!(below, ["dm-1", "dm-0", "sdb2", "sdb"]);
        assert!(!below.contains(&"sdb1"));
    }
}
