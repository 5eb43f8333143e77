//! Methods that eject, stop, detach, power off or load each kind of drive, and the meaning of a refusal.

use crate::deadline::Deadline;
use crate::model::drive::{Bus, Drive, DriveKind};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::model::report::StepOutcome;
use crate::model::step::{Action, Attempt};
use crate::platform::linux::helper::Device;
use crate::platform::linux::helper::request::{DeviceCall, Request};
use crate::platform::linux::helper::{CallResult, Helper};
use crate::platform::linux::inventory::port::Port;
use crate::platform::linux::sys::mtio::Operation;
use crate::platform::linux::sys::sg::{Command, ScsiResponse};
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use crate::platform::linux::sys::{device_number, scsi_tape};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Access, CWD, Mode, OFlags, access, openat};
use rustix::io::Errno;
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for another program that has the drive open, such as udev's probe of a new medium.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// Interval between two attempts meanwhile.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// One way to make a drive carry out an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `CDROM_LOCKDOOR` with 0.
    UnlockDoor,
    /// `CDROMEJECT`
    CdromEject,
    /// `CDROMCLOSETRAY`
    CloseTray,
    /// A SCSI command.
    Scsi(Command),
    /// `MTIOCTOP`
    Tape(Operation),
    /// `LOOP_CLR_FD`
    LoopDetach,
    /// `NBD_DISCONNECT`
    NbdDisconnect,
    /// `NBD_CLEAR_SOCK`
    NbdClearSocket,
    /// A write to sysfs that removes the device from its bus.
    SysfsRemove,
}

impl Method {
    /// Returns its name, as it is reported.
    pub fn name(self, drive: &Drive) -> String {
        match self {
            Method::UnlockDoor => "CDROM_LOCKDOOR (unlock)".into(),
            Method::CdromEject => "CDROMEJECT".into(),
            Method::CloseTray => "CDROMCLOSETRAY".into(),
            // LOAD UNLOAD (SSC-3 7.2) has the bits of a stop.
            Method::Scsi(Command::Stop) if drive.kind == DriveKind::Tape => {
                "LOAD UNLOAD (unload)".into()
            }
            Method::Scsi(command) => command.name().into(),
            Method::Tape(operation) => operation.name().into(),
            Method::LoopDetach => "LOOP_CLR_FD".into(),
            Method::NbdDisconnect => "NBD_DISCONNECT".into(),
            Method::NbdClearSocket => "NBD_CLEAR_SOCK".into(),
            Method::SysfsRemove => match removal(drive) {
                Some((file, text)) => format!("write {text} to {}", file.display()),
                None => "sysfs remove".into(),
            },
        }
    }

    /// Returns the call that takes the device alone, if the method is one.
    fn device_call(self) -> Option<DeviceCall> {
        Some(match self {
            Method::UnlockDoor => DeviceCall::UnlockDoor,
            Method::CdromEject => DeviceCall::OpenTray,
            Method::CloseTray => DeviceCall::CloseTray,
            Method::LoopDetach => DeviceCall::DetachLoop,
            Method::NbdDisconnect => DeviceCall::DisconnectNbd,
            Method::NbdClearSocket => DeviceCall::ClearNbdSocket,
            Method::Tape(Operation::Offline) => DeviceCall::TapeOffline,
            Method::Tape(Operation::Unlock) => DeviceCall::TapeUnlock,
            Method::Tape(Operation::Load) => DeviceCall::TapeLoad,
            Method::Scsi(_) | Method::SysfsRemove => return None,
        })
    }

    /// Returns true if the next method is tried even after a refusal of this one.
    ///
    /// Many USB bridges do not know ALLOW MEDIUM REMOVAL and eject anyway (util-linux `eject` has ignored that
    /// since 2008). Some refuse SYNCHRONIZE CACHE because they have no cache.
    fn is_preparatory(self, action: Action) -> bool {
        match self {
            // The message to the server is a courtesy; the socket keeps the device.
            Method::UnlockDoor | Method::NbdDisconnect | Method::Tape(Operation::Unlock) => true,
            Method::Scsi(Command::AllowMediumRemoval | Command::SynchronizeCache) => true,
            Method::Scsi(Command::Stop) => action == Action::PowerOff,
            _ => false,
        }
    }
}

/// Returns the methods for this action, in order.
///
/// Preparations come first, then one method after the other is tried until one is accepted.
pub fn methods(drive: &Drive, action: Action) -> &'static [Method] {
    use Command::{AllowMediumRemoval, Eject, Stop, SynchronizeCache};
    use Method::{
        CdromEject, LoopDetach, NbdClearSocket, NbdDisconnect, Scsi, SysfsRemove, Tape, UnlockDoor,
    };
    match (action, drive.kind) {
        (Action::Eject, DriveKind::Optical) => {
            &[UnlockDoor, CdromEject, Scsi(AllowMediumRemoval), Scsi(Eject)]
        }
        (Action::Eject, DriveKind::Tape) => &[
            Tape(Operation::Unlock),
            Tape(Operation::Offline),
            Scsi(AllowMediumRemoval),
            Scsi(Stop),
        ],
        (Action::Eject, DriveKind::Card | DriveKind::Floppy) => &[],
        (Action::Eject, _) => &[Scsi(AllowMediumRemoval), Scsi(Eject), CdromEject],
        (Action::Stop, _) if !drive.hotplug => &[],
        (Action::Stop, _) => &[Scsi(SynchronizeCache), Scsi(Stop)],
        (Action::Detach, DriveKind::Loop) => &[LoopDetach],
        (Action::Detach, DriveKind::Network) => &[NbdDisconnect, NbdClearSocket],
        // Its driver flushes and shuts it down when it is removed (NVMe 1.4, 7.6.2).
        (Action::PowerOff, _) if matches!(drive.bus, Bus::Nvme | Bus::Thunderbolt) => {
            &[SysfsRemove]
        }
        (Action::PowerOff, DriveKind::Disk | DriveKind::Optical) => {
            &[Scsi(SynchronizeCache), Scsi(Stop), SysfsRemove]
        }
        (Action::PowerOff, _) => &[SysfsRemove],
        _ => &[],
    }
}

/// Returns the methods that load a medium, in order.
pub fn load_methods(drive: &Drive) -> &'static [Method] {
    match drive.kind {
        DriveKind::Optical => &[Method::CloseTray, Method::Scsi(Command::Load)],
        DriveKind::Disk => &[Method::Scsi(Command::Load)],
        DriveKind::Tape => &[Method::Tape(Operation::Load)],
        _ => &[],
    }
}

/// Tries the methods. The drive is closed where the kernel requires it.
///
/// # Errors
/// `NotSupported` if the drive knows none of them, else the error of the last one; with every attempt.
pub fn perform(
    drive: &Drive,
    action: Option<Action>,
    methods: &[Method],
    device: &mut Option<Device>,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<StepOutcome> {
    let mut done = StepOutcome::default();
    let (mut refusal, mut locked) = (None, None);
    for &method in methods {
        let name = method.name(drive);
        match attempt(drive, method, device, helper, deadline)? {
            Ok(()) => {
                done.attempts.push(Attempt::accepted(name));
                if !action.is_some_and(|action| method.is_preparatory(action)) {
                    return Ok(done);
                }
            }
            Err(refused) => {
                done.attempts.push(Attempt::failed(name, refused.words.clone()));
                // The command did not reach the drive, so its effect on the next one is missing.
                let not_sent = matches!(method, Method::Scsi(_)) && drive.kind == DriveKind::Disk;
                let not_permitted = refused.kind == ErrorKind::NotPermitted && not_sent;
                if refused.kind == ErrorKind::Unwritten || not_permitted {
                    return Err(refused.error(drive, action).with_attempts(done.attempts));
                }
                if method == Method::UnlockDoor && refused.kind == ErrorKind::Busy {
                    let words = "its door is locked, and another program has the drive open".into();
                    locked = Some(MethodError { words, ..refused });
                } else if !action.is_some_and(|action| method.is_preparatory(action)) {
                    refusal = Some(refused);
                }
            }
        }
    }
    let refused = locked.or(refusal).unwrap_or_else(|| MethodError {
        kind: ErrorKind::NotSupported,
        words: "no method is known for it".into(),
        code: None,
    });
    // A disk without a command to stop has no motor.
    if action == Some(Action::Stop) && refused.kind == ErrorKind::NotSupported {
        let attempts = done.attempts;
        return Ok(StepOutcome {
            attempts,
            ..StepOutcome::skipped(
                "the drive knows no command to stop; it was flushed and dismounted",
            )
        });
    }
    Err(refused.error(drive, action).with_attempts(done.attempts))
}

/// A method that was not accepted.
struct MethodError {
    kind: ErrorKind,
    words: String,
    code: Option<i32>,
}

impl MethodError {
    /// `action` is `None` for loading a medium.
    fn error(self, drive: &Drive, action: Option<Action>) -> Error {
        let error = match self.kind {
            ErrorKind::NotSupported if action.is_none() => Error::new(
                self.kind,
                &drive.name,
                format!("has no motor to load a medium: {}", self.words),
            )
            .with_help("put the medium in by hand"),
            ErrorKind::NotSupported => Error::new(
                self.kind,
                &drive.name,
                format!("flushed and dismounted, but it knows no such command: {}", self.words),
            )
            .with_hint(Hint::RemoveByHandOrPowerOff),
            ErrorKind::NotPermitted => {
                Error::new(self.kind, &drive.name, self.words).with_hint(Hint::Elevate)
            }
            kind => Error::new(kind, &drive.name, self.words),
        };
        match self.code {
            Some(code) => error.with_os_code(code),
            None => error,
        }
    }

    fn errno(errno: Errno) -> MethodError {
        let kind = match crate::platform::linux::sys::errno::kind(errno) {
            // ENXIO and ENODEV here: the driver behind the device has no such thing.
            ErrorKind::Gone => ErrorKind::Failed,
            kind => kind,
        };
        MethodError { kind, words: errno.to_string(), code: Some(errno.raw_os_error()) }
    }

    fn answer(command: Command, answer: ScsiResponse) -> Option<MethodError> {
        let (kind, words) = match answer {
            ScsiResponse::Good => return None,
            // There is no medium to eject any more.
            ScsiResponse::Check(sense) if sense.no_medium() => return None,
            // The cache could not be written (SBC-3 5.18).
            ScsiResponse::Check(sense)
                if command == Command::SynchronizeCache && matches!(sense.key, 0x3 | 0x4) =>
            {
                (ErrorKind::Unwritten, format!("data may be lost: {sense}"))
            }
            ScsiResponse::Check(sense) if sense.removal_prevented() => {
                (ErrorKind::Busy, format!("the drive says: {sense}"))
            }
            ScsiResponse::Check(sense) if sense.unknown_command() => {
                (ErrorKind::NotSupported, format!("the drive says: {sense}"))
            }
            ScsiResponse::Check(sense) => (ErrorKind::Failed, format!("the drive says: {sense}")),
            ScsiResponse::Transport(status, host, driver) => (
                ErrorKind::Failed,
                format!(
                    "the command did not get through \
                     (SCSI status {status:02X}h, host {host:02X}h, driver {driver:02X}h)"
                ),
            ),
        };
        Some(MethodError { kind, words, code: None })
    }
}

fn attempt(
    drive: &Drive,
    method: Method,
    device: &mut Option<Device>,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<Result<(), MethodError>> {
    let gone = || Error::new(ErrorKind::Gone, &drive.name, "is not open any more");
    let result = {
        let fd = device.as_ref().ok_or_else(gone)?.as_fd();
        match (method, method.device_call()) {
            (Method::Scsi(command), _) => return scsi(fd, command, helper, deadline),
            (Method::UnlockDoor, _) => unlock_door(fd, helper, deadline)?,
            (_, Some(call)) => helper.device_call(fd, call, deadline)?.map(drop),
            (_, None) => remove(drive, helper, deadline)?,
        }
    };
    match (method, result) {
        // The loop driver detaches at the last close. ENXIO: it is detached already.
        (Method::LoopDetach, Ok(()) | Err(Errno::NXIO)) => {
            *device = None;
            Ok(Ok(()))
        }
        // The device is free after the last close.
        (Method::NbdClearSocket, Ok(())) => {
            *device = None;
            Ok(Ok(()))
        }
        (_, Ok(())) => Ok(Ok(())),
        (_, Err(errno)) => Ok(Err(MethodError::errno(errno))),
    }
}

/// Unlocks the door, once no other program has the drive open.
///
/// udev opens a drive with a new medium, and locks its door. Until udev closes the drive, the kernel lets root alone
/// unlock the door.
fn unlock_door(fd: BorrowedFd<'_>, helper: &Helper, deadline: &mut Deadline<'_>) -> CallResult<()> {
    let mut waited = Duration::ZERO;
    loop {
        let unlocked = helper.device_call(fd, DeviceCall::UnlockDoor, deadline)?;
        if unlocked != Err(Errno::BUSY) || waited >= PROBE_TIME {
            return Ok(unlocked.map(drop));
        }
        deadline.sleep(PROBE_INTERVAL)?;
        waited += PROBE_INTERVAL;
    }
}

/// Sends SYNCHRONIZE CACHE to a drive whose cache the kernel does not know.
///
/// `fsync` on the device does so too, but only where the kernel knows of the cache
/// (Documentation/block/writeback_cache_control.rst), and many USB bridges do not report it. `None` if the command
/// is not needed, or does not get to the drive.
///
/// # Errors
/// `Unwritten` if the drive reports that it could not write. Other errors are only noted: a drive without a cache
/// need not know the command.
pub fn synchronize(
    drive: &Drive,
    node: &SysfsDir,
    fd: BorrowedFd<'_>,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<Option<Attempt>> {
    let known = node.text("queue/write_cache").is_some_and(|cache| cache == "write back");
    if known || drive.kind != DriveKind::Disk {
        return Ok(None);
    }
    let name = Command::SynchronizeCache.name();
    match scsi(fd, Command::SynchronizeCache, helper, deadline)? {
        Ok(()) => Ok(Some(Attempt::accepted(name))),
        Err(refused) if refused.kind == ErrorKind::Unwritten => {
            let attempts = vec![Attempt::failed(name, refused.words.clone())];
            Err(refused.error(drive, None).with_attempts(attempts))
        }
        // No SCSI device at all.
        Err(refused) if refused.code.is_some() => Ok(None),
        Err(refused) => Ok(Some(Attempt::failed(name, refused.words))),
    }
}

/// Sends a command, and repeats it after "unit attention" and "becoming ready".
fn scsi(
    fd: BorrowedFd<'_>,
    command: Command,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<Result<(), MethodError>> {
    let mut again = 3;
    loop {
        let timeout = deadline.remaining();
        let answer = match helper.scsi(fd, command, timeout, deadline)? {
            Ok(answer) => answer,
            Err(errno) => return Ok(Err(MethodError::errno(errno))),
        };
        match answer {
            ScsiResponse::Check(sense) if sense.transient() && again > 0 => again -= 1,
            answer => {
                if answer == ScsiResponse::Good
                    && command == Command::Eject
                    && is_empty(fd, helper, deadline)?
                {
                    // Makes the kernel notice that the medium and its partitions are gone.
                    helper.device_call(fd, DeviceCall::RereadPartitions, deadline)?.ok();
                }
                return Ok(MethodError::answer(command, answer).map_or(Ok(()), Err));
            }
        }
    }
}

/// Returns true if the drive reports that it has no medium.
///
/// A drive that has only stopped would be started again by a read of its partitions (`sd_spinup_disk` of the
/// kernel's `sd.c`).
fn is_empty(fd: BorrowedFd<'_>, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<bool> {
    for _ in 0..4 {
        let timeout = deadline.remaining();
        match helper.scsi(fd, Command::TestUnitReady, timeout, deadline)? {
            Ok(ScsiResponse::Check(sense)) if sense.transient() => {}
            answer => {
                return Ok(matches!(answer, Ok(ScsiResponse::Check(sense)) if sense.no_medium()));
            }
        }
    }
    Ok(false)
}

/// Returns the file of the port that removes the device from its bus, and the text to write.
fn removal(drive: &Drive) -> Option<(PathBuf, &'static str)> {
    let place = match device_number::is_tape(drive.id.device) {
        true => scsi_tape::by_number(drive.id.device),
        false => BlockDevice::of(drive.id.device),
    };
    Port::of(&place.ok()?)?.removal()
}

/// Checks that this user may take the device off its bus.
///
/// # Errors
/// `NotPermitted`; `Failed` if sysfs is read-only. A bus without such a file is no error here.
pub fn check_removal(drive: &Drive) -> Result<()> {
    let Some((file, _)) = removal(drive) else { return Ok(()) };
    match access(&file, Access::WRITE_OK) {
        Err(Errno::ROFS) => {
            let why = format!("it cannot be powered off: {}: {}", file.display(), Errno::ROFS);
            Err(Error::new(ErrorKind::Failed, &drive.name, why))
        }
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
            let why = format!("this user may not power it off: {}: {errno}", file.display());
            Err(Error::new(ErrorKind::NotPermitted, &drive.name, why).with_hint(Hint::Elevate))
        }
        _ => Ok(()),
    }
}

fn remove(drive: &Drive, helper: &Helper, deadline: &mut Deadline<'_>) -> CallResult<()> {
    let Some((file, text)) = removal(drive) else { return Ok(Err(Errno::OPNOTSUPP)) };
    let file = match openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(errno) => return Ok(Err(errno)),
    };
    helper.run(&Request::Write { file: file.as_fd(), text: text.as_bytes() }, deadline)
}
