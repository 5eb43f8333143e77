//! Tape drives (`/dev/st0`; st(4), Documentation/scsi/st.rst): character devices with a medium that no
//! file system is mounted from, and that one program at a time may have open.

use crate::deadline::Deadline;
use crate::model::blocker::BlockerScan;
use crate::model::drive::Drive;
use crate::model::drive::DriveId;
use crate::model::drive::DriveKind;
use crate::model::drive::Medium;
use crate::model::drive::Presence;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::step::Attempt;
use crate::model::volume::Mount;
use crate::model::volume::Volume;
use crate::model::volume::VolumeKind;
use crate::platform::Session;
use crate::platform::linux::inventory::port::Port;
use crate::platform::linux::release::eject::{load_methods, methods, perform};
use crate::platform::linux::sys::sg::{Command, ScsiResponse};
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use crate::platform::linux::sys::{errno, sg};
use crate::platform::linux::{blockers, helper};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::path::PathBuf;
use std::time::Duration;

/// Where the kernel lists its tapes.
const CLASS: &str = "/sys/class/scsi_tape";

/// The major number of tapes (Documentation/admin-guide/devices.txt).
const MAJOR: u32 = 9;

/// Major numbers of character devices and of block devices are numbers of different things.
const CHARACTER: u64 = 1 << 63;

/// One number for all the nodes of a tape (rewinding or not, four modes each), told apart from those of
/// block devices; `None` for what is no tape. As `TAPE_NR` in drivers/scsi/st.h.
pub fn number(major: u32, minor: u32) -> Option<u64> {
    let tape = (minor & !255) >> 3 | (minor & 31);
    (major == MAJOR).then(|| CHARACTER | u64::from(MAJOR) << 32 | u64::from(tape))
}

/// Is this the number of a tape.
pub fn is_tape(device: u64) -> bool {
    device & CHARACTER != 0
}

/// The name without what says how it is opened: `nst0m` is `st0`.
pub fn plain_name(name: &str) -> Option<&str> {
    let name = name.strip_prefix('n').unwrap_or(name);
    let name = name.trim_end_matches(['l', 'm', 'a']);
    let number = name.strip_prefix("st")?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

/// Where the tape stands in the device tree.
pub fn place(name: &str) -> std::result::Result<BlockDevice, Errno> {
    let disk_path =
        std::fs::canonicalize(PathBuf::from(CLASS).join(name)).map_err(|_| Errno::NODEV)?;
    Ok(BlockDevice { disk_path, disk: name.to_string(), partition: None })
}

/// The tape with this number.
pub fn by_number(device: u64) -> std::result::Result<BlockDevice, Errno> {
    let tape = device & 0xffff_ffff;
    place(&format!("st{tape}"))
}

/// Every tape drive.
pub fn all() -> Vec<BlockDevice> {
    let names = SysfsDir::open(CLASS).and_then(|node| node.names()).unwrap_or_default();
    let names = names.iter().filter(|name| plain_name(name) == Some(name.as_str()));
    names.filter_map(|name| place(name).ok()).collect()
}

/// Describes the tape at this place.
pub fn drive(place: &BlockDevice) -> std::result::Result<Drive, Errno> {
    let node = SysfsDir::open(&*place.disk_path)?;
    let name = place.disk.clone();
    let digits = name.strip_prefix("st").ok_or(Errno::NODEV)?;
    let tape: u64 = digits.parse().map_err(|_| Errno::NODEV)?;
    let device = CHARACTER | u64::from(MAJOR) << 32 | tape;
    let path = PathBuf::from(format!("/dev/{name}"));
    let word = |name: &str| node.child("device").ok()?.text(name);
    let medium = match open(&name).as_ref().map(test) {
        Ok(Presence::Present | Presence::Stopped) => Medium::Present,
        Ok(Presence::Absent) => Medium::Absent,
        // Somebody else has it open, or may open it.
        _ => Medium::Unknown,
    };
    let whole = Volume {
        name: name.clone(),
        path: path.clone(),
        device,
        kind: VolumeKind::Disk,
        parents: vec![name.clone()],
        other_members: Vec::new(),
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
        hotplug: place.bus() == crate::model::drive::Bus::Usb,
        read_only: false,
        medium,
        system_uses: Vec::new(),
        backing_file: None,
        siblings: Vec::new(),
        port: Port::of(place).map(|port| port.to_string()),
        volumes: if medium == Medium::Absent { Vec::new() } else { vec![whole] },
        name,
    })
}

/// Opens the node that does not rewind, without waiting for a tape. The driver lets in one at a time.
fn open(name: &str) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(CWD, format!("/dev/n{name}"), flags, Mode::empty())
}

fn test(tape: &OwnedFd) -> Presence {
    // The first answer after a change is a unit attention.
    for _ in 0..3 {
        match sg::send(tape.as_fd(), Command::TestUnitReady, Duration::from_secs(5)) {
            Ok(ScsiResponse::Good) => return Presence::Present,
            Ok(ScsiResponse::Check(sense)) if sense.no_medium() => return Presence::Absent,
            Ok(ScsiResponse::Check(sense)) if sense.stopped() => return Presence::Stopped,
            Ok(ScsiResponse::Check(sense)) if sense.transient() => {}
            Err(Errno::NODEV | Errno::NXIO) => return Presence::Gone,
            _ => return Presence::Unknown,
        }
    }
    Presence::Unknown
}

/// A tape drive that is bound; it is ours alone while it is open.
pub struct TapeSession {
    drive: Drive,
    node: SysfsDir,
    device: Option<OwnedFd>,
    /// Why it may not be opened by this user.
    denied: Option<Error>,
}

impl TapeSession {
    /// Binds the session. A tape that somebody else has open can be waited for.
    pub fn open(drive: &Drive) -> Result<Self> {
        let place = place(&drive.name).map_err(|_| gone(drive))?;
        let node = SysfsDir::open(&*place.disk_path).map_err(|_| gone(drive))?;
        let mut session = TapeSession { drive: drive.clone(), node, device: None, denied: None };
        match session.open_busy_checked() {
            Err(error) if error.kind() == ErrorKind::NotPermitted => session.denied = Some(error),
            Err(error) if error.kind() != ErrorKind::Busy => return Err(error),
            _ => {}
        }
        Ok(session)
    }

    fn open_busy_checked(&mut self) -> Result<()> {
        if self.device.is_some() {
            return Ok(());
        }
        match open(&self.drive.name) {
            Ok(device) => {
                self.device = Some(device);
                self.check()
            }
            Err(Errno::BUSY) => {
                Err(Error::new(ErrorKind::Busy, self.drive.path.display().to_string(), "is in use")
                    .with_os_code(Errno::BUSY.raw_os_error()))
            }
            Err(Errno::NODEV | Errno::NXIO | Errno::NOENT) => Err(gone(&self.drive)),
            Err(errno) => Err(errno::error(errno, &self.drive.name, "open")),
        }
    }

    /// WRITE FILEMARKS with a count of 0: everything in the drive's buffer goes to the tape (SSC-3 7.14).
    /// What a program wrote left the kernel's own buffer when it closed the tape.
    fn synchronize(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let Some(device) = &self.device else {
            return Ok(StepOutcome::skipped(
                "it is in use: the program that writes has not closed it yet",
            ));
        };
        let (command, time) = (Command::WriteFilemarks, deadline.remaining());
        let name = command.name();
        for _ in 0..3 {
            let sent = helper::run(
                deadline,
                |_| {},
                &[device.as_fd()],
                || sg::send(device.as_fd(), command, time).map(ScsiResponse::to_bytes),
            )?;
            let refused = match sent.map(ScsiResponse::from_bytes) {
                Ok(ScsiResponse::Good) => return Ok(StepOutcome::via(Attempt::accepted(name))),
                Ok(ScsiResponse::Check(sense)) if sense.transient() => continue,
                // No tape, a tape that cannot be written to, a drive without a buffer: nothing to lose.
                Ok(ScsiResponse::Check(sense))
                    if sense.no_medium() || sense.stopped() || matches!(sense.key, 0x5 | 0x7) =>
                {
                    sense.to_string()
                }
                Ok(ScsiResponse::Check(sense)) => {
                    let why = format!("data may be lost: the drive says: {sense}");
                    return Err(Error::new(ErrorKind::Unwritten, &self.drive.name, why)
                        .with_attempts(vec![Attempt::failed(name, sense.to_string())]));
                }
                Ok(ScsiResponse::Transport(..)) => "the command did not get through".into(),
                Err(Errno::NODEV | Errno::NXIO) => return Err(gone(&self.drive)),
                Err(errno) => errno.to_string(),
            };
            return Ok(StepOutcome::via(Attempt::failed(name, refused)));
        }
        Ok(StepOutcome::via(Attempt::failed(name, "the drive keeps reporting something else")))
    }
}

impl Session for TapeSession {
    fn refresh(&mut self) -> Result<Drive> {
        self.check()?;
        // It is described without being opened a second time: that would be refused.
        Ok(self.drive.clone())
    }

    fn check(&mut self) -> Result<()> {
        if let Some(error) = &self.denied {
            return Err(error.clone());
        }
        let expected = self.drive.id.device;
        let now = self.node.device().and_then(|device| {
            number(u32::try_from(device >> 32).ok()?, u32::try_from(device & 0xffff_ffff).ok()?)
        });
        match now {
            Some(now) if now == expected => Ok(()),
            _ => Err(gone(&self.drive)),
        }
    }

    fn flush(&mut self, _volume: &Volume, _wait: &mut Deadline<'_>) -> Result<StepOutcome> {
        Ok(StepOutcome::default())
    }

    fn flush_drive(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.synchronize(deadline)
    }

    fn try_lock(&mut self, _volume: &Volume, _wait: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.open_busy_checked()?;
        Ok(StepOutcome::via(
            Attempt::accepted("open").with_detail(format!("/dev/n{}", self.drive.name)),
        ))
    }

    fn unmount(
        &mut self,
        volume: &Volume,
        _mount: &Mount,
        _force: bool,
        _wait: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Err(Error::new(ErrorKind::NotSupported, &volume.name, "nothing is mounted from a tape"))
    }

    fn dismount(
        &mut self,
        _: &Volume,
        _force: bool,
        _wait: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("nothing is mounted from a tape"))
    }

    fn claim(&mut self, _force: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.open_busy_checked().map_err(|error| match error.kind() {
            ErrorKind::Busy => error.with_help("a tape that is open cannot be cut off: close it"),
            _ => error,
        })?;
        self.synchronize(deadline)
    }

    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        perform(&self.drive, Some(action), methods(&self.drive, action), &mut self.device, deadline)
    }

    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.open_busy_checked()?;
        perform(&self.drive, None, load_methods(&self.drive), &mut self.device, deadline)
    }

    fn presence(&mut self, _wait: &mut Deadline<'_>) -> Result<Presence> {
        if self.node.device().is_none() {
            return Ok(Presence::Gone);
        }
        Ok(self.device.as_ref().map_or(Presence::Unknown, test))
    }

    fn unlock(&mut self) -> Result<StepOutcome> {
        match self.device.take() {
            Some(_) => Ok(StepOutcome::via(Attempt::accepted("close"))),
            None => Ok(StepOutcome::skipped("nothing is locked")),
        }
    }

    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        blockers::scan(&self.drive, deadline)
    }
}

fn gone(drive: &Drive) -> Error {
    Error::new(ErrorKind::Gone, &drive.name, "the drive is gone: it was taken off its bus")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_tape_is_the_same_tape() {
        for name in ["st0", "nst0", "st0m", "nst0a"] {
            assert_eq!(plain_name(name), Some("st0"));
        }
        for name in ["st", "stick", "nst", "mst0", "sda"] {
            assert_eq!(plain_name(name), None, "{name}");
        }
        // st0, nst0, st0m, nst0a; then st1, and st32.
        let tape = |minor| number(9, minor).map(|n| n & 0xffff_ffff);
        assert_eq!([0, 128, 64, 224].map(tape), [Some(0); 4]);
        assert_eq!((tape(129), tape(256)), (Some(1), Some(32)));
        assert_eq!(number(8, 0), None);
        assert_ne!(number(9, 0), Some(9 << 32), "md0 is another thing");
    }
}
