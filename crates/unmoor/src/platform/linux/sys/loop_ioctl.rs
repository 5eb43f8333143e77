//! The loop driver's ioctls (`linux/loop.h`, loop(4)).

use crate::platform::linux::sys::device_number::from_dev;
use crate::platform::linux::sys::ioctl;
use rustix::fd::AsFd;
use rustix::io::Errno;

const LOOP_CLR_FD: ioctl::Request = 0x4C01;
const LOOP_GET_STATUS64: ioctl::Request = 0x4C05;

/// `struct loop_info64`, linux/loop.h.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// Backing file of a loop device, or another block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backing {
    /// Device number of the file's file system, as in `stat(2)`; a block device's own.
    pub device: u64,
    /// The file's inode number there; 0 for a block device.
    pub inode: u64,
}

/// `LOOP_CLR_FD`: detaches the image. While others have the device open, it is detached when the
/// last one closes it.
pub fn detach(device: impl AsFd) -> Result<(), Errno> {
    // SAFETY: LOOP_CLR_FD takes no argument.
    unsafe { ioctl::with_number(device, LOOP_CLR_FD, 0) }.map(drop)
}

/// `LOOP_GET_STATUS64`: returns the backing file; `ENXIO` if there is none.
pub fn backing(device: impl AsFd) -> Result<Backing, Errno> {
    let mut info = std::mem::MaybeUninit::<LoopInfo64>::zeroed();
    // SAFETY: the kernel writes one `struct loop_info64` to the address, which has its size; every
    // bit pattern is a valid `LoopInfo64`, and it was zeroed before.
    let info = unsafe {
        ioctl::with(device, LOOP_GET_STATUS64, &mut info)?;
        info.assume_init()
    };
    // Both are the kernel's `huge_encode_dev`, the same encoding that stat(2) has; `rdevice` is 0 for a file.
    Ok(match info.rdevice {
        0 => Backing { device: from_dev(info.device), inode: info.inode },
        node => Backing { device: from_dev(node), inode: 0 },
    })
}
