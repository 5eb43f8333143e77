//! File system controls of a volume: lock, dismount, unlock, offline.
//!
//! Win32: pages of `FSCTL_LOCK_VOLUME`, `FSCTL_UNLOCK_VOLUME`,
//! `FSCTL_DISMOUNT_VOLUME`, `IOCTL_VOLUME_OFFLINE` and `IOCTL_VOLUME_ONLINE`.

use crate::platform::win32_parse::Code;
use crate::platform::windows::sys::device::Device;
use windows_sys::Win32::Storage::FileSystem::{IOCTL_VOLUME_OFFLINE, IOCTL_VOLUME_ONLINE};
use windows_sys::Win32::System::Ioctl::{
    FSCTL_DISMOUNT_VOLUME, FSCTL_IS_VOLUME_MOUNTED, FSCTL_LOCK_VOLUME, FSCTL_UNLOCK_VOLUME,
};

/// `FSCTL_LOCK_VOLUME`: fails while a file is open. It may take seconds: programs registered for
/// `GUID_IO_VOLUME_LOCK` are notified first, and the volume is flushed.
pub(crate) fn lock(volume: &Device) -> Result<(), Code> {
    volume.ioctl_in(FSCTL_LOCK_VOLUME, &[])
}

/// `FSCTL_UNLOCK_VOLUME`. Afterwards opening any file mounts the volume again.
pub(crate) fn unlock(volume: &Device) -> Result<(), Code> {
    volume.ioctl_in(FSCTL_UNLOCK_VOLUME, &[])
}

/// `FSCTL_DISMOUNT_VOLUME`: also without a lock, and then every open handle answers ERROR_NOT_READY.
pub(crate) fn dismount(volume: &Device) -> Result<(), Code> {
    volume.ioctl_in(FSCTL_DISMOUNT_VOLUME, &[])
}

/// `FSCTL_IS_VOLUME_MOUNTED`: returns true if the file system that the handle was opened on is mounted.
pub(crate) fn is_mounted(volume: &Device) -> bool {
    volume.ioctl_in(FSCTL_IS_VOLUME_MOUNTED, &[]).is_ok()
}

/// `IOCTL_VOLUME_OFFLINE`: the volume stays unusable until it is taken online or plugged in again.
pub(crate) fn offline(volume: &Device) -> Result<(), Code> {
    volume.ioctl_in(IOCTL_VOLUME_OFFLINE, &[])
}

/// `IOCTL_VOLUME_ONLINE`.
pub(crate) fn online(volume: &Device) -> Result<(), Code> {
    volume.ioctl_in(IOCTL_VOLUME_ONLINE, &[])
}
