//! From what a user named to the one drive it means.

use crate::deadline::{Cancel, Clock, Deadline};
use crate::model::drive::{Bus, Drive};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::target::Target;
use crate::model::volume::Volume;
use crate::platform::linux::inventory::describe::{Detail, drive};
use crate::platform::linux::inventory::names;
use crate::platform::linux::inventory::port::Port;
use crate::platform::linux::inventory::snapshot::Snapshot;
use crate::platform::linux::sys::errno;
use crate::platform::linux::sys::mountinfo::{MountInfo, mount_of};
use crate::platform::linux::sys::pseudo_file::read_proc;
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use crate::platform::linux::sys::udev;
use crate::platform::linux::{Linux, helper, tape_session};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, OFlags, StatxFlags, statx};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

/// The drive that `target` means.
pub fn resolve(target: &Target) -> Result<Drive> {
    let machine =
        Snapshot::read().map_err(|e| errno::error(e, "/proc/self/mountinfo", "cannot be read"))?;
    if let Some(place) = tape(target) {
        return tape_session::drive(&place)
            .map_err(|e| errno::error(e, &place.disk, "cannot be read"));
    }
    let place = match target {
        Target::Path(path) => by_path(&machine, path)?,
        Target::Label(label) => {
            by_volume(&machine, target, Detail::Labels, |v| names::has_label(v, label))?
                .ok_or_else(|| nothing(&target.to_string()))?
        }
        // libblkid compares UUIDs without regard to case: a FAT serial number may be typed either way.
        Target::Uuid(uuid) => {
            let same = |own: &String| own.eq_ignore_ascii_case(uuid);
            by_volume(&machine, target, Detail::Labels, |v| v.uuid.as_ref().is_some_and(same))?
                .ok_or_else(|| nothing(&target.to_string()))?
        }
        Target::PartLabel(label) => {
            let same = |own: String| own == *label;
            let entry = |v: &Volume| udev::partition_entry(v.device).name;
            by_volume(&machine, target, Detail::NoLabels, |v| entry(v).is_some_and(same))?
                .map_or_else(|| by_link(target, "by-partlabel", label), Ok)?
        }
        Target::PartUuid(uuid) => {
            let same = |own: String| own.eq_ignore_ascii_case(uuid);
            let entry = |v: &Volume| udev::partition_entry(v.device).uuid;
            by_volume(&machine, target, Detail::NoLabels, |v| entry(v).is_some_and(same))?
                .map_or_else(|| by_link(target, "by-partuuid", &uuid.to_ascii_lowercase()), Ok)?
        }
        Target::Port(_) => by_port(target)?,
        Target::Simulated(_) => return Err(nothing(&target.to_string())),
    };
    let place = below_mapping(place, &target.to_string())?;
    drive(&machine, &place, Detail::QuickLabels)
        .map_err(|e| errno::error(e, &place.disk, "cannot be read"))
}

/// The tape drive that `target` names, by its name, a node of it, or its port.
fn tape(target: &Target) -> Option<BlockDevice> {
    let given = match target {
        Target::Path(given) => given,
        Target::Port(name) => {
            let port = Port::parse(name)?;
            return tape_session::all()
                .into_iter()
                .find(|place| Port::of(place).as_ref() == Some(&port));
        }
        _ => return None,
    };
    if let Some(name) = given.to_str().filter(|name| !name.contains('/')) {
        return tape_session::place(tape_session::plain_name(name)?).ok();
    }
    // Elsewhere the mere look may set an automounter off.
    if !Path::new(given).starts_with("/dev") {
        return None;
    }
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = statx(CWD, given, flags, StatxFlags::TYPE).ok()?;
    let is_character = u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFCHR;
    let number =
        tape_session::number(stat.stx_rdev_major, stat.stx_rdev_minor).filter(|_| is_character)?;
    tape_session::by_number(number).ok()
}

/// Every drive of the machine.
pub fn list(all: bool) -> Result<Vec<Drive>> {
    let machine =
        Snapshot::read().map_err(|e| errno::error(e, "/proc/self/mountinfo", "cannot be read"))?;
    // A drive that leaves meanwhile is left out.
    let drives = disks()?.into_iter().filter_map(|place| {
        let found = drive(&machine, &place, Detail::Labels).ok()?;
        (!is_empty_slot(&place, &found) && (all || found.removable || found.hotplug))
            .then_some(found)
    });
    let tapes = tape_session::all();
    Ok(drives.chain(tapes.iter().filter_map(|place| tape_session::drive(place).ok())).collect())
}

/// Returns true for a loop device without an image and the like.
fn is_empty_slot(place: &BlockDevice, drive: &Drive) -> bool {
    place.bus() == Bus::Virtual && drive.size.is_none()
}

/// The disks below `/sys/block` that are drives: mappings and arrays are volumes, and ram disks are
/// neither. Loop devices without an image are left out before they cost anything.
fn disks() -> Result<Vec<BlockDevice>> {
    let names = SysfsDir::open("/sys/block")
        .and_then(|node| node.names())
        .map_err(|e| errno::error(e, "/sys/block", "cannot be read"))?;
    let no_drive = ["ram", "zram", "dm-", "md"];
    Ok(names
        .into_iter()
        .filter(|name| !no_drive.iter().any(|prefix| name.starts_with(prefix)))
        .filter_map(|name| BlockDevice::of_name(&name).ok())
        .collect())
}

/// Returns the drive of a path or of a word. A word that is a file here and also names another drive is
/// refused.
fn by_path(machine: &Snapshot, given: &OsStr) -> Result<BlockDevice> {
    // `sdb` is the drive, whatever file of that name lies here; `./sdb` is the file.
    let plain = given.to_str().filter(|name| !name.contains('/'));
    if let Some(place) = plain.and_then(|name| BlockDevice::of_name(name).ok()) {
        return Ok(place);
    }
    let here = at_path(machine, given);
    match (here, by_word(machine, given)?) {
        (Ok(file), Some((place, name))) if place.disk != file.disk => {
            let file = format!("the file ./{} on {}", given.to_string_lossy(), file.disk);
            Err(ambiguous(&given.to_string_lossy(), &[file, name]))
        }
        (Ok(place), _) | (Err(_), Some((place, _))) => Ok(place),
        (Err(error), None) => Err(error),
    }
}

/// Returns the drive that a word names otherwise than as a path, and what the word fits: a name below
/// `/dev`, a label, a model, a serial number, a pattern.
fn by_word(machine: &Snapshot, given: &OsStr) -> Result<Option<(BlockDevice, String)>> {
    for path in names::below_dev(given) {
        if let Ok(place) = at_path(machine, path.as_os_str()) {
            return Ok(Some((place, path.display().to_string())));
        }
    }
    // `.` and `..` are no words.
    match given.to_str().filter(|word| !word.contains('/') && !word.trim_matches('.').is_empty()) {
        Some(word) => by_drive(machine, word, Detail::Labels, |drive| names::fitting(drive, word)),
        None => Ok(None),
    }
}

/// Returns the drive of a path.
fn at_path(machine: &Snapshot, given: &OsStr) -> Result<BlockDevice> {
    let shown = given.to_string_lossy();
    // A name that an automounter has nothing mounted for sets it off at the mere look (`follow_automount`
    // of the kernel's namei.c: AT_NO_AUTOMOUNT counts only for a directory that is there).
    let above = mount_of(&machine.mounts, Path::new(given));
    if above.is_some_and(|line| line.file_system == "autofs") {
        let why = "belongs to an automounter, which has nothing mounted there";
        return Err(Error::new(ErrorKind::NoSuchTarget, shown, why));
    }
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = match names::own_descriptor(given) {
        // The link of a descriptor leads to its file, past every directory.
        Some(number) => statx(CWD, format!("/proc/self/fd/{number}"), flags, wanted),
        None => statx(found(given)?, c"", flags, wanted),
    };
    let stat = stat.map_err(|e| unreachable_path(e, given))?;
    match u32::from(stat.stx_mode) & libc::S_IFMT {
        libc::S_IFBLK => {
            let device = u64::from(stat.stx_rdev_major) << 32 | u64::from(stat.stx_rdev_minor);
            BlockDevice::of(device).map_err(|_| {
                Error::new(ErrorKind::NoSuchTarget, shown, "no drive is behind this device node")
            })
        }
        libc::S_IFCHR => {
            of_scsi_generic(stat.stx_rdev_major, stat.stx_rdev_minor).ok_or_else(|| {
                let why = "is a character device, and no drive that unmoor knows";
                Error::new(ErrorKind::NotSupported, shown, why)
            })
        }
        libc::S_IFDIR if is_unmounted(machine, given, stat.stx_mnt_id) => {
            Err(Error::new(ErrorKind::NoSuchTarget, shown, "nothing is mounted there")
                .with_help("`unmoor list` shows the drives, and where they are mounted"))
        }
        kind => {
            let device = u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor);
            let image =
                (kind == libc::S_IFREG).then(|| machine.loop_for_file(device, stat.stx_ino));
            if let Some(attached) = image.flatten() {
                return BlockDevice::of_name(&attached.name).map_err(|_| nothing(&shown));
            }
            BlockDevice::of(machine.backing_device_of_file(device, stat.stx_mnt_id))
                .map_err(|_| on_no_drive(machine, stat.stx_mnt_id, &shown))
        }
    }
}

/// Returns true if this directory of the root file system is a mount point with nothing mounted.
fn is_unmounted(machine: &Snapshot, given: &OsStr, mount: u64) -> bool {
    let root = |line: &&MountInfo| line.id == mount && line.path == Path::new("/");
    let Ok(path) = std::path::absolute(given) else { return false };
    machine.mounts.iter().any(|line| root(&line)) && {
        let fstab = read_proc("/etc/fstab").unwrap_or_default();
        names::is_mount_point_at_times(&path, &String::from_utf8_lossy(&fstab))
    }
}

/// Major number of `/dev/sgN` (Documentation/admin-guide/devices.txt).
const SCSI_GENERIC_MAJOR: u32 = 21;

/// Returns the drive of a SCSI generic device: `/dev/sg2`.
fn of_scsi_generic(major: u32, minor: u32) -> Option<BlockDevice> {
    let device = SysfsDir::open(format!("/sys/dev/char/{major}:{minor}/device"));
    let disks = device.ok().filter(|_| major == SCSI_GENERIC_MAJOR)?.names_in("block");
    disks.iter().find_map(|name| BlockDevice::of_name(name).ok())
}

/// What is at this path, without opening it (`O_PATH`, which sets no automounter off either). The way
/// there may lead through a file system whose server does not answer: a child takes it.
fn found(given: &OsStr) -> Result<OwnedFd> {
    let (clock, cancel) = (Linux::new(), Cancel::new());
    let mut watch = |_| {};
    let mut deadline = Deadline::until(&clock, clock.now() + LOOK, &cancel, &mut watch);
    let found = helper::open(Path::new(given), OFlags::PATH, &mut deadline);
    let found =
        found.map_err(|error| error.with_subject(&given.to_string_lossy()).with_help(LATE))?;
    found.map_err(|errno| unreachable_path(errno, given))
}

/// How long a path is looked for.
const LOOK: Duration = Duration::from_secs(5);

const LATE: &str =
    "a file system on the way to it may wait for its server: name the drive (`unmoor list`)";

/// The port that `target` names.
pub fn port(target: &Target) -> Result<Port> {
    let no_port = || {
        let why =
            "is not the name of a port (usb:1-4.1), and what is powered off has no other name";
        Error::new(ErrorKind::NotSupported, target.to_string(), why)
            .with_help("`unmoor attach` lists what can be brought back")
    };
    match target {
        Target::Port(name) => Port::parse(name).ok_or_else(|| nothing(name)),
        _ => Err(no_port()),
    }
}

/// The first drive that is plugged in there; what else is there are its siblings.
fn by_port(target: &Target) -> Result<BlockDevice> {
    let port = port(target)?;
    port.disks().into_iter().next().ok_or_else(|| {
        Error::new(ErrorKind::NoSuchTarget, port.to_string(), "no drive is attached there")
            .with_help(format!("if it was powered off: unmoor attach {port}"))
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
        .with_help("`unmoor list` shows what there is")
}

/// A path on a file system that is on no block device: `/proc`, a network share, an overlay.
fn on_no_drive(machine: &Snapshot, mount: u64, given: &str) -> Error {
    let line = machine.mounts.iter().find(|line| line.id == mount);
    let kind = line.map_or("another kind of", |line| &*line.file_system);
    if line.is_some_and(|line| line.path == Path::new("/")) {
        return Error::new(
            ErrorKind::Refused,
            given,
            format!("is on the running system's own {kind} file system"),
        );
    }
    // Only anonymous devices have no major number.
    if let Some(line) = line.filter(|line| line.device >> 32 != 0) {
        return Error::new(ErrorKind::Gone, given, "the drive it was on is gone").with_help(
            format!(
                "what was not written before is lost; remove the stale mount: umount {}",
                line.path.display()
            ),
        );
    }
    Error::new(
        ErrorKind::NoSuchTarget,
        given,
        format!("is on a {kind} file system, which is on no drive"),
    )
    .with_help("`unmoor list` shows what there is")
}

/// Returns the drive with such a volume, if there is one. Every drive is read, because a link made by udev
/// names only one of several.
fn by_volume(
    machine: &Snapshot,
    target: &Target,
    detail: Detail,
    wanted: impl Fn(&Volume) -> bool,
) -> Result<Option<BlockDevice>> {
    let found = by_drive(machine, &target.to_string(), detail, |drive| {
        drive.volumes.iter().find(|v| wanted(v)).map(|volume| volume.name.clone())
    })?;
    Ok(found.map(|(place, _)| place))
}

/// Returns the only drive for which `wanted` gives a name, and that name.
fn by_drive(
    machine: &Snapshot,
    given: &str,
    detail: Detail,
    wanted: impl Fn(&Drive) -> Option<String>,
) -> Result<Option<(BlockDevice, String)>> {
    let mut found: Vec<(BlockDevice, String)> = Vec::new();
    for place in disks()? {
        let Ok(drive) = drive(machine, &place, detail) else { continue };
        if !is_empty_slot(&place, &drive) {
            found.extend(wanted(&drive).map(|name| (place, name)));
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
fn is_own((place, name): &(BlockDevice, String)) -> bool {
    name.starts_with(&place.disk)
}

fn ambiguous(given: &str, names: &[String]) -> Error {
    let why = format!("names more than one drive: {}", names.join(", "));
    Error::new(ErrorKind::InvalidTarget, given, why).with_help("name the drive itself")
}

/// A name in the partition table: udev's links are the only directory of those.
fn by_link(target: &Target, directory: &str, name: &str) -> Result<BlockDevice> {
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
    let stat = statx(CWD, &link, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE)
        .map_err(|_| nothing(&target.to_string()))?;
    BlockDevice::of(u64::from(stat.stx_rdev_major) << 32 | u64::from(stat.stx_rdev_minor))
        .map_err(|_| nothing(&target.to_string()))
}

/// A mapping or an array is not a drive: what lies below it is, if that is one only.
fn below_mapping(place: BlockDevice, given: &str) -> Result<BlockDevice> {
    let mut disks = vec![place];
    for _ in 0..16 {
        let mut below = Vec::new();
        for place in &disks {
            let node = SysfsDir::open(&*place.disk_path).map_err(|_| nothing(given))?;
            let slaves = node.names_in("slaves");
            match &slaves[..] {
                [] => below.push(place.clone()),
                _ => below.extend(slaves.iter().filter_map(|s| BlockDevice::of_name(s).ok())),
            }
        }
        below.sort_by(|a, b| a.disk.cmp(&b.disk));
        below.dedup_by(|a, b| a.disk == b.disk);
        if below == disks {
            break;
        }
        disks = below;
    }
    match &disks[..] {
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
