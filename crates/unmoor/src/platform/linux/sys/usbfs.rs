//! Requests to a USB hub through `/dev/bus/usb` (`linux/usbdevice_fs.h`, USB 2.0 11.24.2): status and power of
//! a port.

use crate::platform::linux::sys::ioctl;
use crate::platform::linux::sys::sysfs::SysfsDir;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// `struct usbdevfs_ctrltransfer`.
#[repr(C)]
struct Transfer {
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
    length: u16,
    /// In milliseconds.
    timeout: u32,
    data: *mut libc::c_void,
}

// _IOWR('U', 0, struct usbdevfs_ctrltransfer); asm-generic/ioctl.h has the size in bits 16 to 29.
const USBDEVFS_CONTROL: ioctl::Request =
    0xc000_5500 | ((std::mem::size_of::<Transfer>() as libc::c_ulong) << 16);

/// Class request to a port of a hub, from it and to it (USB 2.0 table 11-15).
const FROM_PORT: u8 = 0xa3;
const TO_PORT: u8 = 0x23;
const GET_STATUS: u8 = 0;
const CLEAR_FEATURE: u8 = 1;
const SET_FEATURE: u8 = 3;
const PORT_POWER: u16 = 8;
/// A hub answers within 50 ms (USB 2.0 9.2.6.4); a sleeping one has to wake up first.
const TIMEOUT: u32 = 1000;

/// Opens the hub with this directory in sysfs.
pub fn open(hub: &SysfsDir) -> Result<OwnedFd, Errno> {
    let number = |name| hub.number(name).ok_or(Errno::NODEV);
    let path = format!("/dev/bus/usb/{:03}/{:03}", number("busnum")?, number("devnum")?);
    openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// Returns true if the hub says that a device is plugged in (`PORT_CONNECTION`, bit 0).
pub fn is_connected(hub: impl AsFd, port: u16) -> Result<bool, Errno> {
    let mut status = [0; 4];
    control(hub, FROM_PORT, GET_STATUS, 0, port, &mut status)?;
    Ok(status[0] & 1 == 1)
}

/// Switches the port's power, if the hub can. A hub that cannot makes the port look empty.
pub fn power(hub: impl AsFd, port: u16, on: bool) -> Result<(), Errno> {
    control(hub, TO_PORT, if on { SET_FEATURE } else { CLEAR_FEATURE }, PORT_POWER, port, &mut [])
}

fn control(
    hub: impl AsFd,
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
    data: &mut [u8],
) -> Result<(), Errno> {
    let length = u16::try_from(data.len()).map_err(|_| Errno::INVAL)?;
    let mut transfer = Transfer {
        request_type,
        request,
        value,
        index,
        length,
        timeout: TIMEOUT,
        data: data.as_mut_ptr().cast(),
    };
    // SAFETY: the transfer is a `struct usbdevfs_ctrltransfer` whose pointer is that of `data`, with its
    // true length; both outlive the call.
    unsafe { ioctl::with(hub, USBDEVFS_CONTROL, &mut transfer) }
}
