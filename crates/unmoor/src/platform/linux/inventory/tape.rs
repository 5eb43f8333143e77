//! Tape drives (`/dev/st0`; st(4), Documentation/scsi/st.rst): character devices with a medium that no file
//! system is mounted from, and that one program at a time may have open.

use crate::deadline::Deadline;
use crate::model::drive::{Bus, Drive, DriveId, DriveKind, Medium, Presence};
use crate::model::error::Result;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::helper::Device;
use crate::platform::linux::helper::{CallResult, Helper};
use crate::platform::linux::inventory::port::Port;
use crate::platform::linux::sys::clock::within;
use crate::platform::linux::sys::device_number;
use crate::platform::linux::sys::sg::{Command, ScsiResponse};
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::path::PathBuf;
use std::time::Duration;

/// Timeout for the answer of a tape drive that is described.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of a single TEST UNIT READY.
const TEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Describes the tape at this place.
pub fn drive(place: &BlockDevice, helper: &Helper) -> std::result::Result<Drive, Errno> {
    let node = SysfsDir::open(&*place.disk_path)?;
    let name = place.disk.clone();
    let digits = name.strip_prefix("st").ok_or(Errno::NODEV)?;
    let device = device_number::tape_number(digits.parse().map_err(|_| Errno::NODEV)?);
    let path = PathBuf::from(format!("/dev/{name}"));
    let word = |name: &str| node.child("device").ok()?.text(name);
    let presence = within(PROBE_TIMEOUT, |deadline| match open(&name, helper, deadline)? {
        Ok(tape) => presence(&tape, helper, deadline),
        Err(_) => Ok(Presence::Unknown),
    });
    let medium = match presence {
        Ok(Presence::Present | Presence::Stopped) => Medium::Present,
        Ok(Presence::Absent) => Medium::Absent,
        // Another program has it open, or this user may not open it, or it does not answer.
        _ => Medium::Unknown,
    };
    let whole = Volume {
        name: name.clone(),
        path: path.clone(),
        device,
        generation: 0,
        kind: VolumeKind::Disk,
        parents: vec![name.clone()],
        other_members: Vec::new(),
        servers: Vec::new(),
        swaps: Vec::new(),
        label: None,
        uuid: None,
        file_system: None,
        size: None,
        read_only: false,
        unwritten: None,
        mounts: Vec::new(),
    };
    Ok(Drive {
        id: DriveId { device, generation: 0 },
        path,
        kind: DriveKind::Tape,
        bus: place.bus(),
        vendor: word("vendor"),
        model: word("model"),
        serial: None,
        size: None,
        removable: true,
        hotplug: place.bus() == Bus::Usb,
        read_only: false,
        medium,
        system_uses: Vec::new(),
        backing_file: None,
        siblings: Vec::new(),
        port: Port::of(place).map(|port| port.to_string()),
        selection: None,
        volumes: if medium == Medium::Absent { Vec::new() } else { vec![whole] },
        name,
    })
}

/// Opens the node that does not rewind, without waiting for a tape. The driver lets in one at a time.
///
/// # Errors
/// `TimedOut`; `Interrupted`.
pub fn open(name: &str, helper: &Helper, deadline: &mut Deadline<'_>) -> CallResult<Device> {
    let path = PathBuf::from(format!("/dev/n{name}"));
    helper.open(&path, OFlags::RDONLY | OFlags::NONBLOCK, deadline)
}

/// Asks the drive for its tape (TEST UNIT READY).
///
/// # Errors
/// `TimedOut`; `Interrupted`.
pub fn presence(tape: &Device, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<Presence> {
    // The first answer after a change is a unit attention.
    for _ in 0..3 {
        match helper.scsi(tape.as_fd(), Command::TestUnitReady, TEST_TIMEOUT, deadline)? {
            Ok(ScsiResponse::Good) => return Ok(Presence::Present),
            Ok(ScsiResponse::Check(sense)) if sense.no_medium() => return Ok(Presence::Absent),
            Ok(ScsiResponse::Check(sense)) if sense.stopped() => return Ok(Presence::Stopped),
            Ok(ScsiResponse::Check(sense)) if sense.transient() => {}
            Err(Errno::NODEV | Errno::NXIO) => return Ok(Presence::Gone),
            _ => return Ok(Presence::Unknown),
        }
    }
    Ok(Presence::Unknown)
}
