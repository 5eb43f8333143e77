//! Storage controls: properties of a device, its medium and its tray.
//!
//! Win32: `winioctl.h` and the page of each `IOCTL_STORAGE_*` and `IOCTL_DISK_*`.

use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, Descriptor, DeviceNumber, Hotplug};
use crate::platform::windows::sys::device::Device;
use windows_sys::Win32::Storage::FileSystem::IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS;
use windows_sys::Win32::System::Ioctl::{
    IOCTL_DISK_GET_DISK_ATTRIBUTES, IOCTL_DISK_GET_DRIVE_GEOMETRY_EX, IOCTL_DISK_IS_WRITABLE,
    IOCTL_DISK_PERFORMANCE, IOCTL_DISK_PERFORMANCE_OFF, IOCTL_STORAGE_CHECK_VERIFY,
    IOCTL_STORAGE_CHECK_VERIFY2, IOCTL_STORAGE_EJECT_MEDIA, IOCTL_STORAGE_GET_DEVICE_NUMBER,
    IOCTL_STORAGE_GET_HOTPLUG_INFO, IOCTL_STORAGE_LOAD_MEDIA, IOCTL_STORAGE_LOAD_MEDIA2,
    IOCTL_STORAGE_MEDIA_REMOVAL, IOCTL_STORAGE_QUERY_PROPERTY,
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

/// Meter of the bytes written to a disk, by `IOCTL_DISK_PERFORMANCE`.
///
/// Each query raises a reference count that keeps the counters on; `IOCTL_DISK_PERFORMANCE_OFF` lowers
/// it again when the meter is dropped.
pub(crate) struct WriteMeter {
    device: Device,
    queries: u32,
}

impl WriteMeter {
    /// `device` must be a handle of its own: a request on a synchronous handle waits for the others.
    pub(crate) fn new(device: Device) -> WriteMeter {
        WriteMeter { device, queries: 0 }
    }

    /// Returns the bytes written since start-up.
    pub(crate) fn bytes_written(&mut self) -> Option<u64> {
        let answer = self.device.ioctl(IOCTL_DISK_PERFORMANCE, &[], 88).ok()?;
        self.queries += 1;
        win32_parse::bytes_written(&answer)
    }
}

impl Drop for WriteMeter {
    fn drop(&mut self) {
        for _ in 0..self.queries {
            let _ = self.device.ioctl_in(IOCTL_DISK_PERFORMANCE_OFF, &[]);
        }
    }
}

/// `IOCTL_DISK_GET_DISK_ATTRIBUTES`: returns true if Windows keeps the disk offline, as it does for one
/// that a virtual machine uses.
pub(crate) fn is_offline(disk: &Device) -> bool {
    let answer = disk.ioctl(IOCTL_DISK_GET_DISK_ATTRIBUTES, &[], 16);
    answer.is_ok_and(|answer| win32_parse::disk_offline(&answer))
}

/// Media change count, by `IOCTL_STORAGE_CHECK_VERIFY2` with room for it. Drivers of CD drives count by
/// `IOCTL_STORAGE_CHECK_VERIFY` alone, which needs a handle that may read.
pub(crate) fn media_change_count(device: &Device) -> Option<u32> {
    [IOCTL_STORAGE_CHECK_VERIFY2, IOCTL_STORAGE_CHECK_VERIFY]
        .into_iter()
        .find_map(|request| win32_parse::media_change_count(&device.ioctl(request, &[], 4).ok()?))
}

/// `IOCTL_CDROM_EXCLUSIVE_ACCESS`, query: the program that has the drive to itself.
pub(crate) fn exclusive_program(device: &Device) -> Option<String> {
    // CTL_CODE(FILE_DEVICE_CD_ROM, 0x17, METHOD_BUFFERED, FILE_READ_ACCESS | FILE_WRITE_ACCESS) of
    // `ntddcdrm.h`. CDROM_EXCLUSIVE_ACCESS is a request type (0: query) and flags.
    const IOCTL_CDROM_EXCLUSIVE_ACCESS: u32 = 0x0002_c05c;
    // While the drive is locked, no handle has that access. The same request that asks for none reaches
    // drivers that do not compare the access bits.
    const ANY_ACCESS: u32 = IOCTL_CDROM_EXCLUSIVE_ACCESS & !0xc000;
    let answer = device
        .ioctl(IOCTL_CDROM_EXCLUSIVE_ACCESS, &[0; 8], 65)
        .or_else(|_| device.ioctl(ANY_ACCESS, &[0; 8], 65));
    win32_parse::exclusive_program(&answer.ok()?)
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

/// `IOCTL_USB_HUB_CYCLE_PORT` (Windows 8): cuts the power of a hub's port and restores it, as if the
/// device were plugged in again.
pub(crate) fn cycle_port(hub: &Device, port: u32) -> Result<(), Code> {
    // CTL_CODE(FILE_DEVICE_USB, 273, METHOD_BUFFERED, FILE_ANY_ACCESS) of `usbioctl.h`; input and output
    // are USB_CYCLE_PORT_PARAMS: a connection index and a status.
    const IOCTL_USB_HUB_CYCLE_PORT: u32 = 0x0022_0444;
    let parameters = [port.to_le_bytes(), [0; 4]].concat();
    hub.ioctl(IOCTL_USB_HUB_CYCLE_PORT, &parameters, 8).map(drop)
}

/// `IOCTL_STORAGE_LOAD_MEDIA2`, which needs no right to read.
pub(crate) fn load_media2(device: &Device) -> Result<(), Code> {
    device.ioctl_in(IOCTL_STORAGE_LOAD_MEDIA2, &[])
}

/// `IOCTL_STORAGE_LOAD_MEDIA`.
pub(crate) fn load_media(device: &Device) -> Result<(), Code> {
    device.ioctl_in(IOCTL_STORAGE_LOAD_MEDIA, &[])
}
