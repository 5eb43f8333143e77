//! From what a user named to the one drive it means.

use crate::model::drive::{Bus, Drive};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::model::target::Target;
use crate::model::volume::Volume;
use crate::platform::coalesce::Coalescer;
use crate::platform::linux::helper::{FileFacts, Helper};
use crate::platform::linux::inventory::content::Detail;
use crate::platform::linux::inventory::describe::{drive, drives};
use crate::platform::linux::inventory::names;
use crate::platform::linux::inventory::port::Port;
use crate::platform::linux::inventory::remains;
use crate::platform::linux::inventory::snapshot::Snapshot;
use crate::platform::linux::inventory::tape;
use crate::platform::linux::sys::clock::within;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::pseudo_file::read_proc;
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use crate::platform::linux::sys::{device_number, errno, scsi_tape, udev};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Snapshots for targets that are resolved at the same time.
static SNAPSHOTS: Coalescer<(), std::result::Result<Arc<Snapshot>, Errno>> = Coalescer::new();

/// Time for all that a target or a list asks of devices and file systems.
const BUDGET: Duration = Duration::from_secs(10);

/// Timeout for a snapshot that another thread reads.
const SHARING_TIME: Duration = Duration::from_millis(250);

/// Timeout for the file at a path.
const STAT_TIMEOUT: Duration = Duration::from_secs(5);

/// Drive that a target means, in the device tree.
enum Place {
    Disk(BlockDevice),
    Tape(BlockDevice),
}

impl Place {
    fn disk(&self) -> &str {
        let (Place::Disk(place) | Place::Tape(place)) = self;
        &place.disk
    }
}

/// Returns the drive that `target` means.
pub fn resolve(target: &Target, helper: Helper) -> Result<Drive> {
    let helper = helper.with_budget(BUDGET);
    let snapshot = snapshot(&helper)?;
    let place = match target {
        Target::Path(path) => {
            by_path(&snapshot, path, &helper).map_err(|error| {
                match remains_of(target, &helper) {
                    Some(drive) => only_remains(&target.to_string(), &drive),
                    None => error,
                }
            })?
        }
        Target::Label(label) => {
            let has_label = |v: &Volume| names::has_label(v, label);
            by_volume(&snapshot, target, Detail::Labels, has_label, &helper)?
                .ok_or_else(|| nothing(&target.to_string()))?
        }
        // libblkid compares UUIDs without regard to case: a FAT serial number may be typed either way.
        Target::Uuid(uuid) => {
            let same = |own: &String| own.eq_ignore_ascii_case(uuid);
            let has_uuid = |v: &Volume| v.uuid.as_ref().is_some_and(same);
            by_volume(&snapshot, target, Detail::Labels, has_uuid, &helper)?
                .ok_or_else(|| nothing(&target.to_string()))?
        }
        Target::PartLabel(label) => {
            let same = |own: String| own == *label;
            let has_name = |v: &Volume| udev::partition_entry(v.device).name.is_some_and(same);
            by_volume(&snapshot, target, Detail::NoLabels, has_name, &helper)?
                .map_or_else(|| by_link(target, "by-partlabel", label, &helper), Ok)?
        }
        Target::PartUuid(uuid) => {
            let same = |own: String| own.eq_ignore_ascii_case(uuid);
            let has_uuid = |v: &Volume| udev::partition_entry(v.device).uuid.is_some_and(same);
            let by_link = || by_link(target, "by-partuuid", &uuid.to_ascii_lowercase(), &helper);
            by_volume(&snapshot, target, Detail::NoLabels, has_uuid, &helper)?
                .map_or_else(by_link, Ok)?
        }
        Target::Port(_) => by_port(target)?,
        Target::Simulated(_) => return Err(nothing(&target.to_string())),
    };
    let failed = |errno, disk: &str| errno::error(errno, disk, "cannot be read");
    match place {
        Place::Tape(place) => tape::drive(&place, &helper).map_err(|e| failed(e, &place.disk)),
        Place::Disk(place) => {
            let place =
                below_mapping(place, &target.to_string()).map_err(|error| {
                    match remains_of(target, &helper) {
                        Some(drive) => only_remains(&target.to_string(), &drive),
                        None => error,
                    }
                })?;
            drive(&snapshot, &place, Detail::QuickLabels, &helper)
                .map_err(|e| failed(e, &place.disk))
        }
    }
}

/// Returns the remains of the drive that this target is on.
///
/// They are described as a drive without a medium. `None` if the drive is there, or nothing is left of it.
pub fn remains_of(target: &Target, helper: &Helper) -> Option<Drive> {
    let Target::Path(given) = target else { return None };
    let snapshot = snapshot(helper).ok()?;
    let found = stat(&snapshot, given, helper).ok().and_then(|file| {
        let device = match file.kind {
            FileType::BlockDevice => file.node,
            _ => snapshot.backing_device_of_file(file.device, file.mount),
        };
        remains::of_device(&snapshot, device)
    });
    found.or_else(|| remains::of_name(&snapshot, given))
}

/// Returns the error for a drive of which only this is left.
fn only_remains(given: &str, drive: &Drive) -> Error {
    let what = format!(
        "the drive it was on is gone, and what was not written to it before is lost; still there: {}",
        remains::names(drive).join(", ")
    );
    Error::new(ErrorKind::Gone, given, what).with_hint(Hint::RemoveRemains)
}

/// Returns a snapshot that is not older than this call. Targets that are resolved at the same time share one.
///
/// A read that takes longer than [`SHARING_TIME`] waits for something that does not answer; others do not wait for it.
fn snapshot(helper: &Helper) -> Result<Arc<Snapshot>> {
    let read = || Snapshot::read(helper).map(Arc::new);
    let shared = within(SHARING_TIME, |deadline| {
        SNAPSHOTS.request((), deadline, |requests, _| vec![read(); requests.len()])
    });
    shared.unwrap_or_else(read).map_err(unreadable_mounts)
}

fn unreadable_mounts(errno: Errno) -> Error {
    errno::error(errno, "/proc/self/mountinfo", "cannot be read")
}

/// Lists the drives of the machine.
pub fn list(all: bool) -> Result<Vec<Drive>> {
    let helper = Helper::new().with_budget(BUDGET);
    let snapshot = Snapshot::read_with_starts(&helper).map_err(unreadable_mounts)?;
    let found = drives(&snapshot, disks(&snapshot)?, Detail::Labels, &helper).into_iter();
    let drives = found.filter_map(|(place, drive)| {
        (!is_empty_slot(&place, &drive) && (all || drive.removable || drive.hotplug))
            .then_some(drive)
    });
    let tapes = scsi_tape::all().into_iter().filter_map(|place| tape::drive(&place, &helper).ok());
    Ok(drives.chain(tapes).collect())
}

/// The disks below `/sys/block` that are drives: mappings and arrays are volumes, and ram disks are
/// neither. Loop devices without an image are left out before they cost anything.
fn disks(snapshot: &Snapshot) -> Result<Vec<BlockDevice>> {
    let names = SysfsDir::open("/sys/block")
        .and_then(|node| node.names())
        .map_err(|e| errno::error(e, "/sys/block", "cannot be read"))?;
    let no_drive = ["ram", "zram", "dm-", "md"];
    let place = |name: String| match name.starts_with("loop") {
        true => snapshot.loop_named(&name).map(|_| BlockDevice::of_loop(name)),
        false => BlockDevice::of_name(&name).ok(),
    };
    Ok(names
        .into_iter()
        .filter(|name| !no_drive.iter().any(|prefix| name.starts_with(prefix)))
        .filter_map(place)
        .collect())
}

/// Returns true for a loop device without an image and the like.
fn is_empty_slot(place: &BlockDevice, drive: &Drive) -> bool {
    place.bus() == Bus::Virtual && drive.size.is_none()
}

/// Returns the drive of a path or of a word. A word that is a file here and also names another drive is
/// refused.
fn by_path(snapshot: &Snapshot, given: &OsStr, helper: &Helper) -> Result<Place> {
    // `sdb` is the drive, whatever file of that name lies here; `./sdb` is the file.
    if let Some(name) = given.to_str().filter(|name| !name.contains('/')) {
        if let Some(tape) = scsi_tape::plain_name(name).and_then(|tape| scsi_tape::place(tape).ok())
        {
            return Ok(Place::Tape(tape));
        }
        if let Ok(disk) = BlockDevice::of_name(name) {
            return Ok(Place::Disk(disk));
        }
    }
    let here = at_path(snapshot, given, helper);
    match (here, by_word(snapshot, given, helper)?) {
        (Ok(file), Some((place, name))) if place.disk() != file.disk() => {
            let file = format!("the file ./{} on {}", given.to_string_lossy(), file.disk());
            Err(ambiguous(&given.to_string_lossy(), &[file, name]))
        }
        (Ok(place), _) | (Err(_), Some((place, _))) => Ok(place),
        (Err(error), None) => Err(error),
    }
}

/// Returns the drive that a word names otherwise than as a path, and what the word fits: a name below
/// `/dev`, a label, a model, a serial number, a pattern.
fn by_word(snapshot: &Snapshot, given: &OsStr, helper: &Helper) -> Result<Option<(Place, String)>> {
    for path in names::below_dev(given) {
        if let Ok(place) = at_path(snapshot, path.as_os_str(), helper) {
            return Ok(Some((place, path.display().to_string())));
        }
    }
    // `.` and `..` are no words.
    match given.to_str().filter(|word| !word.contains('/') && !word.trim_matches('.').is_empty()) {
        Some(word) => {
            let fitting = |drive: &Drive| names::fitting(drive, word);
            by_drive(snapshot, word, Detail::Labels, fitting, helper)
        }
        None => Ok(None),
    }
}

/// Returns the drive of a path.
fn at_path(snapshot: &Snapshot, given: &OsStr, helper: &Helper) -> Result<Place> {
    let shown = given.to_string_lossy();
    let file = stat(snapshot, given, helper)?;
    match file.kind {
        FileType::BlockDevice => BlockDevice::of(file.node).map(Place::Disk).map_err(|_| {
            let why = "no drive is behind this device node";
            Error::new(ErrorKind::NoSuchTarget, shown, why)
        }),
        FileType::CharacterDevice => {
            let (major, minor) = (file.node >> 32, file.node & 0xffff_ffff);
            let number = u32::try_from(major).ok().zip(u32::try_from(minor).ok());
            number.and_then(|(major, minor)| of_character_device(major, minor)).ok_or_else(|| {
                let why = "is a character device, and no drive that unmoor knows";
                Error::new(ErrorKind::NotSupported, shown, why)
            })
        }
        FileType::Directory if is_unmounted(snapshot, given, file.mount) => {
            Err(Error::new(ErrorKind::NoSuchTarget, shown, "nothing is mounted there")
                .with_hint(Hint::ListDrives))
        }
        kind => {
            let is_file = kind == FileType::RegularFile;
            let image = is_file.then(|| snapshot.loop_for_file(file.device, file.inode)).flatten();
            if let Some(attached) = image {
                let disk = BlockDevice::of_name(&attached.name);
                return disk.map(Place::Disk).map_err(|_| nothing(&shown));
            }
            BlockDevice::of(snapshot.backing_device_of_file(file.device, file.mount))
                .map(Place::Disk)
                .map_err(|_| on_no_drive(snapshot, file.mount, &shown))
        }
    }
}

/// Device of a path.
pub struct PathDevice {
    /// Number of the device node, or of the device below the file's file system.
    pub number: u64,
    /// Mount that the file is on; `None` for a device node.
    pub mount: Option<u64>,
}

/// Returns the device that a path, or a name below `/dev`, leads to. `None` if it leads nowhere.
pub fn device_of_path(given: &OsStr, helper: &Helper) -> Option<PathDevice> {
    let snapshot = snapshot(helper).ok()?;
    let below_dev = names::below_dev(given).into_iter().map(PathBuf::into_os_string);
    let file = std::iter::once(given.to_os_string())
        .chain(below_dev)
        .find_map(|path| stat(&snapshot, &path, helper).ok())?;
    Some(match file.kind {
        FileType::BlockDevice => PathDevice { number: file.node, mount: None },
        _ => PathDevice {
            number: snapshot.backing_device_of_file(file.device, file.mount),
            mount: Some(file.mount),
        },
    })
}

/// Returns true if this directory of the root file system is a mount point with nothing mounted.
fn is_unmounted(snapshot: &Snapshot, given: &OsStr, mount: u64) -> bool {
    let root = |line: &&MountInfo| line.id == mount && line.path == Path::new("/");
    let Ok(path) = std::path::absolute(given) else { return false };
    snapshot.mounts.iter().any(|line| root(&line)) && {
        let fstab = read_proc("/etc/fstab").unwrap_or_default();
        names::is_mount_point_at_times(&path, &String::from_utf8_lossy(&fstab))
    }
}

/// Major number of `/dev/sgN` (Documentation/admin-guide/devices.txt).
const SCSI_GENERIC_MAJOR: u32 = 21;

/// Returns the drive of a tape's node, or of a SCSI generic device: `/dev/sg2`.
fn of_character_device(major: u32, minor: u32) -> Option<Place> {
    if let Some(tape) = device_number::of_tape(major, minor) {
        return scsi_tape::by_number(tape).ok().map(Place::Tape);
    }
    let device = SysfsDir::open(format!("/sys/dev/char/{major}:{minor}/device"));
    let disks = device.ok().filter(|_| major == SCSI_GENERIC_MAJOR)?.names_in("block");
    disks.iter().find_map(|name| BlockDevice::of_name(name).ok()).map(Place::Disk)
}

/// Returns facts about what is at this path, without opening it (`O_PATH`, which sets no automounter off
/// either).
fn stat(snapshot: &Snapshot, given: &OsStr, helper: &Helper) -> Result<FileFacts> {
    if let Some(number) = names::own_descriptor(given) {
        return FileFacts::of_descriptor(number).map_err(|errno| unreachable_path(errno, given));
    }
    // A name that an automounter has nothing mounted for sets it off at the mere look (`follow_automount`
    // of the kernel's namei.c: AT_NO_AUTOMOUNT counts only for a directory that is there).
    let above = snapshot.mounts.mount_of(Path::new(given));
    if above.is_some_and(|line| line.file_system == "autofs") {
        let why = "belongs to an automounter, which has nothing mounted there";
        return Err(Error::new(ErrorKind::NoSuchTarget, given.to_string_lossy(), why));
    }
    let found = helper.within(STAT_TIMEOUT, |deadline| helper.stat(Path::new(given), deadline));
    // A file system on the way may wait for its server.
    let late =
        |error: Error| error.with_subject(&given.to_string_lossy()).with_hint(Hint::UseDriveName);
    let found = found.map_err(late)?;
    found.map_err(|errno| unreachable_path(errno, given))
}

/// The port that `target` names.
pub fn port(target: &Target) -> Result<Port> {
    let no_port = || {
        let why =
            "is not the name of a port (usb:1-4.1), and what is powered off has no other name";
        Error::new(ErrorKind::NotSupported, target.to_string(), why).with_hint(Hint::ListPorts)
    };
    match target {
        Target::Port(name) => Port::parse(name).ok_or_else(|| nothing(name)),
        _ => Err(no_port()),
    }
}

/// Returns the first drive that is plugged in there; what else is there are its siblings.
fn by_port(target: &Target) -> Result<Place> {
    let port = port(target)?;
    let is_there = |place: &BlockDevice| Port::of(place).as_ref() == Some(&port);
    if let Some(tape) = scsi_tape::all().into_iter().find(is_there) {
        return Ok(Place::Tape(tape));
    }
    port.disks().into_iter().next().map(Place::Disk).ok_or_else(|| {
        Error::new(ErrorKind::NoSuchTarget, port.to_string(), "no drive is attached there")
            .with_hint(Hint::Attach(port.to_string()))
    })
}

fn unreachable_path(errno: Errno, given: &OsStr) -> Error {
    let shown = given.to_string_lossy();
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP => nothing(&shown),
        _ => errno::error(errno, shown, "cannot be looked at"),
    }
}

fn nothing(given: &str) -> Error {
    Error::new(ErrorKind::NoSuchTarget, given, "there is no such drive, volume, mount or file")
        .with_hint(Hint::ListDrives)
}

/// A path on a file system that is on no block device: `/proc`, a network share, an overlay.
fn on_no_drive(snapshot: &Snapshot, mount: u64, given: &str) -> Error {
    let line = snapshot.mounts.iter().find(|line| line.id == mount);
    let kind = line.map_or("another kind of", |line| &*line.file_system);
    if line.is_some_and(|line| line.path == Path::new("/")) {
        return Error::new(
            ErrorKind::Refused,
            given,
            format!("is on the running system's own {kind} file system"),
        );
    }
    Error::new(
        ErrorKind::NoSuchTarget,
        given,
        format!("is on a {kind} file system, which is on no drive"),
    )
    .with_hint(Hint::ListDrives)
}

/// Returns the drive with such a volume, if there is one. Every drive is read, because a link made by udev
/// names only one of several.
fn by_volume(
    snapshot: &Snapshot,
    target: &Target,
    detail: Detail,
    wanted: impl Fn(&Volume) -> bool,
    helper: &Helper,
) -> Result<Option<Place>> {
    let name = |drive: &Drive| drive.volumes.iter().find(|v| wanted(v)).map(|v| v.name.clone());
    let found = by_drive(snapshot, &target.to_string(), detail, name, helper)?;
    Ok(found.map(|(place, _)| place))
}

/// Returns the only drive for which `wanted` gives a name, and that name.
fn by_drive(
    snapshot: &Snapshot,
    given: &str,
    detail: Detail,
    wanted: impl Fn(&Drive) -> Option<String>,
    helper: &Helper,
) -> Result<Option<(Place, String)>> {
    let mut found: Vec<(Place, String)> = Vec::new();
    for (place, drive) in drives(snapshot, disks(snapshot)?, detail, helper) {
        if !is_empty_slot(&place, &drive) {
            found.extend(wanted(&drive).map(|name| (Place::Disk(place), name)));
        }
    }
    // An image on a stick is met twice: as a drive of its own, and stacked on the stick.
    if found.iter().any(is_own) {
        found.retain(is_own);
    }
    match &found[..] {
        [] | [_] => Ok(found.pop()),
        several => {
            let names: Vec<String> = several.iter().map(|(_, name)| name.clone()).collect();
            Err(ambiguous(given, &names))
        }
    }
}

/// Returns true if what was found is the disk itself or its partition.
fn is_own((place, name): &(Place, String)) -> bool {
    name.starts_with(place.disk())
}

fn ambiguous(given: &str, names: &[String]) -> Error {
    let why = format!("names more than one drive: {}", names.join(", "));
    Error::new(ErrorKind::InvalidTarget, given, why).with_help("name the drive itself")
}

/// A name in the partition table: udev's links are the only directory of those.
fn by_link(target: &Target, directory: &str, name: &str, helper: &Helper) -> Result<Place> {
    let mut encoded = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '#' | '+' | '-' | '.' | ':' | '=' | '@' | '_' => {
                encoded.push(c);
            }
            c if !c.is_ascii() => encoded.push(c),
            c => encoded.push_str(&format!("\\x{:02x}", c as u32)),
        }
    }
    let link = Path::new("/dev/disk").join(directory).join(encoded);
    let found = helper.within(STAT_TIMEOUT, |deadline| helper.stat(&link, deadline));
    let node = found.map_or(0, |file| file.map_or(0, |file| file.node));
    BlockDevice::of(node).map(Place::Disk).map_err(|_| nothing(&target.to_string()))
}

/// A mapping or an array is not a drive: what lies below it is, if that is one only.
fn below_mapping(place: BlockDevice, given: &str) -> Result<BlockDevice> {
    let mut disks = vec![place];
    for _ in 0..16 {
        let mut below: Vec<BlockDevice> = Vec::new();
        for place in &disks {
            let node = SysfsDir::open(&*place.disk_path).map_err(|_| nothing(given))?;
            let slaves = node.names_in("slaves");
            let found = match &slaves[..] {
                [] => vec![place.clone()],
                _ => slaves.iter().filter_map(|s| BlockDevice::of_name(s).ok()).collect(),
            };
            for device in found {
                if below.iter().all(|known| known.disk != device.disk) {
                    below.push(device);
                }
            }
        }
        if below == disks {
            break;
        }
        disks = below;
    }
    match &disks[..] {
        [] => Err(Error::new(ErrorKind::Gone, given, "the drive that it lay on is gone")),
        [only] => Ok(BlockDevice { partition: None, ..only.clone() }),
        several => {
            let names: Vec<&str> = several.iter().map(|place| &*place.disk).collect();
            Err(Error::new(
                ErrorKind::InvalidTarget,
                given,
                format!("lies on more than one drive: {}", names.join(", ")),
            )
            .with_help("name one of them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_target_does_not_wait_for_the_snapshot_of_another_that_hangs() {
        let (begin, has_begun) = channel();
        let (end, may_end) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                within(Duration::from_secs(600), |deadline| {
                    SNAPSHOTS.request((), deadline, |_, _| {
                        begin.send(()).unwrap();
                        let _ = may_end.recv();
                        Vec::new()
                    })
                })
            });
            has_begun.recv().unwrap();
            assert!(snapshot(&Helper::new().with_budget(BUDGET)).is_ok());
            drop(end);
        });
    }
}
