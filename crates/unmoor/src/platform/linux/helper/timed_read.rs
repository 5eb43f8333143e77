//! Reads of a device that may not answer, within a time budget.
//!
//! The page cache is read without waiting (`RWF_NOWAIT`, preadv2(2)). A range that is not there, or only in part
//! (a page of which a mounted file system has read one block), is read by the helper first.

use crate::deadline::Clock;
use crate::platform::linux::helper::Device;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::sys::clock::{MonotonicClock, within};
use crate::platform::linux::sys::content::ReadAt;
use rustix::fd::AsFd;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::cell::Cell;
use std::io::IoSliceMut;
use std::time::Duration;

/// Reads a device while it answers within the budget.
pub struct TimedReader<'d> {
    device: &'d Device,
    end: Duration,
    failed: Cell<bool>,
    timed_out: Cell<bool>,
}

impl TimedReader<'_> {
    /// Creates a reader whose reads may take `budget` in all, from now on.
    pub fn new(device: &Device, budget: Duration) -> TimedReader<'_> {
        let end = MonotonicClock.now() + budget;
        TimedReader { device, end, failed: Cell::new(false), timed_out: Cell::new(false) }
    }

    /// Returns true if something could not be read, for whatever reason.
    pub fn failed(&self) -> bool {
        self.failed.get()
    }

    /// Returns true if something was not read in time.
    pub fn timed_out(&self) -> bool {
        self.timed_out.get()
    }

    /// Makes the kernel read this range into its page cache. Returns true if it did.
    fn fill_page_cache(&self, offset: u64, length: usize) -> bool {
        let device = self.device.as_fd();
        let request = Request::ReadAhead { device, offset, length: length as u64 };
        let time = self.end.saturating_sub(MonotonicClock.now());
        let read = within(time, |deadline| self.device.helper().run(&request, deadline));
        self.timed_out.set(read.is_err());
        matches!(read, Ok(Ok(())))
    }
}

impl ReadAt for TimedReader<'_> {
    fn read_at(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length && !self.timed_out.get() {
            let at = offset.saturating_add(filled as u64);
            let mut buffer = [IoSliceMut::new(&mut bytes[filled..])];
            match preadv2(self.device, &mut buffer, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.fill_page_cache(at, length - filled) => {}
                // Among them ENOTSUP, of kernels before 4.14.
                Err(_) => {
                    self.failed.set(true);
                    break;
                }
            }
        }
        bytes.truncate(filled);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::helper::Helper;
    use rustix::fd::OwnedFd;
    use rustix::pipe::pipe;
    use std::io::Write;

    const BUDGET: Duration = Duration::from_millis(250);

    fn device(fd: impl Into<OwnedFd>) -> Device {
        Device::new(fd.into(), Default::default(), Helper::new())
    }

    #[test]
    fn content_of_the_page_cache_is_read_at_once() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = device(file);
        let reader = TimedReader::new(&file, BUDGET);
        // A file system that cannot say whether it would wait says so, and nothing is known then.
        let read = reader.read_at(2, 4);
        assert!(read == b"2345" || reader.failed(), "{read:?}");
        assert!(reader.read_at(8, 4) == b"89" || reader.failed());
    }

    #[test]
    fn a_read_that_fails_is_not_taken_for_an_empty_device() {
        let (never, _writer) = pipe().unwrap();
        let never = device(never);
        let reader = TimedReader::new(&never, BUDGET);
        assert!(reader.read_at(0, 512).is_empty());
        assert!(reader.failed());
    }
}
