//! pidfd_open(2), pidfd_send_signal(2): a process by a descriptor, which never means another process that gets
//! the same number later. Linux 5.3.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;

/// A process.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has this number now.
    ///
    /// # Errors
    /// ESRCH if there is none, ENOSYS before Linux 5.3; EINVAL or ENOENT if it is the number of a thread that is
    /// not the first of its process.
    pub fn open(pid: u32) -> Result<PidFd, Errno> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        pidfd_open(pid, PidfdFlags::empty()).map(PidFd)
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// ESRCH if it has ended, EPERM if it is another user's.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        pidfd_send_signal(&self.0, signal)
    }

    /// Returns true if the process has ended with all its threads. Its files are closed by then.
    pub fn has_exited(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut fds, Some(&at_once)), Ok(n) if n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A process that is killed at the end of the test.
    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn the_end_of_a_process_is_seen_and_it_gets_no_more_signals() {
        let mut sleeper = Sleeper(Command::new("sleep").arg("1000").spawn().unwrap());
        let held = PidFd::open(sleeper.0.id()).unwrap();
        assert!(!held.has_exited());
        held.signal(Signal::KILL).unwrap();
        sleeper.0.wait().unwrap();
        assert!(held.has_exited());
        assert_eq!(
            held.signal(Signal::KILL),
            Err(Errno::SRCH),
            "another process may have its number"
        );
    }

    #[test]
    fn numbers_that_no_process_can_have_are_refused() {
        for pid in [0, u32::MAX] {
            assert_eq!(PidFd::open(pid).unwrap_err(), Errno::SRCH);
        }
    }
}
