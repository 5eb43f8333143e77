//! `/dev/loop-control`: removal of unused loop devices (`linux/loop.h`).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;

const LOOP_CTL_REMOVE: libc::Ioctl = 0x4C81;

/// Removes `/dev/loopN` (`LOOP_CTL_REMOVE`). The kernel refuses while it is attached or open.
pub fn remove(number: libc::c_long) -> io::Result<()> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    // SAFETY: the descriptor is open, and this request takes its number by value.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_REMOVE, number) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
