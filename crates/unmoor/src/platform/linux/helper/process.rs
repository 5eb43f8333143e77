//! `clone(2)`, `kill(2)`, `waitpid(2)`: the helper as a process.

use crate::platform::linux::helper::channel::{receive_once, send_now};
use crate::platform::linux::helper::request::{ANSWER, Encoded, Request, Values, decode_answer};
use crate::platform::linux::helper::serve::serve;
use crate::platform::linux::sys::affinity::{self, Pinned};
use crate::platform::linux::sys::blkdev::last_errno;
use crate::platform::linux::sys::clock::timespec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use rustix::thread::sched_getcpu;
use std::mem::MaybeUninit;
use std::panic::catch_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

/// Longest wait for a message at a time: so often is the cancel flag checked, and progress reported.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(100);

/// First interval between polls for the end of a killed helper. Each is twice as long as the one before.
const REAP_INTERVAL: Duration = Duration::from_micros(20);

/// Number of these polls: 160 ms in all.
const REAP_POLLS: u32 = 13;

/// A helper process. Dropped, it is killed, and left behind if it is stuck in the kernel.
#[derive(Debug)]
pub struct Process {
    pid: libc::pid_t,
    socket: OwnedFd,
    /// Thread that forked it, with which it ends (`PR_SET_PDEATHSIG`); `None` if that thread outlives every user.
    thread: Option<ThreadId>,
    /// Number of the last request.
    sequence: u64,
    /// Processor that it shares with the thread that sends its requests; `None` if it runs on any.
    processor: Option<usize>,
}

/// Result of a request, with the descriptor that came along.
pub type CallOutcome = Result<(Values, Option<OwnedFd>), Errno>;

/// Result of waiting for a message from the helper.
pub enum Received<T> {
    Message(T),
    NotYet,
    /// The helper has ended.
    Closed,
}

impl Process {
    /// Forks a helper.
    ///
    /// The address space is a copy, so that no error in the helper reaches this process. No signal but SIGKILL
    /// reaches the helper, so it runs none of this program's handlers. Its end sends no SIGCHLD, and only
    /// `__WALL` waits for it.
    pub fn fork() -> Result<Process, Errno> {
        Process::fork_on(None)
    }

    /// Forks a helper that runs on the processor of the thread that sends its requests.
    ///
    /// The two mostly take turns, and to wake a process on another processor costs an interrupt there. Among the many
    /// processes of a batch, the moves would cost more.
    pub fn fork_here() -> Result<Process, Errno> {
        Process::fork_on(Pinned::here())
    }

    fn fork_on(here: Option<Pinned>) -> Result<Process, Errno> {
        reap_abandoned();
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&ours, Timeout::Recv, Some(RECEIVE_TIMEOUT))?;
        let (socket, parent) = (theirs.as_raw_fd(), getpid());
        let pid = without_signals(|| {
            // SAFETY: as fork(2): no flag, no stack of its own and no exit signal. The child runs `child_main`
            // alone, which never returns here and makes nothing but system calls, as a copy of a process with
            // other threads must.
            match unsafe { clone() } {
                0 => child_main(socket, parent),
                pid => pid,
            }
        });
        let pid = libc::pid_t::try_from(pid).unwrap_or(-1);
        if pid == -1 {
            return Err(last_errno());
        }
        children().live.push(pid);
        let processor = here.map(|pinned| pinned.processor);
        let thread = Some(std::thread::current().id());
        Ok(Process { pid, socket: ours, thread, sequence: 0, processor })
    }

    /// Returns the process number.
    #[cfg(test)]
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Lets other threads use it. The current thread, which forked it, must outlive them.
    pub fn for_every_thread(self) -> Process {
        let mut process = self;
        process.thread = None;
        process
    }

    /// Moves a helper that shares a processor with the current thread to where that is now.
    fn follow(&mut self) {
        let here = sched_getcpu();
        if self.processor.is_some_and(|shared| shared != here) {
            self.processor = affinity::set(Pid::from_raw(self.pid), here).ok().map(|()| here);
        }
    }

    /// Returns true if threads other than the one that forked it may use it.
    pub fn is_for_every_thread(&self) -> bool {
        self.thread.is_none()
    }

    /// Returns true if it does not end before the current thread.
    pub fn outlives_this_thread(&self) -> bool {
        self.thread.is_none_or(|thread| thread == std::thread::current().id())
    }

    /// Sends a request, without waiting.
    ///
    /// # Errors
    /// `EPIPE` or `ECONNRESET` if the helper has ended; `EAGAIN` if too many requests are on their way.
    pub fn send(&mut self, request: &Request<'_>) -> Result<(), Errno> {
        self.send_followed(request, false)
    }

    /// Sends a request, and tells whether another one follows at once.
    ///
    /// # Errors
    /// As [`Process::send`].
    pub fn send_followed(&mut self, request: &Request<'_>, by_another: bool) -> Result<(), Errno> {
        self.follow();
        self.sequence += 1;
        let Encoded { head, text, fd } = Encoded::new(request, self.sequence, by_another)?;
        send_now(self.socket.as_fd(), [&head, text], fd)
    }

    /// Lets a [`Request::Close`] go on.
    pub fn confirm_close(&self) -> Result<(), Errno> {
        send_now(self.socket.as_fd(), [&[1], &[]], None)
    }

    /// Returns the number of the last request.
    pub fn last_request(&self) -> u64 {
        self.sequence
    }

    /// Receives the answer to the last request, if it comes within `time` or [`RECEIVE_TIMEOUT`].
    pub fn answer(&self, time: Duration) -> Received<CallOutcome> {
        let mut message = [0; ANSWER];
        loop {
            let (length, fd) = match self.receive(time, &mut message) {
                Received::Message(received) => received,
                Received::NotYet => return Received::NotYet,
                Received::Closed => return Received::Closed,
            };
            let Some((answer, _)) = decode_answer(&message[..length]) else {
                return Received::Closed;
            };
            if answer.sequence != self.sequence {
                continue;
            }
            return Received::Message(match (answer.result, answer.has_fd && fd.is_none()) {
                // The helper could open it, and this process may open no more.
                (Ok(_), true) => Err(Errno::MFILE),
                (result, _) => result.map(|values| (values, fd)),
            });
        }
    }

    /// Receives a message, if one comes within `time` or [`RECEIVE_TIMEOUT`]: its length and its descriptor.
    pub fn receive(
        &self,
        time: Duration,
        message: &mut [u8],
    ) -> Received<(usize, Option<OwnedFd>)> {
        // This thread is woken where the helper runs.
        let _here = (self.processor == Some(sched_getcpu())).then(Pinned::here);
        // The socket's own timeout makes one call of the usual two.
        if time < RECEIVE_TIMEOUT {
            let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
            if !matches!(poll(&mut fds, Some(&timespec(time))), Ok(1..)) {
                return Received::NotYet;
            }
        }
        match receive_once(self.socket.as_fd(), message, RecvFlags::empty()) {
            Ok((0, _)) => Received::Closed,
            Ok(received) => Received::Message(received),
            Err(Errno::AGAIN | Errno::INTR) => Received::NotYet,
            Err(_) => Received::Closed,
        }
    }

    /// Returns copies of the block devices that the helper has open (pidfd_getfd(2), Linux 5.6).
    ///
    /// The last `close` of a device may not return. With a copy elsewhere, a helper that is killed can exit.
    pub fn open_devices(&self) -> Vec<OwnedFd> {
        let pidfd = Pid::from_raw(self.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let Some(Ok(pidfd)) = pidfd else { return Vec::new() };
        let copy = |number| pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()).ok();
        let is_device = |fd: &OwnedFd| {
            fstat(fd)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice)
        };
        // It closes all but its socket at first, and has two devices open at most.
        (0..=3).filter_map(copy).filter(is_device).collect()
    }

    /// Kills a helper that has not answered in time. Returns the answer if it came after all.
    pub fn abandon(self) -> Option<CallOutcome> {
        self.kill_and_reap();
        match self.answer(Duration::ZERO) {
            Received::Message(answer) => Some(answer),
            Received::NotYet | Received::Closed => None,
        }
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        // SAFETY: the pid is that of a child that is waited for by its owner alone, later: it is not reused.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }

    /// Ends the helper. One that is stuck in the kernel is not waited for.
    fn kill_and_reap(&self) {
        if !children().forget(self.pid) {
            return;
        }
        self.kill();
        for poll in 0..REAP_POLLS {
            if has_exited(self.pid) {
                return;
            }
            let _ = rustix::thread::nanosleep(&timespec(REAP_INTERVAL * (1 << poll)));
        }
        children().abandoned.push(self.pid);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_and_reap();
    }
}

/// Returns true if the process is a live helper of this program. A helper holds nothing of a drive between
/// two requests; one that was left behind does, and is not counted.
pub fn is_helper(pid: u32) -> bool {
    children().live.iter().any(|live| u32::try_from(*live) == Ok(pid))
}

/// Children of this program that have not been waited for.
#[derive(Debug)]
struct Children {
    /// Helpers in use.
    live: Vec<libc::pid_t>,
    /// Helpers that were killed and had not ended when they were last looked at.
    abandoned: Vec<libc::pid_t>,
}

static CHILDREN: Mutex<Children> = Mutex::new(Children { live: Vec::new(), abandoned: Vec::new() });

fn children() -> MutexGuard<'static, Children> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Children {
    /// Takes a helper off the list of those in use; returns false if it was not there.
    fn forget(&mut self, pid: libc::pid_t) -> bool {
        let before = self.live.len();
        self.live.retain(|live| *live != pid);
        self.live.len() < before
    }
}

fn reap_abandoned() {
    children().abandoned.retain(|pid| !has_exited(*pid));
}

/// Waits for the child without blocking; returns true once it has ended.
fn has_exited(pid: libc::pid_t) -> bool {
    let flags = libc::WNOHANG | libc::__WALL;
    // SAFETY: waitpid with no place for a status; the pid is that of a child of ours that has not been
    // waited for.
    match unsafe { libc::waitpid(pid, std::ptr::null_mut(), flags) } {
        0 => false,
        -1 => last_errno() != Errno::INTR,
        _ => true,
    }
}

/// `clone(2)` without flags, stack and exit signal: fork(2) without the handlers of `pthread_atfork`, which
/// may take locks.
///
/// # Safety
/// The child must make only async-signal-safe calls and never return to the caller's code.
unsafe fn clone() -> libc::c_long {
    const ZERO: libc::c_ulong = 0;
    // SAFETY: all arguments are zero, whatever their order on this architecture.
    unsafe { libc::syscall(libc::SYS_clone, ZERO, ZERO, ZERO, ZERO, ZERO) }
}

/// Runs in the child.
fn child_main(socket: RawFd, parent: Pid) -> ! {
    // Not even a panic may unwind into the copy of the caller's stack. Its message has nowhere to go: the
    // descriptor of standard error is closed. What it allocated is not freed, since that may take a lock.
    std::mem::forget(catch_unwind(|| serve(socket, parent)));
    // SAFETY: _exit is async-signal-safe, and runs no handlers.
    unsafe { libc::_exit(0) }
}

/// Runs `work` while no signal is delivered to this thread.
fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both sets are written by these calls before they are read; they outlive them.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let done = work();
    // SAFETY: the set was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    done
}
