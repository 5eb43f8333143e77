//! A tape drive, opened and bound: one program at a time may have it open.

use crate::deadline::Deadline;
use crate::model::blocker::BlockerScan;
use crate::model::drive::{Drive, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::{Action, Attempt};
use crate::model::volume::{Mount, Volume};
use crate::platform::Session;
use crate::platform::linux::blockers;
use crate::platform::linux::helper::Device;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::inventory::tape;
use crate::platform::linux::release::eject::{load_methods, methods, perform};
use crate::platform::linux::sys::sg::{Command, ScsiResponse};
use crate::platform::linux::sys::sysfs::SysfsDir;
use crate::platform::linux::sys::{device_number, errno, scsi_tape};
use rustix::fd::AsFd;
use rustix::io::Errno;

/// A bound tape drive. No other program can open it while it is open here.
pub struct TapeSession {
    drive: Drive,
    node: SysfsDir,
    device: Option<Device>,
    helper: Helper,
    /// Error of an open that this user is not permitted.
    denied: Option<Error>,
}

impl TapeSession {
    /// Binds the session, also to a tape that another program has open.
    ///
    /// # Errors
    /// `TimedOut` if the drive does not answer; `Gone`.
    pub fn open(drive: &Drive, helper: Helper, deadline: &mut Deadline<'_>) -> Result<Self> {
        let place = scsi_tape::place(&drive.name).map_err(|_| gone(drive))?;
        let node = SysfsDir::open(&*place.disk_path).map_err(|_| gone(drive))?;
        let drive = drive.clone();
        let mut session = TapeSession { drive, node, device: None, helper, denied: None };
        match session.open_busy_checked(deadline) {
            Err(error) if error.kind() == ErrorKind::NotPermitted => session.denied = Some(error),
            Err(error) if error.kind() != ErrorKind::Busy => return Err(error),
            _ => {}
        }
        Ok(session)
    }

    fn open_busy_checked(&mut self, deadline: &mut Deadline<'_>) -> Result<()> {
        if self.device.is_some() {
            return Ok(());
        }
        match tape::open(&self.drive.name, &self.helper, deadline)? {
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

    /// Writes the drive's buffer to the tape: WRITE FILEMARKS with a count of 0 (SSC-3 7.14).
    ///
    /// The kernel's own buffer was written when the program closed the tape.
    fn synchronize(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let Some(device) = &self.device else {
            return Ok(StepOutcome::skipped(
                "it is in use: the program that writes has not closed it yet",
            ));
        };
        let (command, time) = (Command::WriteFilemarks, deadline.remaining());
        let name = command.name();
        for _ in 0..3 {
            let refused = match self.helper.scsi(device.as_fd(), command, time, deadline)? {
                Ok(ScsiResponse::Good) => return Ok(StepOutcome::via(Attempt::accepted(name))),
                Ok(ScsiResponse::Check(sense)) if sense.transient() => continue,
                // No tape, a read-only tape, or a drive without a buffer: there is nothing to lose.
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
        // The driver would refuse a second open.
        Ok(self.drive.clone())
    }

    fn check(&mut self) -> Result<()> {
        if let Some(error) = &self.denied {
            return Err(error.clone());
        }
        let expected = self.drive.id.device;
        let now = self.node.device().and_then(|device| {
            device_number::of_tape(
                u32::try_from(device >> 32).ok()?,
                u32::try_from(device & 0xffff_ffff).ok()?,
            )
        });
        match now {
            Some(now) if now == expected => Ok(()),
            _ => Err(gone(&self.drive)),
        }
    }

    fn flush(&mut self, _volume: &Volume, _deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        Ok(StepOutcome::default())
    }

    fn flush_drive(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.synchronize(deadline)
    }

    fn try_lock(&mut self, _volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.open_busy_checked(deadline)?;
        Ok(StepOutcome::via(
            Attempt::accepted("open").with_detail(format!("/dev/n{}", self.drive.name)),
        ))
    }

    fn unmount(
        &mut self,
        volume: &Volume,
        _mount: &Mount,
        _force: bool,
        _deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Err(Error::new(ErrorKind::NotSupported, &volume.name, "nothing is mounted from a tape"))
    }

    fn dismount(
        &mut self,
        _: &Volume,
        _force: bool,
        _deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("nothing is mounted from a tape"))
    }

    fn claim(&mut self, _force: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.open_busy_checked(deadline).map_err(|error| match error.kind() {
            ErrorKind::Busy => error.with_help("a tape that is open cannot be cut off: close it"),
            _ => error,
        })?;
        self.synchronize(deadline)
    }

    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let methods = methods(&self.drive, action);
        perform(&self.drive, Some(action), methods, &mut self.device, &self.helper, deadline)
    }

    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.open_busy_checked(deadline)?;
        let methods = load_methods(&self.drive);
        perform(&self.drive, None, methods, &mut self.device, &self.helper, deadline)
    }

    fn presence(&mut self, deadline: &mut Deadline<'_>) -> Result<Presence> {
        if self.node.device().is_none() {
            return Ok(Presence::Gone);
        }
        match &self.device {
            Some(device) => tape::presence(device, &self.helper, deadline),
            None => Ok(Presence::Unknown),
        }
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
