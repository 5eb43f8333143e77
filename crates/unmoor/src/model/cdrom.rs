//! Settings of an optical drive.

/// A setting of an optical drive.
///
/// Linux: an ioctl of `linux/cdrom.h` (Documentation/userspace-api/ioctl/cdrom.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CdromSetting {
    /// Locks the drive's button, or unlocks it (`CDROM_LOCKDOOR`). An eject unlocks it too.
    ButtonLocked(bool),
    /// Opens the tray when the last program closes the device (`CDO_AUTO_EJECT`).
    AutoEject(bool),
    /// Maximum speed, in multiples of the speed of an audio CD (`CDROM_SELECT_SPEED`); 0 is the highest.
    Speed(u32),
    /// Slot of a changer (`CDROM_SELECT_DISC`).
    Slot(u32),
}
