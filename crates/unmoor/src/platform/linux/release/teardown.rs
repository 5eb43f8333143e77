//! Mappings, arrays and loop devices stacked on a drive: checks whether a level is idle, and tears it down.
//!
//! The kernel's own calls are used, not the tools that set the level up, and they are enough:
//!
//! - **dm-crypt**: `cryptsetup close` is `DM_DEV_REMOVE` too. The key that the mapping works with is in
//!   the kernel and is wiped with it (`crypt_dtr`); the copy that LUKS2 passes through a keyring was in
//!   one of cryptsetup's own thread, and ended with that.
//! - **LVM**: deactivating a volume group is removing the mappings of its logical volumes; nothing is
//!   written to the medium by it (lvm(8): `vgchange --activate n`). LVM keeps no state beside the
//!   kernel's, and a `dmeventd` that watched a mapping notices that it is gone.
//! - **udev**: a removal without a cookie (libdevmapper's way to wait for udev) sends the same event;
//!   no process waits for it, and the links in /dev go when udev gets to it.
//! - **md**: `mdadm --stop` is `STOP_ARRAY` too, unless a program writes the metadata.

use crate::deadline::Deadline;
use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::helper::Device;
use crate::platform::linux::helper::request::{DeviceCall, Request};
use crate::platform::linux::helper::{CallResult, Helper, c_path};
use crate::platform::linux::release::served;
use crate::platform::linux::release::volume_device::open;
use crate::platform::linux::sys::sysfs::SysfsDir;
use crate::platform::linux::sys::{dm_ioctl, errno, fuse, md, node};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time for retries of a refusal: the level above may not be gone yet, and udev opens every device that was
/// written to.
const RETRY_TIME: Duration = Duration::from_millis(1000);

/// Time for retries of a claim.
const CLAIM_RETRY_TIME: Duration = Duration::from_millis(100);

/// Returns true if the volume is a level that is torn down by itself.
pub fn is_stacked(volume: &Volume) -> bool {
    !matches!(volume.kind, VolumeKind::Disk | VolumeKind::Partition | VolumeKind::Overlay)
}

/// Returns true if force can cut the level off while it is in use.
pub fn supports_force(volume: &Volume) -> bool {
    use VolumeKind::{Crypt, Lvm, Mapping, Raid};
    matches!(volume.kind, Crypt | Lvm | Mapping | Raid)
}

/// Checks that only this drive's own mounts and levels use this one.
///
/// # Errors
/// `Busy`; `Refused` for what another program manages.
pub fn probe(
    drive: &Drive,
    volume: &Volume,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let path = volume.path.display().to_string();
    match volume.kind {
        VolumeKind::Disk | VolumeKind::Partition | VolumeKind::Overlay | VolumeKind::Fuse => {
            Ok(StepOutcome::default())
        }
        VolumeKind::Crypt | VolumeKind::Lvm | VolumeKind::Mapping => {
            let opened = dm_open_count(volume, helper, deadline)?;
            match opened.saturating_sub(internal_opens(drive, volume)) {
                0 => Ok(StepOutcome::via(Attempt::accepted("DM_DEV_STATUS").with_detail(path))),
                _ => Err(in_use(volume)),
            }
        }
        VolumeKind::Raid if md::is_managed_outside(&volume.name) => Err(Error::new(
            ErrorKind::Refused,
            &drive.name,
            format!("the array {} on it is managed by mdmon", volume.name),
        )
        .with_help(format!("stop it first: mdadm --stop {path}"))),
        VolumeKind::Other => Err(not_taken_down(volume)),
        // They have no open count, and cannot be claimed while one of this drive's levels is on them.
        VolumeKind::Raid | VolumeKind::Loop | VolumeKind::Nbd
            if internal_opens(drive, volume) > 0 =>
        {
            Ok(StepOutcome::default())
        }
        VolumeKind::Raid | VolumeKind::Loop | VolumeKind::Nbd => {
            match open_excl(volume, helper, deadline)? {
                Ok(_) => Ok(StepOutcome::via(Attempt::accepted("open(O_EXCL)").with_detail(path))),
                Err(Errno::BUSY) => Err(in_use(volume)),
                Err(errno) => Err(errno::error(errno, path, "open(O_EXCL)")),
            }
        }
    }
}

/// Returns the number of times that this drive's own mounts and levels have this one open.
///
/// A file system does once, whatever the number of its mounts, and of the images and overlays on it. A mapping and
/// an array do once each.
fn internal_opens(drive: &Drive, volume: &Volume) -> u32 {
    // The server of a volume may have the level itself open, or a file of the file system on it.
    let is_file = |kind: VolumeKind| {
        matches!(kind, VolumeKind::Loop | VolumeKind::Overlay)
            || kind.is_served() && !volume.mounts.is_empty()
    };
    let holds = |other: &&Volume| {
        other.name != volume.name && !is_file(other.kind) && other.parents.contains(&volume.name)
    };
    let above = |v: &Volume| match v.kind {
        // A partition of an array or an image opens it only while the partition is in use itself.
        VolumeKind::Partition => internal_opens(drive, v),
        _ => 1,
    };
    let file_system = !volume.mounts.is_empty() || !volume.other_members.is_empty();
    // A FUSE server has the device of its file system open too, as long as it is mounted.
    let served = volume.mounts.iter().any(|mount| fuse::is_fuse(&mount.file_system));
    let swap = volume.swaps.contains(&volume.path);
    u32::from(file_system)
        + u32::from(served)
        + u32::from(swap)
        + drive.volumes.iter().filter(holds).map(above).sum::<u32>()
}

/// Tears the level down. With `force`, also one that is still open, if the kernel can cut it off.
///
/// # Errors
/// `Busy`; `Refused` if it is another device than it was.
pub fn remove_level(
    drive: &Drive,
    volume: &Volume,
    force: bool,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    if !is_stacked(volume) {
        return Ok(StepOutcome::skipped("not mounted"));
    }
    if is_replaced(volume) {
        return Ok(StepOutcome::skipped(format!("{} is gone already", volume.name)));
    }
    verify_slaves(drive, volume)?;
    if volume.kind == VolumeKind::Other {
        return Err(not_taken_down(volume));
    }
    if volume.kind.is_served() {
        return served::remove_level(drive, volume, helper, deadline);
    }
    let (method, answer) = match volume.kind {
        VolumeKind::Raid => ("STOP_ARRAY", stop(volume, helper, deadline)?),
        VolumeKind::Loop => ("LOOP_CLR_FD", detach(volume, force, helper, deadline)?),
        _ => ("DM_DEV_REMOVE", remove(volume, helper, deadline)?),
    };
    let shown = volume.path.display().to_string();
    match answer {
        Ok(()) => Ok(StepOutcome::via(Attempt::accepted(method).with_detail(shown))),
        Err(Errno::NXIO | Errno::NODEV | Errno::NOENT) => {
            Ok(StepOutcome::skipped(format!("{} is gone already", volume.name)))
        }
        Err(Errno::BUSY) if force => force_close(volume, helper, deadline),
        Err(Errno::BUSY) => {
            Err(in_use(volume).with_attempts(vec![Attempt::failed(method, "in use")]))
        }
        Err(errno) => Err(errno::error(errno, shown, method)),
    }
}

/// Switches swap off. Interrupted on the way, it stays in use.
///
/// # Errors
/// `Failed` if its content does not fit into memory.
pub fn swap_off(
    volume: &Volume,
    path: &Path,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let shown = path.display().to_string();
    let name = c_path(path).map_err(|errno| errno::error(errno, &*shown, "swapoff"))?;
    match helper.run(&Request::SwapOff { path: &name, device: volume.device }, deadline)? {
        Ok(_) => Ok(StepOutcome::via(Attempt::accepted("swapoff").with_detail(shown))),
        // It is no longer swapped to.
        Err(Errno::INVAL) => Ok(StepOutcome::skipped(format!("{shown} is out of use already"))),
        Err(Errno::NOMEM) => Err(Error::new(
            ErrorKind::Failed,
            shown,
            "what is swapped out there does not fit into memory",
        )
        .with_os_code(Errno::NOMEM.raw_os_error())
        .with_help("end something large, or add other swap first")),
        Err(errno) => Err(errno::error(errno, shown, "swapoff")),
    }
}

/// Returns true if the volume is gone, and its name belongs to another device or to none.
///
/// A loop device that `mount -o loop` made is detached by the unmount (`LO_FLAGS_AUTOCLEAR`).
fn is_replaced(volume: &Volume) -> bool {
    let now = sysfs_node(volume).and_then(|node| node.number("diskseq"));
    now.is_some_and(|now| volume.generation != 0 && now != volume.generation)
}

fn sysfs_node(volume: &Volume) -> Option<SysfsDir> {
    SysfsDir::open(format!("/sys/block/{}", volume.name.replace('/', "!"))).ok()
}

/// Checks that the device number does not belong to another mapping by now.
fn verify_slaves(drive: &Drive, volume: &Volume) -> Result<()> {
    let node = sysfs_node(volume);
    let below = node.map(|node| node.present_slaves()).unwrap_or_default();
    let foreign = |name: &String| {
        let name = name.replace('!', "/");
        name != drive.name && drive.volume(&name).is_none() && !volume.parents.contains(&name)
    };
    match below.iter().find(|name| foreign(name)) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Refused,
            &drive.name,
            format!("{} lies on {name} now: it is not what it was", volume.name),
        )),
    }
}

fn remove(volume: &Volume, helper: &Helper, deadline: &mut Deadline<'_>) -> CallResult<()> {
    let control = control(volume)?;
    let name =
        SysfsDir::open(format!("/sys/block/{}", volume.name)).ok().and_then(|n| n.text("dm/name"));
    let request = Request::DmRemove { control: control.as_fd(), device: volume.device };
    let answer = retry_while_busy(deadline, |deadline| helper.run(&request, deadline))?;
    if let (Ok(()), Some(name)) = (answer, name) {
        remove_stale_node(&name, volume.device);
    }
    Ok(answer)
}

/// Without udev, deletes the stale node in /dev/mapper, which could come to name another mapping.
fn remove_stale_node(name: &str, device: u64) {
    let path = PathBuf::from("/dev/mapper").join(name);
    if node::block_device_at(&path) == Some(device) {
        let _ = std::fs::remove_file(path);
    }
}

fn stop(volume: &Volume, helper: &Helper, deadline: &mut Deadline<'_>) -> CallResult<()> {
    let array = match open(volume, OFlags::empty(), helper, deadline)? {
        Ok(array) => array,
        Err(errno) => return Ok(Err(errno)),
    };
    let request = Request::Device { device: array.as_fd(), call: DeviceCall::StopArray };
    retry_while_busy(deadline, |deadline| helper.run(&request, deadline))
}

/// Detaches the loop device, and checks that it is detached.
///
/// The loop driver accepts the call while another process has the device open, and detaches at the last close.
fn detach(
    volume: &Volume,
    force: bool,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> CallResult<()> {
    let opened = match force {
        true => open(volume, OFlags::empty(), helper, deadline)?,
        false => open_excl(volume, helper, deadline)?,
    };
    let detached = match opened {
        Ok(device) => helper.device_call(device.as_fd(), DeviceCall::DetachLoop, deadline)?,
        Err(errno) => Err(errno),
    };
    if let Err(errno) = detached {
        return Ok(Err(errno));
    }
    let attached = || match SysfsDir::open(format!("/sys/block/{}/loop", volume.name)) {
        Ok(_) => Err(Errno::BUSY),
        Err(_) => Ok(()),
    };
    let end = deadline.now() + RETRY_TIME;
    while attached().is_err() && deadline.now() < end {
        deadline.sleep(Duration::from_millis(20))?;
    }
    Ok(attached())
}

/// Cuts off a level that is still open.
///
/// A mapping gets the `error` target, so that every handle of it fails and the drive below it is free. A loop
/// device goes with the file system that its image lies on, which is cut off in its turn. An array is shrunk.
fn force_close(
    volume: &Volume,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    if volume.kind == VolumeKind::Loop {
        let attempt =
            Attempt::failed("LOOP_CLR_FD", "in use: detached when the last one closes it");
        return Ok(StepOutcome::via(attempt)
            .with_warning(format!("{} is still held by programs that were cut off", volume.name)));
    }
    if volume.kind == VolumeKind::Raid {
        return force_close_array(volume, helper, deadline);
    }
    if !supports_force(volume) {
        let help = "what has it open must be closed: force cannot cut it off";
        return Err(in_use(volume).with_help(help));
    }
    let control = control(volume)?;
    let sectors = volume.size.unwrap_or(0) / 512;
    let (control, device) = (control.as_fd(), volume.device);
    match helper.run(&Request::DmReplaceByErrors { control, device, sectors }, deadline)? {
        Ok(_) => Ok(StepOutcome::via(
            Attempt::accepted("DM_TABLE_LOAD (error)")
                .with_detail(volume.path.display().to_string()),
        )
        .with_warning(format!(
            "{} is cut off from the drive and still held by programs; once they have ended, remove \
             what is left of it: dmsetup remove {}",
            volume.name,
            volume.path.display()
        ))),
        Err(errno) => {
            Err(errno::error(errno, volume.path.display().to_string(), "DM_TABLE_LOAD (error)"))
        }
    }
}

/// Shrinks an array that is in use, and waits until the kernel has marked its members as clean.
///
/// Nothing of its file system is within reach then, and the kernel does not write to the members any more.
fn force_close_array(
    volume: &Volume,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let shown = volume.path.display().to_string();
    let failed = |errno| errno::error(errno, &*shown, "md/array_size");
    let size = md::array_size(&volume.name).map_err(failed)?;
    let shorten = Request::Write { file: size.as_fd(), text: md::SHORTEST };
    helper.run(&shorten, deadline)?.map_err(failed)?;
    while !md::is_clean(&volume.name) {
        deadline.sleep(Duration::from_millis(50))?;
    }
    Ok(StepOutcome::via(Attempt::accepted("md/array_size").with_detail(&*shown)).with_warning(format!(
        "{} is cut off from the drive and still held by programs; once they have ended, stop what is left \
         of it: mdadm --stop {shown}",
        volume.name
    )))
}

/// Repeats the call for a moment while the level is in use.
fn retry_while_busy(
    deadline: &mut Deadline<'_>,
    mut call: impl FnMut(&mut Deadline<'_>) -> CallResult<()>,
) -> CallResult<()> {
    let end = deadline.now() + RETRY_TIME;
    loop {
        match call(deadline)? {
            Err(Errno::BUSY) if deadline.now() < end => {
                deadline.sleep(Duration::from_millis(20))?
            }
            answer => return Ok(answer),
        }
    }
}

fn dm_open_count(volume: &Volume, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<u32> {
    let control = control(volume)?;
    let request = Request::DmOpenCount { control: control.as_fd(), device: volume.device };
    let [count, ..] = helper
        .call(&request, deadline)?
        .map_err(|e| errno::error(e, volume.path.display().to_string(), "DM_DEV_STATUS"))?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

fn control(volume: &Volume) -> Result<OwnedFd> {
    dm_ioctl::control()
        .map_err(|e| errno::error(e, volume.path.display().to_string(), "/dev/mapper/control"))
}

/// Opens the level with a claim, and retries for a moment: a helper that is being forked for another drive has a
/// copy of every descriptor of this process.
fn open_excl(volume: &Volume, helper: &Helper, deadline: &mut Deadline<'_>) -> CallResult<Device> {
    let end = deadline.now() + CLAIM_RETRY_TIME;
    loop {
        match open(volume, OFlags::EXCL, helper, deadline)? {
            Err(Errno::BUSY) if deadline.now() < end => {
                deadline.sleep(Duration::from_millis(10))?
            }
            opened => return Ok(opened),
        }
    }
}

/// Returns the error for a level that is not taken down.
pub fn not_taken_down(volume: &Volume) -> Error {
    let below = volume.parents.first().map_or("the drive", String::as_str);
    let what = format!("lies on {below}, and is of a kind that unmoor does not take down");
    Error::new(ErrorKind::NotExclusive, volume.path.display().to_string(), what)
}

fn in_use(volume: &Volume) -> Error {
    Error::new(ErrorKind::Busy, volume.path.display().to_string(), "is in use")
        .with_os_code(Errno::BUSY.raw_os_error())
}
