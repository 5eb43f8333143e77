//! System calls that may not come back for minutes, run where they can be left behind.
//!
//! `syncfs`, `umount2` or a SCSI command on a drive that does not answer sleeps in the kernel where no
//! signal reaches it, and takes its whole process along: not even `exit` gets past such a thread. So
//! it runs in a forked child. The parent keeps the deadline, shows progress, and hears Ctrl-C; a child
//! that is stuck stays behind until the kernel gives up, and nobody waits for it.

use crate::error::{Error, ErrorKind, Result};
use crate::wait::Wait;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::Timespec;
use std::time::Duration;

/// How often the parent looks up while it waits.
const TICK: Duration = Duration::from_millis(100);

/// How often, two milliseconds apart, it is looked whether a child that was told to stop has done so.
const PARTING: u32 = 50;

/// What a child has to say: an errno, and a few bytes.
type Message = [u8; 12];

/// Runs `call` in a child process and waits for its answer, as long as `wait` allows. `tick` is called
/// ten times a second meanwhile.
///
/// `call` runs after `fork` and before `_exit` in a process that has only this thread: it must do
/// nothing but system calls, in particular not allocate (signal-safety(7)).
///
/// # Errors
/// The outer error: the deadline passed, the user wished to stop, or no child could be made. The inner
/// one is the call's own errno.
pub fn run(
    wait: &mut Wait<'_>,
    mut tick: impl FnMut(&mut Wait<'_>),
    call: impl FnOnce() -> Result<[u8; 8], Errno>,
) -> Result<Result<[u8; 8], Errno>> {
    wait.check()?;
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(no_child)?;
    // SAFETY: the child runs `call`, which by contract makes system calls only, writes to a pipe, and
    // leaves with _exit: nothing of the parent's that another thread may have locked is touched.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(no_child(super::blkdev::last_errno())),
        0 => {
            let message = pack(call());
            let _ = write(&theirs, &message);
            // SAFETY: _exit only ends the process.
            unsafe { libc::_exit(0) }
        }
        child => Child(child),
    };
    drop(theirs);
    loop {
        if ready(&ours, TICK.min(wait.left())) {
            let mut message: Message = [0; 12];
            let whole = read(&ours, &mut message) == Ok(message.len());
            child.reap();
            // A child that was killed says nothing.
            return Ok(if whole { unpack(message) } else { Err(Errno::INTR) });
        }
        tick(wait);
        wait.check()?;
    }
}

fn no_child(errno: Errno) -> Error {
    Error::new(ErrorKind::Failed, "", format!("cannot start a child process: {errno}"))
        .with_os_code(errno.raw_os_error())
}

/// Is there something to read (or the other end closed) within this time.
fn ready(pipe: &OwnedFd, time: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
    let time = Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ };
    matches!(poll(&mut fds, Some(&time)), Ok(n) if n > 0)
}

fn pack(result: Result<[u8; 8], Errno>) -> Message {
    let mut message = [0; 12];
    match result {
        Ok(bytes) => message[4..].copy_from_slice(&bytes),
        Err(errno) => message[..4].copy_from_slice(&errno.raw_os_error().to_le_bytes()),
    }
    message
}

fn unpack(message: Message) -> Result<[u8; 8], Errno> {
    let [a, b, c, d, bytes @ ..] = message;
    match i32::from_le_bytes([a, b, c, d]) {
        0 => Ok(bytes),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}

/// A child process. Dropped before it has answered, it is told to stop; it does as soon as the kernel
/// lets go of it.
struct Child(libc::pid_t);

impl Child {
    /// Waits for it: it has answered, and only leaves.
    fn reap(self) {
        while !self.wait(0) {}
        std::mem::forget(self);
    }

    fn has_left(&self) -> bool {
        self.wait(libc::WNOHANG)
    }

    /// Has it been waited for; not so when a signal came in between, or it still runs.
    fn wait(&self, flags: libc::c_int) -> bool {
        // SAFETY: waitpid with no place for a status; the pid is that of a child of ours that has not
        // been waited for.
        match unsafe { libc::waitpid(self.0, std::ptr::null_mut(), flags) } {
            0 => false,
            -1 => super::blkdev::last_errno() != Errno::INTR,
            _ => true,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: the pid is that of a child of ours that has not been waited for, so it is not reused.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // One that can leave does so at once, and what it held open is closed then. One that is stuck
        // in the kernel is not waited for.
        for _ in 0..PARTING {
            if self.has_left() {
                return;
            }
            let pause = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
            let _ = rustix::thread::nanosleep(&pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::Linux;
    use crate::wait::{Cancel, Clock};

    fn with_wait<T>(time: Duration, cancel: &Cancel, run: impl FnOnce(&mut Wait<'_>) -> T) -> T {
        let clock = Linux::new();
        let mut watch = |_| {};
        run(&mut Wait::until(&clock, clock.now() + time, cancel, &mut watch))
    }

    #[test]
    fn the_answer_of_the_child_comes_back() {
        let cancel = Cancel::new();
        let answer = with_wait(Duration::from_secs(60), &cancel, |wait| {
            (run(wait, |_| {}, || Ok(*b"8 bytes!")), run(wait, |_| {}, || Err(Errno::IO)))
        });
        assert_eq!(answer.0.unwrap(), Ok(*b"8 bytes!"));
        assert_eq!(answer.1.unwrap(), Err(Errno::IO));
    }

    #[test]
    fn a_call_that_does_not_come_back_is_left_behind_at_the_deadline() {
        let cancel = Cancel::new();
        let error = with_wait(Duration::from_millis(50), &cancel, |wait| {
            run(wait, |_| {}, sleep_long).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn the_wish_to_stop_is_heard_while_a_call_hangs() {
        let cancel = Cancel::new();
        let error = with_wait(Duration::from_secs(600), &cancel, |wait| {
            run(wait, |_| cancel.cancel(), sleep_long).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }

    fn sleep_long() -> Result<[u8; 8], Errno> {
        // SAFETY: sleep takes a number.
        unsafe { libc::sleep(600) };
        Ok([0; 8])
    }
}
