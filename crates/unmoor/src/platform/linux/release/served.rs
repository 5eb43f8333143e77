//! Volumes that a program serves from the drive: disconnects them, and waits until the program has written.
//!
//! The kernel tells a FUSE server of the unmount; the server writes its memory and ends. So does a server of nbd that is
//! disconnected. None is signaled.

use crate::deadline::Deadline;
use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::helper::Helper;
use crate::platform::linux::helper::request::DeviceCall;
use crate::platform::linux::inventory::servers;
use crate::platform::linux::release::claim::OPEN_FLAGS;
use crate::platform::linux::sys::errno;
use crate::platform::linux::sys::sysfs::SysfsDir;
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::time::Duration;

/// Time for a server to write what it has in memory, and to close its files.
const SERVER_TIME: Duration = Duration::from_secs(20);

/// Time for an nbd device to be free after the request to disconnect.
const DISCONNECT_TIME: Duration = Duration::from_secs(3);

/// Interval between looks at a server.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Disconnects an unmounted volume, and waits until its servers have closed the drive.
///
/// # Errors
/// `Busy` if it is in use, or a server keeps the drive open; `Unwritten`.
pub fn remove_level(
    drive: &Drive,
    volume: &Volume,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let mut done = match volume.kind {
        VolumeKind::Nbd => disconnect(volume, helper, deadline)?,
        _ => StepOutcome::default(),
    };
    let closed = await_servers(drive, volume, deadline);
    done.attempts.push(closed.map_err(|error| error.with_attempts(done.attempts.clone()))?);
    Ok(done)
}

fn disconnect(
    volume: &Volume,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let shown = volume.path.display().to_string();
    if !is_connected(volume) {
        return Ok(StepOutcome::skipped(format!("{} is disconnected already", volume.name)));
    }
    let device = match helper.open(&volume.path, OPEN_FLAGS | OFlags::EXCL, deadline)? {
        Ok(device) => device,
        Err(Errno::BUSY) => return Err(Error::new(ErrorKind::Busy, &*shown, "is in use")),
        Err(errno) => return Err(errno::error(errno, &*shown, "open(O_EXCL)")),
    };
    let written = helper.device_call(device.as_fd(), DeviceCall::Fsync, deadline)?;
    written.map_err(|errno| errno::unwritten(errno, &*shown, "fsync"))?;
    drop(device);
    let mut done = StepOutcome::via(Attempt::accepted("fsync").with_detail(&*shown));
    for (call, name) in [
        (DeviceCall::DisconnectNbd, "NBD_DISCONNECT"),
        (DeviceCall::ClearNbdSocket, "NBD_CLEAR_SOCK"),
    ] {
        // The device is free after its last close.
        let answer = match helper.open(&volume.path, OPEN_FLAGS, deadline)? {
            Ok(device) => helper.device_call(device.as_fd(), call, deadline)?.map(drop),
            Err(errno) => Err(errno),
        };
        done.attempts.push(match answer {
            Ok(()) => Attempt::accepted(name).with_detail(&*shown),
            Err(errno) => Attempt::failed(name, errno.to_string()),
        });
        let end = deadline.now() + DISCONNECT_TIME;
        while is_connected(volume) && deadline.now() < end {
            deadline.sleep(POLL_INTERVAL)?;
        }
        if !is_connected(volume) {
            return Ok(done);
        }
    }
    Err(Error::new(ErrorKind::Busy, shown, "stays connected").with_attempts(done.attempts))
}

fn is_connected(volume: &Volume) -> bool {
    let node = SysfsDir::open(format!("/sys/block/{}", volume.name));
    node.is_ok_and(|node| node.text("pid").is_some())
}

/// Waits until no server of the volume has a file or a device of the drive open.
fn await_servers(drive: &Drive, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<Attempt> {
    let mounts: Vec<u64> = drive.volumes.iter().flat_map(|v| &v.mounts).map(|m| m.id).collect();
    let volumes = drive.volumes.iter().map(|v| v.device);
    let devices: Vec<u64> = volumes.chain([drive.id.device]).collect();
    let end = deadline.now() + SERVER_TIME;
    loop {
        let open = |pid: &&u32| servers::has_open(**pid, &mounts, &devices);
        let Some(pid) = volume.servers.iter().find(open) else {
            return Ok(Attempt::accepted("wait for its server").with_detail(&*volume.name));
        };
        if deadline.now() >= end {
            let why = format!("was served by process {pid}, which still has the drive open");
            return Err(Error::new(ErrorKind::Busy, volume.path.display().to_string(), why));
        }
        deadline.sleep(POLL_INTERVAL)?;
    }
}
