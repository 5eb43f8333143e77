//! System calls that may not come back for minutes, run where they can be left behind.
//!
//! `syncfs`, `umount2` or a SCSI command on a drive that does not answer sleeps in the kernel where no
//! signal reaches it, and takes its whole process along: not even `exit` gets past such a thread. So
//! it runs in a child process. The parent keeps the deadline, shows progress, and hears Ctrl-C; a child
//! that is stuck stays behind until the kernel gives up, and nobody waits for it.

use crate::error::{Error, ErrorKind, Result};
use crate::platform::linux::Linux;
use crate::wait::{Cancel, Clock, Wait};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, IoSlice, IoSliceMut, read, write};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::time::Timespec;
use std::ffi::CString;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// How often the parent looks up while it waits.
const TICK: Duration = Duration::from_millis(100);

/// How often, a [`PAUSE`] apart, it is looked whether a child that was told to stop has done so.
const PARTING: u32 = 500;

/// In nanoseconds.
const PAUSE: i64 = 200_000;

/// The least time that a child gets to leave.
const LEAVING: Duration = Duration::from_millis(100);

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
    wait: &mut Wait<'_>,
    mut tick: impl FnMut(&mut Wait<'_>),
    needs: &[BorrowedFd<'_>],
    mut call: impl FnMut() -> Result<[u8; 8], Errno>,
) -> Result<Result<[u8; 8], Errno>> {
    wait.check()?;
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(no_child)?;
    let end = theirs.as_raw_fd();
    let child = fork(&[needs, &[theirs.as_fd()]], move || {
        let message = pack(call());
        let _ = write(kept(end), &message);
    })?;
    drop(theirs);
    child.await_answer(&ours, wait, &mut tick)?;
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
pub fn open(path: &Path, flags: OFlags, wait: &mut Wait<'_>) -> Result<Result<OwnedFd, Errno>> {
    wait.check()?;
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return Ok(Err(Errno::INVAL)) };
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(no_child)?;
    let end = theirs.as_raw_fd();
    let child = fork(&[&[theirs.as_fd()]], move || {
        let opened = openat(CWD, &*path, flags | OFlags::CLOEXEC, Mode::empty());
        let _ = match &opened {
            Ok(device) => send(kept(end), pack(Ok([0; 8])), &[device.as_fd()]),
            Err(errno) => send(kept(end), pack(Err(*errno)), &[]),
        };
    })?;
    drop(theirs);
    child.await_answer(&ours, wait, &mut |_| {})?;
    let received = receive(&ours);
    // A socket that is closed looks as if there were something to read: the child was told to stop.
    if matches!(received, Err(Errno::INTR)) {
        wait.check()?;
    }
    Ok(received)
}

/// Closes a device: the last one to close a removable drive tells it that its medium may leave, and waits
/// for the answer. So a child is the last one, and it is not waited for longer than [`CLOSING`].
pub fn close(device: OwnedFd) {
    let (clock, cancel) = (Linux::new(), Cancel::new());
    let mut watch = |_| {};
    let wait = Wait::until(&clock, clock.now() + CLOSING, &cancel, &mut watch);
    let Ok((ours, theirs)) = pipe_with(PipeFlags::CLOEXEC) else { return };
    let child = fork(&[&[device.as_fd(), ours.as_fd()]], || {
        // Ends when the parent has closed its own.
        let _ = read(&ours, &mut [0; 1]);
    });
    drop((device, theirs));
    if let Ok(child) = child {
        child.reap(&wait);
    }
}

/// How long the closing of a device is waited for.
const CLOSING: Duration = Duration::from_secs(2);

/// Makes a child that does this and leaves. It ends with its parent: what the parent was killed in the
/// middle of is not gone on with.
///
/// It keeps these descriptors and closes its copies of all others: one that gets stuck would keep the drive
/// of another thread in use, and whoever reads what this program prints waiting.
///
/// The child shares the memory of this program (`CLONE_VM`) and has a stack of its own. A copy, as fork(2)
/// makes, costs more than most of the calls: the pages of all threads are protected, and copied one by one
/// as soon as they are written to again.
fn fork<'w>(keep: &[&[BorrowedFd<'_>]], mut work: impl FnMut() + 'w) -> Result<Child<'w>> {
    let parent = getpid();
    let keep: Vec<RawFd> = keep.iter().flat_map(|fds| fds.iter()).map(AsRawFd::as_raw_fd).collect();
    let task: Task<'w> = Box::new(move || {
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        if getppid() == Some(parent) {
            close_all_but(&keep);
            work();
        }
    });
    let mut room = Box::new(Room { stack: Box::new_uninit(), task });
    // SAFETY: one past the end of the stack's own memory.
    let top = unsafe { room.stack.as_mut_ptr().add(1) };
    let child = without_signals(|| {
        // SAFETY: the stack grows down from its top, which is aligned, and nobody else uses it. It and the
        // task lie in the room, which is given back only when the child has left, and kept for good when it
        // cannot leave. The child makes system calls only, by contract: no lock of another thread is taken
        // and nothing is allocated or freed. Where such a call sets errno, which is this thread's too, this
        // thread only waits meanwhile.
        unsafe {
            let task = (&raw mut room.task).cast();
            libc::clone(begin, top.cast(), libc::CLONE_VM | libc::SIGCHLD, task)
        }
    });
    match child {
        -1 => Err(no_child(super::blkdev::last_errno())),
        pid => Ok(Child { pid, left: false, room: ManuallyDrop::new(room) }),
    }
}

/// In a child: a descriptor that it keeps. The parent closes its own, to see when the child's end closes.
fn kept<'k>(number: RawFd) -> BorrowedFd<'k> {
    // SAFETY: the child has a table of its own, in which this stays open until it leaves.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// What a child does.
type Task<'w> = Box<dyn FnMut() + 'w>;

/// What a child needs as long as it lives.
struct Room<'w> {
    stack: Box<MaybeUninit<Stack>>,
    task: Task<'w>,
}

/// 64 KiB, where the calls need a page or two: what is not used costs nothing.
type Stack = [u128; 4 << 10];

/// The first function of a child.
extern "C" fn begin(task: *mut libc::c_void) -> libc::c_int {
    // SAFETY: it points to the task of the child's room, which nobody else looks at.
    let task = unsafe { &mut *task.cast::<Task<'_>>() };
    task();
    0
}

/// Does this while no signal is delivered to this thread. A child that is made meanwhile never gets any but
/// SIGKILL: it would run this program's handlers a second time.
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

/// Closes every descriptor but these.
fn close_all_but(keep: &[RawFd]) {
    let number = |fd: &RawFd| fd.unsigned_abs();
    let mut from = 0;
    // No room to sort them: the next one is looked for instead.
    while let Some(next) = keep.iter().map(number).filter(|n| *n >= from).min() {
        if next > from {
            close_range(from, next - 1);
        }
        from = next + 1;
    }
    close_range(from, u32::MAX);
}

/// close_range(2).
fn close_range(first: u32, last: u32) {
    // SAFETY: three integers by value. It is called in a child that uses none of these descriptors.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0;
    if !closed {
        // Linux before 5.9. No drive is opened beyond that number unless very many are released at once.
        for fd in first..=last.min(1024) {
            // SAFETY: as above.
            unsafe { libc::close(fd.cast_signed()) };
        }
    }
}

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
fn ready(pipe: &OwnedFd, time: Duration) -> bool {
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

/// A child process. Dropped before it has answered, it is told to stop; it does as soon as the kernel
/// lets go of it.
struct Child<'w> {
    pid: libc::pid_t,
    /// It has been waited for.
    left: bool,
    /// Not given back while it is there.
    room: ManuallyDrop<Box<Room<'w>>>,
}

impl Child<'_> {
    /// Waits until it has said something, or is no more, and has left. When that takes too long it is told
    /// to stop; what it had to say by then counts all the same.
    fn await_answer(
        self,
        ours: &OwnedFd,
        wait: &mut Wait<'_>,
        tick: &mut impl FnMut(&mut Wait<'_>),
    ) -> Result<()> {
        while !ready(ours, TICK.min(wait.left())) {
            tick(wait);
            if let Err(error) = wait.check() {
                drop(self);
                return if has_message(ours) { Ok(()) } else { Err(error) };
            }
        }
        self.reap(wait);
        Ok(())
    }

    /// Waits for it: it has answered, and only leaves. What it is the last to close may keep it.
    fn reap(mut self, wait: &Wait<'_>) {
        let until = wait.now() + wait.left().max(LEAVING);
        while wait.now() < until && !self.has_left() {
            pause();
        }
    }

    fn has_left(&mut self) -> bool {
        if self.left {
            return true;
        }
        // SAFETY: waitpid with no place for a status; the pid is that of a child of ours that has not
        // been waited for.
        self.left = match unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::WNOHANG) } {
            0 => false,
            -1 => super::blkdev::last_errno() != Errno::INTR,
            _ => true,
        };
        self.left
    }
}

fn pause() {
    let _ = rustix::thread::nanosleep(&Timespec { tv_sec: 0, tv_nsec: PAUSE });
}

impl Drop for Child<'_> {
    fn drop(&mut self) {
        if !self.has_left() {
            // SAFETY: the pid is that of a child of ours that has not been waited for, so it is not reused.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
        }
        // One that can leave does so at once, and what it held open is closed then. One that is stuck
        // in the kernel is not waited for: it will not get to see anything of this program again, and
        // the kernel may still write to its stack.
        for _ in 0..PARTING {
            if self.has_left() {
                // SAFETY: the child has left, so nobody uses its room, and this is the only drop of it.
                unsafe { ManuallyDrop::drop(&mut self.room) };
                return;
            }
            pause();
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
            (run(wait, |_| {}, &[], || Ok(*b"8 bytes!")), run(wait, |_| {}, &[], || Err(Errno::IO)))
        });
        assert_eq!(answer.0.unwrap(), Ok(*b"8 bytes!"));
        assert_eq!(answer.1.unwrap(), Err(Errno::IO));
    }

    #[test]
    fn a_call_that_does_not_come_back_is_left_behind_at_the_deadline() {
        let cancel = Cancel::new();
        let error = with_wait(Duration::from_millis(50), &cancel, |wait| {
            run(wait, |_| {}, &[], sleep_long).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn the_wish_to_stop_is_heard_while_a_call_hangs() {
        let cancel = Cancel::new();
        let error = with_wait(Duration::from_secs(600), &cancel, |wait| {
            run(wait, |_| cancel.cancel(), &[], sleep_long).unwrap_err()
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
        let error = with_wait(Duration::from_millis(50), &cancel, |wait| {
            open(&pipe, OFlags::WRONLY, wait).unwrap_err()
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
        let tick = |_: &mut Wait<'_>| {
            others = None;
            closed = ready(&read_end, Duration::from_secs(20));
            kept = !ready(&needed_read, Duration::ZERO);
            cancel.cancel();
        };
        let error = with_wait(Duration::from_secs(600), &cancel, |wait| {
            run(wait, tick, &[needs], sleep_long).unwrap_err()
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
        let child = with_wait(Duration::from_secs(60), &cancel, |wait| {
            run(wait, |_| {}, &[], hears_none).unwrap()
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
