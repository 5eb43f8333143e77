//! The storage stack's controls: what a device says of itself, its medium, its tray.
//!
//! Made from `winioctl.h` and the Win32 documentation of each `IOCTL_STORAGE_*` and `IOCTL_DISK_*`.

use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, Descriptor, DeviceNumber, Hotplug};
use crate::platform::windows::sys::device::Device;
use windows_sys::Win32::Storage::FileSystem::IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS;
use windows_sys::Win32::System::Ioctl::{
    IOCTL_DISK_GET_DRIVE_GEOMETRY_EX, IOCTL_DISK_IS_WRITABLE, IOCTL_DISK_PERFORMANCE,
    IOCTL_STORAGE_CHECK_VERIFY, IOCTL_STORAGE_CHECK_VERIFY2, IOCTL_STORAGE_EJECT_MEDIA,
    IOCTL_STORAGE_GET_DEVICE_NUMBER, IOCTL_STORAGE_GET_HOTPLUG_INFO, IOCTL_STORAGE_LOAD_MEDIA,
    IOCTL_STORAGE_LOAD_MEDIA2, IOCTL_STORAGE_MEDIA_REMOVAL, IOCTL_STORAGE_QUERY_PROPERTY,
};

/// Enough for every descriptor and for a volume over a hundred disks.
const ROOM: usize = 4096;

/// `IOCTL_STORAGE_GET_DEVICE_NUMBER`: not answered by volumes over several disks.
pub(crate) fn device_number(device: &Device) -> Option<DeviceNumber> {
    win32_parse::device_number(&device.ioctl(IOCTL_STORAGE_GET_DEVICE_NUMBER, &[], 12).ok()?)
}

/// `IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS`: the disks that a volume lies on.
pub(crate) fn disks(volume: &Device) -> Option<Vec<u32>> {
    let answer = volume.ioctl(IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS, &[], ROOM).ok()?;
    win32_parse::disk_extents(&answer).filter(|disks| !disks.is_empty())
}

/// `IOCTL_STORAGE_QUERY_PROPERTY`, StorageDeviceProperty (0), PropertyStandardQuery (0).
pub(crate) fn descriptor(device: &Device) -> Option<Descriptor> {
    let answer = device.ioctl(IOCTL_STORAGE_QUERY_PROPERTY, &[0; 12], ROOM).ok()?;
    win32_parse::device_descriptor(&answer)
}

/// `IOCTL_STORAGE_GET_HOTPLUG_INFO`.
pub(crate) fn hotplug(device: &Device) -> Option<Hotplug> {
    win32_parse::hotplug(&device.ioctl(IOCTL_STORAGE_GET_HOTPLUG_INFO, &[], 8).ok()?)
}

/// `IOCTL_DISK_GET_DRIVE_GEOMETRY_EX`: the size, which needs no right to read the disk.
pub(crate) fn size(device: &Device) -> Option<u64> {
    win32_parse::disk_size(&device.ioctl(IOCTL_DISK_GET_DRIVE_GEOMETRY_EX, &[], 256).ok()?)
}

/// `IOCTL_DISK_IS_WRITABLE`; `None` where the driver does not say.
pub(crate) fn write_protected(device: &Device) -> Option<bool> {
    const ERROR_WRITE_PROTECT: Code = 19;
    match device.ioctl_in(IOCTL_DISK_IS_WRITABLE, &[]) {
        Ok(()) => Some(false),
        Err(ERROR_WRITE_PROTECT) => Some(true),
        Err(_) => None,
    }
}

/// `IOCTL_DISK_PERFORMANCE`: bytes written to the disk since start-up.
pub(crate) fn bytes_written(device: &Device) -> Option<u64> {
    win32_parse::bytes_written(&device.ioctl(IOCTL_DISK_PERFORMANCE, &[], 88).ok()?)
}

/// `IOCTL_STORAGE_CHECK_VERIFY2`, which needs no right to read; where a driver does not know it,
/// `IOCTL_STORAGE_CHECK_VERIFY`.
pub(crate) fn check_verify(device: &Device) -> Result<(), Code> {
    match device.ioctl_in(IOCTL_STORAGE_CHECK_VERIFY2, &[]) {
        Err(code) if win32_parse::says_unsupported(code) => {
            device.ioctl_in(IOCTL_STORAGE_CHECK_VERIFY, &[])
        }
        other => other,
    }
}

/// `IOCTL_STORAGE_MEDIA_REMOVAL` with PREVENT_MEDIA_REMOVAL false: allow it.
pub(crate) fn allow_removal(device: &Device) -> Result<(), Code> {
    device.ioctl_in(IOCTL_STORAGE_MEDIA_REMOVAL, &[0])
}

/// `IOCTL_STORAGE_EJECT_MEDIA`.
pub(crate) fn eject_media(device: &Device) -> Result<(), Code> {
    device.ioctl_in(IOCTL_STORAGE_EJECT_MEDIA, &[])
}

/// `IOCTL_STORAGE_LOAD_MEDIA2`, which needs no right to read.
pub(crate) fn load_media2(device: &Device) -> Result<(), Code> {
    device.ioctl_in(IOCTL_STORAGE_LOAD_MEDIA2, &[])
}

/// `IOCTL_STORAGE_LOAD_MEDIA`.
pub(crate) fn load_media(device: &Device) -> Result<(), Code> {
    device.ioctl_in(IOCTL_STORAGE_LOAD_MEDIA, &[])
}
