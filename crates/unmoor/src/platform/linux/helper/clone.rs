//! `clone(2)`: a process of its own for one system call, which can be left behind.

use crate::deadline::Deadline;
use crate::platform::linux::sys::blkdev::last_errno;
use rustix::fd::{AsRawFd, BorrowedFd, RawFd};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::time::Timespec;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::time::Duration;

/// How often, a [`PAUSE`] apart, it is looked whether a child that was told to stop has done so.
const REAP_POLLS: u32 = 500;

/// In nanoseconds.
const REAP_INTERVAL: i64 = 200_000;

/// The least time that a child gets to leave.
const EXIT_TIME: Duration = Duration::from_millis(100);

/// A child process. Dropped before it has answered, it is told to stop; it does as soon as the kernel
/// lets go of it.
pub struct Child<'w> {
    pid: libc::pid_t,
    /// It has been waited for.
    left: bool,
    /// Not given back while it is there.
    room: ManuallyDrop<Box<ChildMemory<'w>>>,
}

impl<'w> Child<'w> {
    /// Starts a child that does this and leaves: system calls only, nothing that allocates, frees or panics.
    /// It ends with its parent: what the parent was killed in the middle of is not gone on with.
    ///
    /// It keeps these descriptors and closes its copies of all others: one that gets stuck would keep the drive
    /// of another thread in use, and whoever reads what this program prints waiting.
    ///
    /// The child shares the memory of this program (`CLONE_VM`) and has a stack of its own. A copy, as fork(2)
    /// makes, costs more than most of the calls: the pages of all threads are protected, and copied one by one
    /// as soon as they are written to again.
    pub fn start(
        keep: &[&[BorrowedFd<'_>]],
        mut work: impl FnMut() + 'w,
    ) -> Result<Child<'w>, Errno> {
        let parent = getpid();
        let keep: Vec<RawFd> =
            keep.iter().flat_map(|fds| fds.iter()).map(AsRawFd::as_raw_fd).collect();
        let task: Task<'w> = Box::new(move || {
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            if getppid() == Some(parent) {
                close_all_but(&keep);
                work();
            }
        });
        let mut room = Box::new(ChildMemory { stack: Box::new_uninit(), task });
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
                libc::clone(child_main, top.cast(), libc::CLONE_VM | libc::SIGCHLD, task)
            }
        });
        match child {
            -1 => Err(last_errno()),
            pid => Ok(Child { pid, left: false, room: ManuallyDrop::new(room) }),
        }
    }

    /// Waits for it: it has answered, and only leaves. What it is the last to close may keep it.
    pub fn reap(mut self, deadline: &Deadline<'_>) {
        let until = deadline.now() + deadline.remaining().max(EXIT_TIME);
        while deadline.now() < until && !self.has_exited() {
            pause();
        }
    }

    fn has_exited(&mut self) -> bool {
        if self.left {
            return true;
        }
        // SAFETY: waitpid with no place for a status; the pid is that of a child of ours that has not
        // been waited for.
        self.left = match unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::WNOHANG) } {
            0 => false,
            -1 => last_errno() != Errno::INTR,
            _ => true,
        };
        self.left
    }
}

fn pause() {
    let _ = rustix::thread::nanosleep(&Timespec { tv_sec: 0, tv_nsec: REAP_INTERVAL });
}

impl Drop for Child<'_> {
    fn drop(&mut self) {
        if !self.has_exited() {
            // SAFETY: the pid is that of a child of ours that has not been waited for, so it is not reused.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
        }
        // One that can leave does so at once, and what it held open is closed then. One that is stuck
        // in the kernel is not waited for: it will not get to see anything of this program again, and
        // the kernel may still write to its stack.
        for _ in 0..REAP_POLLS {
            if self.has_exited() {
                // SAFETY: the child has left, so nobody uses its room, and this is the only drop of it.
                unsafe { ManuallyDrop::drop(&mut self.room) };
                return;
            }
            pause();
        }
    }
}

/// In a child: a descriptor that it keeps. The parent closes its own, to see when the child's end closes.
pub fn inherited_fd<'k>(number: RawFd) -> BorrowedFd<'k> {
    // SAFETY: the child has a table of its own, in which this stays open until it leaves.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// What a child does.
type Task<'w> = Box<dyn FnMut() + 'w>;

/// What a child needs as long as it lives.
struct ChildMemory<'w> {
    stack: Box<MaybeUninit<Stack>>,
    task: Task<'w>,
}

/// 64 KiB, where the calls need a page or two: what is not used costs nothing.
type Stack = [u128; 4 << 10];

/// The first function of a child.
extern "C" fn child_main(task: *mut libc::c_void) -> libc::c_int {
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
