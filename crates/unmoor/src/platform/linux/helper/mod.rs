//! System calls that may not come back for minutes, run where they can be left behind.
//!
//! `syncfs`, `umount2` or a SCSI command on a drive that does not answer sleeps in the kernel where no
//! signal reaches it, and takes its whole process along: not even `exit` gets past such a thread. So
//! it runs in a child process. The parent keeps the deadline, shows progress, and hears Ctrl-C; a child
//! that is stuck stays behind until the kernel gives up, and nobody waits for it.

pub(crate) mod clone;
pub(crate) mod timed_read;

use crate::deadline::{Cancel, Clock, Deadline};
use crate::model::error::{Error, ErrorKind, Result};
use crate::platform::linux::Linux;
use crate::platform::linux::helper::clone::{Child, inherited_fd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, IoSlice, IoSliceMut, read, write};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::Timespec;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// How often the parent looks up while it waits.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What a child has to say: an errno, and a few bytes.
type Message = [u8; 12];

/// Runs `call` in a child process and waits for its answer, as long as `wait` allows. `tick` is called
/// ten times a second meanwhile.
///
/// `call` runs in a process that shares the memory of this one, and the thread-local variables of this
/// thread: it must do nothing but system calls, in particular not allocate, free or panic. Where there is
/// a `tick` that may do so too, the calls must be such as do not set `errno` (those of rustix). Of the
/// descriptors that are open, it has those that it `needs`.
///
/// # Errors
/// The outer error: the deadline passed, the user wished to stop, or no child could be made. The inner
/// one is the call's own errno.
pub fn run(
    deadline: &mut Deadline<'_>,
    mut tick: impl FnMut(&mut Deadline<'_>),
    needs: &[BorrowedFd<'_>],
    mut call: impl FnMut() -> Result<[u8; 8], Errno>,
) -> Result<Result<[u8; 8], Errno>> {
    deadline.check()?;
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(no_child)?;
    let end = theirs.as_raw_fd();
    let child = Child::start(&[needs, &[theirs.as_fd()]], move || {
        let message = pack(call());
        let _ = write(inherited_fd(end), &message);
    })
    .map_err(no_child)?;
    drop(theirs);
    await_reply(child, &ours, deadline, &mut tick)?;
    let mut message: Message = [0; 12];
    let whole = read(&ours, &mut message) == Ok(message.len());
    // A child that was killed says nothing.
    Ok(if whole { unpack(message) } else { Err(Errno::INTR) })
}

/// Opens a device: a removable drive is asked for its medium on the way, and one that does not answer
/// keeps its opener in the kernel. So the child opens it, and sends the descriptor.
///
/// # Errors
/// As [`run`].
pub fn open(
    path: &Path,
    flags: OFlags,
    deadline: &mut Deadline<'_>,
) -> Result<Result<OwnedFd, Errno>> {
    deadline.check()?;
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return Ok(Err(Errno::INVAL)) };
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(no_child)?;
    let end = theirs.as_raw_fd();
    let child = Child::start(&[&[theirs.as_fd()]], move || {
        let opened = openat(CWD, &*path, flags | OFlags::CLOEXEC, Mode::empty());
        let _ = match &opened {
            Ok(device) => send(inherited_fd(end), pack(Ok([0; 8])), &[device.as_fd()]),
            Err(errno) => send(inherited_fd(end), pack(Err(*errno)), &[]),
        };
    })
    .map_err(no_child)?;
    drop(theirs);
    await_reply(child, &ours, deadline, &mut |_| {})?;
    let received = receive(&ours);
    // A socket that is closed looks as if there were something to read: the child was told to stop.
    if matches!(received, Err(Errno::INTR)) {
        deadline.check()?;
    }
    Ok(received)
}

/// Closes a device: the last one to close a removable drive tells it that its medium may leave, and waits
/// for the answer. So a child is the last one, and it is not waited for longer than [`CLOSING`].
pub fn close(device: OwnedFd) {
    let (clock, cancel) = (Linux::new(), Cancel::new());
    let mut watch = |_| {};
    let deadline = Deadline::until(&clock, clock.now() + CLOSING, &cancel, &mut watch);
    let Ok((ours, theirs)) = pipe_with(PipeFlags::CLOEXEC) else { return };
    let child = Child::start(&[&[device.as_fd(), ours.as_fd()]], || {
        // Ends when the parent has closed its own.
        let _ = read(&ours, &mut [0; 1]);
    });
    drop((device, theirs));
    if let Ok(child) = child {
        child.reap(&deadline);
    }
}

/// How long the closing of a device is waited for.
const CLOSING: Duration = Duration::from_secs(2);

fn send(socket: BorrowedFd<'_>, message: Message, fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(socket, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)
}

fn receive(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut message: Message = [0; 12];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut parts = [IoSliceMut::new(&mut message)];
    let received = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes != size_of::<Message>() {
        return Err(Errno::INTR);
    }
    let sent = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    unpack(message)?;
    // The child could open it, and there was no room for it here.
    sent.ok_or(Errno::MFILE)
}

fn no_child(errno: Errno) -> Error {
    Error::new(ErrorKind::Failed, "", format!("cannot start a child process: {errno}"))
        .with_os_code(errno.raw_os_error())
}

/// Is there something to read (or the other end closed) within this time.
fn poll_readable(pipe: &OwnedFd, time: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
    let time = Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ };
    matches!(poll(&mut fds, Some(&time)), Ok(n) if n > 0)
}

/// Is there a message: not so when the other end is closed only.
fn has_message(pipe: &OwnedFd) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&now)), Ok(1)) && fds[0].revents().contains(PollFlags::IN)
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

/// Waits until the child has said something, or is no more, and has left. When that takes too long it is told
/// to stop; what it had to say by then counts all the same.
fn await_reply(
    child: Child<'_>,
    ours: &OwnedFd,
    deadline: &mut Deadline<'_>,
    tick: &mut impl FnMut(&mut Deadline<'_>),
) -> Result<()> {
    while !poll_readable(ours, POLL_INTERVAL.min(deadline.remaining())) {
        tick(deadline);
        if let Err(error) = deadline.check() {
            drop(child);
            return if has_message(ours) { Ok(()) } else { Err(error) };
        }
    }
    child.reap(deadline);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::{Cancel, Clock};
    use crate::platform::linux::Linux;

    fn with_wait<T>(
        time: Duration,
        cancel: &Cancel,
        run: impl FnOnce(&mut Deadline<'_>) -> T,
    ) -> T {
        let clock = Linux::new();
        let mut watch = |_| {};
        run(&mut Deadline::until(&clock, clock.now() + time, cancel, &mut watch))
    }

    #[test]
    fn the_answer_of_the_child_comes_back() {
        let cancel = Cancel::new();
        let answer = with_wait(Duration::from_secs(60), &cancel, |deadline| {
            (
                run(deadline, |_| {}, &[], || Ok(*b"8 bytes!")),
                run(deadline, |_| {}, &[], || Err(Errno::IO)),
            )
        });
        assert_eq!(answer.0.unwrap(), Ok(*b"8 bytes!"));
        assert_eq!(answer.1.unwrap(), Err(Errno::IO));
    }

    #[test]
    fn a_call_that_does_not_come_back_is_left_behind_at_the_deadline() {
        let cancel = Cancel::new();
        let error = with_wait(Duration::from_millis(50), &cancel, |deadline| {
            run(deadline, |_| {}, &[], sleep_long).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn the_wish_to_stop_is_heard_while_a_call_hangs() {
        let cancel = Cancel::new();
        let error = with_wait(Duration::from_secs(600), &cancel, |deadline| {
            run(deadline, |_| cancel.cancel(), &[], sleep_long).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn an_open_that_does_not_come_back_is_late_and_not_interrupted() {
        // Nobody ever reads from it: opening it for writing waits for that.
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        let cancel = Cancel::new();
        let error = with_wait(Duration::from_millis(50), &cancel, |deadline| {
            open(&pipe, OFlags::WRONLY, deadline).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_child_keeps_nothing_open_that_its_call_does_not_need() {
        let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (needed_read, needed) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let cancel = Cancel::new();
        let mut others = Some((write_end, needed));
        let (mut closed, mut kept) = (false, false);
        let needs = others.as_ref().map(|(_, needed)| needed.as_raw_fd()).unwrap();
        // SAFETY: it is open until the child was made.
        let needs = unsafe { BorrowedFd::borrow_raw(needs) };
        let tick = |_: &mut Deadline<'_>| {
            others = None;
            closed = poll_readable(&read_end, Duration::from_secs(20));
            kept = !poll_readable(&needed_read, Duration::ZERO);
            cancel.cancel();
        };
        let error = with_wait(Duration::from_secs(600), &cancel, |deadline| {
            run(deadline, tick, &[needs], sleep_long).unwrap_err()
        });
        assert_eq!((error.kind(), closed, kept), (ErrorKind::Interrupted, true, true));
    }

    #[test]
    fn a_child_hears_no_signal_that_is_meant_for_this_program() {
        let hears_none = || {
            let mut mask = MaybeUninit::uninit();
            // SAFETY: the set is written by the first call and read by the others.
            let blocked = unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), mask.as_mut_ptr());
                [libc::SIGINT, libc::SIGTERM, libc::SIGTSTP]
                    .map(|signal| libc::sigismember(mask.as_ptr(), signal) == 1)
            };
            Ok([blocked.iter().all(|blocked| *blocked).into(), 0, 0, 0, 0, 0, 0, 0])
        };
        let cancel = Cancel::new();
        let child = with_wait(Duration::from_secs(60), &cancel, |deadline| {
            run(deadline, |_| {}, &[], hears_none).unwrap()
        });
        assert_eq!(child, Ok([1, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(hears_none(), Ok([0; 8]), "and this thread does");
    }

    fn sleep_long() -> Result<[u8; 8], Errno> {
        // SAFETY: sleep takes a number.
        unsafe { libc::sleep(600) };
        Ok([0; 8])
    }
}
