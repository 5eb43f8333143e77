//! A device that the helper has opened, and that the helper closes.

use crate::platform::linux::helper::Helper;
use crate::platform::linux::helper::request::Values;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open device or file. Dropped, it is closed by the helper, since `close` of a device may not return.
#[derive(Debug)]
pub struct Device {
    /// `None` only while it is dropped.
    fd: Option<OwnedFd>,
    /// Device number (`major << 32 | minor`) of a block device, else 0.
    pub number: u64,
    /// `diskseq` of a block device; 0 where the kernel has none (before Linux 5.15).
    pub diskseq: u64,
    helper: Helper,
}

impl Device {
    /// Takes over a descriptor that the helper has opened, with what it said of it.
    pub fn new(fd: OwnedFd, [number, diskseq, ..]: Values, helper: Helper) -> Device {
        Device { fd: Some(fd), number, diskseq, helper }
    }

    /// Returns the helper that opened it.
    pub fn helper(&self) -> &Helper {
        &self.helper
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().map_or(rustix::fs::ABS, AsFd::as_fd)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            self.helper.close(fd);
        }
    }
}
