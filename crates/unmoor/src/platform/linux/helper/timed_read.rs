//! Reading from a device that may not answer, for a quarter of a second at the most.
//!
//! What the kernel has in memory is taken without waiting (`RWF_NOWAIT`, preadv2(2)). What it has not, or
//! has by half (of a page that a mounted file system has read a block of), a child process reads first:
//! that one can be left behind.

use crate::deadline::{Cancel, Clock, Deadline};
use crate::platform::linux::inventory::superblock::ReadAt;
use crate::platform::linux::{Linux, helper};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};
use std::cell::Cell;
use std::io::IoSliceMut;
use std::time::Duration;

/// How long a device is waited for, all its reads together.
const READ_BUDGET: Duration = Duration::from_millis(250);

/// A device that is read while it answers promptly.
pub struct TimedReader<'d> {
    device: &'d OwnedFd,
    deadline: Duration,
    timed_out: Cell<bool>,
}

impl TimedReader<'_> {
    /// From now on, for a moment.
    pub fn new(device: &OwnedFd) -> TimedReader<'_> {
        TimedReader {
            device,
            deadline: Linux::new().now() + READ_BUDGET,
            timed_out: Cell::new(false),
        }
    }

    /// Something was not there in time: what was read is not all that there is.
    pub fn timed_out(&self) -> bool {
        self.timed_out.get()
    }

    /// Has the kernel read this into its memory.
    fn fill_page_cache(&self, offset: u64, length: usize) -> bool {
        let (clock, cancel) = (Linux::new(), Cancel::new());
        let mut watch = |_| {};
        let mut wait = Deadline::until(&clock, self.deadline, &cancel, &mut watch);
        let read = helper::run(
            &mut wait,
            |_| {},
            &[self.device.as_fd()],
            || {
                let mut room = [0; 4096];
                for at in (0..length as u64).step_by(room.len()) {
                    pread(self.device, &mut room, offset.saturating_add(at))?;
                }
                Ok([0; 8])
            },
        );
        matches!(read, Ok(Ok(_)))
    }
}

impl ReadAt for TimedReader<'_> {
    fn read_at(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length && !self.timed_out.get() {
            let at = offset.saturating_add(filled as u64);
            let mut room = [IoSliceMut::new(&mut bytes[filled..])];
            match preadv2(self.device, &mut room, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.fill_page_cache(at, length - filled) => {}
                // Among them ENOTSUP, of kernels before 4.14.
                Err(_) => self.timed_out.set(true),
            }
        }
        bytes.truncate(filled);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::pipe;
    use std::io::Write;

    #[test]
    fn what_is_in_memory_comes_at_once() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = OwnedFd::from(file);
        let promptly = TimedReader::new(&file);
        // A file system that cannot say whether it would wait says so, and nothing is known then.
        let read = promptly.read_at(2, 4);
        assert!(read == b"2345" || promptly.timed_out(), "{read:?}");
        assert!(promptly.read_at(8, 4) == b"89" || promptly.timed_out());
    }

    #[test]
    fn what_cannot_be_read_in_time_is_not_taken_for_nothing() {
        let (never, _writer) = pipe().unwrap();
        let promptly = TimedReader::new(&never);
        assert!(promptly.read_at(0, 512).is_empty());
        assert!(promptly.timed_out());
    }
}
