//! The CD-ROM ioctls (`linux/cdrom.h`, Documentation/userspace-api/ioctl/cdrom.rst).

use crate::model::cdrom::CdromSetting;
use crate::platform::linux::sys::ioctl;
use rustix::fd::AsFd;
use rustix::io::Errno;

const CDROMEJECT: ioctl::Request = 0x5309;
const CDROMCLOSETRAY: ioctl::Request = 0x5319;
const CDROM_SET_OPTIONS: ioctl::Request = 0x5320;
const CDROM_CLEAR_OPTIONS: ioctl::Request = 0x5321;
const CDROM_SELECT_SPEED: ioctl::Request = 0x5322;
const CDROM_SELECT_DISC: ioctl::Request = 0x5323;
const CDROM_DRIVE_STATUS: ioctl::Request = 0x5326;
const CDROM_LOCKDOOR: ioctl::Request = 0x5329;
/// "The slot that is current now", for drives without a changer.
const CDSL_CURRENT: usize = 0x7fff_ffff;

/// `CDO_AUTO_EJECT`
const AUTO_EJECT: usize = 2;

/// Answer of `CDROM_DRIVE_STATUS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveStatus {
    /// `CDS_NO_INFO`: the drive does not tell.
    NoInfo,
    /// `CDS_NO_DISC`
    NoDisc,
    /// `CDS_TRAY_OPEN`
    TrayOpen,
    /// `CDS_DRIVE_NOT_READY`: it spins up, or it is confused.
    NotReady,
    /// `CDS_DISC_OK`
    DiscOk,
}

/// `CDROM_DRIVE_STATUS`: asks the drive, not the kernel's memory of it.
pub fn drive_status(device: impl AsFd) -> Result<DriveStatus, Errno> {
    let number = call(device, CDROM_DRIVE_STATUS, CDSL_CURRENT)?;
    Ok(DriveStatus::from_number(u8::try_from(number).unwrap_or(0)))
}

impl DriveStatus {
    /// From the kernel's number.
    pub fn from_number(number: u8) -> DriveStatus {
        match number {
            1 => DriveStatus::NoDisc,
            2 => DriveStatus::TrayOpen,
            3 => DriveStatus::NotReady,
            4 => DriveStatus::DiscOk,
            _ => DriveStatus::NoInfo,
        }
    }

    /// The kernel's number.
    pub fn number(self) -> u8 {
        match self {
            DriveStatus::NoInfo => 0,
            DriveStatus::NoDisc => 1,
            DriveStatus::TrayOpen => 2,
            DriveStatus::NotReady => 3,
            DriveStatus::DiscOk => 4,
        }
    }
}

/// `CDROM_LOCKDOOR`: unlocks the drive's door, or locks it.
///
/// The kernel allows unlocking to other users only while no other process has the drive open.
pub fn lock_door(device: impl AsFd, locked: bool) -> Result<(), Errno> {
    accepted(call(device, CDROM_LOCKDOOR, locked.into()))
}

/// `CDROMEJECT`: opens the tray.
///
/// # Errors
/// `EIO` if the drive refuses it, as with a locked door.
pub fn eject(device: impl AsFd) -> Result<(), Errno> {
    accepted(call(device, CDROMEJECT, 0))
}

/// `CDROMCLOSETRAY`: closes the tray.
///
/// # Errors
/// `EIO` if the drive refuses it.
pub fn close_tray(device: impl AsFd) -> Result<(), Errno> {
    accepted(call(device, CDROMCLOSETRAY, 0))
}

/// Returns `EIO` for a command that the drive has refused.
///
/// The kernel returns the SCSI status then, which is above 0 (`ioctl_internal_command` in drivers/scsi/scsi_ioctl.c).
fn accepted(answer: Result<i32, Errno>) -> Result<(), Errno> {
    match answer? {
        0 => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// Changes a setting.
pub fn set(device: impl AsFd, setting: CdromSetting) -> Result<(), Errno> {
    let number = |number: u32| usize::try_from(number).map_err(|_| Errno::INVAL);
    let (request, argument) = match setting {
        CdromSetting::ButtonLocked(locked) => return lock_door(device, locked),
        CdromSetting::AutoEject(true) => (CDROM_SET_OPTIONS, AUTO_EJECT),
        CdromSetting::AutoEject(false) => (CDROM_CLEAR_OPTIONS, AUTO_EJECT),
        CdromSetting::Speed(speed) => (CDROM_SELECT_SPEED, number(speed)?),
        CdromSetting::Slot(slot) => (CDROM_SELECT_DISC, number(slot)?),
    };
    call(device, request, argument).map(drop)
}

fn call(device: impl AsFd, request: ioctl::Request, argument: usize) -> Result<i32, Errno> {
    // SAFETY: the requests of this file take a number, not a pointer.
    unsafe { ioctl::with_number(device, request, argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scsi_status_above_0_is_a_refusal() {
        assert_eq!(accepted(Ok(0)), Ok(()));
        // CHECK CONDITION, BUSY, RESERVATION CONFLICT (SAM-5 5.3.1).
        for status in [0x02, 0x08, 0x18] {
            assert_eq!(accepted(Ok(status)), Err(Errno::IO), "{status:#x}");
        }
        assert_eq!(accepted(Err(Errno::BUSY)), Err(Errno::BUSY));
    }
}
