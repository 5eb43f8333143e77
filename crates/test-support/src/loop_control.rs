//! `/dev/loop-control`: loop(4), linux/loop.h.

use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;

const LOOP_CTL_ADD: libc::Ioctl = 0x4C80;
const LOOP_CTL_REMOVE: libc::Ioctl = 0x4C81;

/// Adds the loop device of this number.
///
/// # Errors
/// `EXIST` if there is one.
pub fn add(number: u32) -> Result<(), Errno> {
    control(LOOP_CTL_ADD, number)
}

/// Removes the loop device of this number.
///
/// # Errors
/// `BUSY` while it is attached or open.
pub fn remove(number: u32) -> Result<(), Errno> {
    control(LOOP_CTL_REMOVE, number)
}

fn control(request: libc::Ioctl, number: u32) -> Result<(), Errno> {
    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/loop-control")
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    // SAFETY: both requests take a number, and no pointer.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), request, libc::c_long::from(number)) };
    match result {
        0.. => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
