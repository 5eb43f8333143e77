//! `/dev/mapper/control`: the device-mapper's ioctls (`linux/dm-ioctl.h`).
//!
//! A mapping is addressed by its device number, which the header allows where name and UUID are left
//! empty: no name can be mistaken on the way.

use crate::platform::linux::sys::ioctl;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

// _IOWR(DM_IOCTL, number, struct dm_ioctl): 312 bytes, DM_IOCTL is 0xfd.
const DM_DEV_REMOVE: ioctl::Request = 0xc138_fd04;
const DM_DEV_SUSPEND: ioctl::Request = 0xc138_fd06;
const DM_DEV_STATUS: ioctl::Request = 0xc138_fd07;
const DM_TABLE_LOAD: ioctl::Request = 0xc138_fd09;

/// Do not freeze the file system on it first.
const DM_SKIP_LOCKFS_FLAG: u32 = 1 << 10;

/// `struct dm_ioctl`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// `struct dm_target_spec`, with room for an empty parameter string after it.
#[repr(C)]
struct Target {
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; 16],
    parameters: [u8; 8],
}

/// A table of one target.
#[repr(C)]
struct Table {
    header: Header,
    target: Target,
}

const HEADER: usize = size_of::<Header>();
const _: () = assert!(HEADER == 312 && size_of::<Target>() == 48);

impl Header {
    /// Names this mapping. Version 4.0.0 is what every kernel since 2.6 takes.
    #[allow(clippy::cast_possible_truncation)]
    fn of(device: u64, size: usize, flags: u32) -> Header {
        Header {
            version: [4, 0, 0],
            data_size: size as u32,
            data_start: HEADER as u32,
            target_count: 0,
            open_count: 0,
            flags,
            event_nr: 0,
            padding: 0,
            dev: encoded(device),
            name: [0; 128],
            uuid: [0; 129],
            data: [0; 7],
        }
    }
}

/// `huge_encode_dev` (linux/kdev_t.h) of `major << 32 | minor`.
pub fn encoded(device: u64) -> u64 {
    let (major, minor) = (device >> 32, device & 0xffff_ffff);
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// Opens the device-mapper's own node.
pub fn control() -> Result<OwnedFd, Errno> {
    openat(CWD, "/dev/mapper/control", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// `DM_DEV_STATUS`: returns the open count of the mapping: mounts, stacked devices and programs.
pub fn open_count(control: impl AsFd, device: u64) -> Result<u32, Errno> {
    let mut header = Header::of(device, HEADER, 0);
    call(control, DM_DEV_STATUS, &mut header)?;
    Ok(u32::try_from(header.open_count).unwrap_or(0))
}

/// `DM_DEV_REMOVE`: removes the mapping; `EBUSY` while it is open.
///
/// Without `DM_DEFERRED_REMOVE`, which would succeed now and remove it at any later time.
pub fn remove(control: impl AsFd, device: u64) -> Result<(), Errno> {
    call(control, DM_DEV_REMOVE, &mut Header::of(device, HEADER, 0))
}

/// Replaces the table of the mapping by the `error` target.
///
/// From then on every read and write fails with EIO, and the mapping does not use the devices below it. Requests
/// that were sent before are finished first.
///
/// `sectors` is its size in units of 512 bytes.
pub fn replace_by_errors(control: impl AsFd, device: u64, sectors: u64) -> Result<(), Errno> {
    let mut target_type = [0; 16];
    target_type[..5].copy_from_slice(b"error");
    let target = Target {
        sector_start: 0,
        length: sectors,
        status: 0,
        next: 0,
        target_type,
        parameters: [0; 8],
    };
    let mut table = Table { header: Header::of(device, size_of::<Table>(), 0), target };
    table.header.target_count = 1;
    call(&control, DM_TABLE_LOAD, &mut table)?;
    // Without DM_SUSPEND_FLAG this is "resume": it suspends, puts the loaded table in, and goes on.
    call(control, DM_DEV_SUSPEND, &mut Header::of(device, HEADER, DM_SKIP_LOCKFS_FLAG))
}

/// Makes a call with a struct that begins with a [`Header`] whose `data_size` is that of the struct.
fn call<T>(control: impl AsFd, request: ioctl::Request, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: the kernel reads and writes `data_size` bytes from the address, which both callers' types
    // set to their own size; every bit pattern of their fields is valid.
    unsafe { ioctl::with(control, request, argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_as_the_kernel_writes_them() {
        assert_eq!(encoded(253 << 32), 0xfd00);
        assert_eq!(encoded(253 << 32 | 0x123), 0x0010_fd23);
    }
}
