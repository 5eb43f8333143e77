//! Ioctls that take a drive away: of loop devices (linux/loop.h) and of drives with an eject (linux/cdrom.h,
//! scsi/scsi_ioctl.h).

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

const LOOP_CTL_REMOVE: libc::Ioctl = 0x4C81;
const LOOP_CLR_FD: libc::Ioctl = 0x4C01;
const CDROMEJECT: libc::Ioctl = 0x5309;
const SCSI_IOCTL_DOORUNLOCK: libc::Ioctl = 0x5381;

/// Block devices that exist before a comparison.
pub struct Existing(BTreeSet<String>);

impl Existing {
    /// Reads the names of all block devices.
    pub fn read() -> io::Result<Self> {
        let names = fs::read_dir("/sys/block")?.flatten().map(|entry| entry.file_name());
        Ok(Self(names.map(|name| name.to_string_lossy().into_owned()).collect()))
    }

    /// Removes a detached loop device, unless it existed before.
    pub fn remove_new(&self, node: &str) {
        let name = node.replace("/dev/", "");
        if !self.0.contains(&name)
            && let Ok(number) = name.replace("loop", "").parse()
        {
            let _ = remove(number);
        }
    }
}

/// Removes `/dev/loopN` (`LOOP_CTL_REMOVE`). The kernel refuses while it is attached or open.
fn remove(number: libc::c_long) -> io::Result<()> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    // SAFETY: the descriptor is open, and this request takes its number by value.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_REMOVE, number) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Detaches the file of a loop device.
pub fn detach(device: &File) -> io::Result<()> {
    without_argument(device, LOOP_CLR_FD)
}

/// Ejects the medium. The kernel sends START STOP UNIT to a disk, and has locked the door when it was opened.
pub fn eject(device: &File) -> io::Result<()> {
    without_argument(device, SCSI_IOCTL_DOORUNLOCK)?;
    without_argument(device, CDROMEJECT)
}

fn without_argument(device: &File, request: libc::Ioctl) -> io::Result<()> {
    // SAFETY: the descriptor is open, and these requests take no argument.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), request, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
