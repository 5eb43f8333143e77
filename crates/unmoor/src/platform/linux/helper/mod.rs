//! System calls that may not return for minutes, run where they can be left behind.
//!
//! `syncfs`, `umount2` or a SCSI command on a drive that does not answer sleeps in the kernel where no signal
//! reaches it, and takes its whole process along: not even `exit` gets past such a thread. So these calls run
//! in a helper process, forked once for each session, or for each operation without a session. The parent
//! keeps the deadline, reports progress and hears Ctrl-C. A helper that is stuck is killed and left behind
//! until the kernel gives up, and the next request gets a new one.
//!
//! The helper shares no memory with this program. It is fed over a socket pair with [`Request`]s: a closed
//! list of calls, with descriptors as `SCM_RIGHTS`.
//!
//! Every call that can reach a device, a server or a file system goes through the helper: `open` and `close` of
//! devices and of paths that a user named, `stat` of paths, `umount2`, `syncfs`, `fsync`, every ioctl of a
//! device, every read of a medium. These may stay outside, since the kernel answers them from its memory:
//! sysfs, procfs and `/run/udev` (names and attributes), the nodes in `/dev` themselves without opening them,
//! netlink and BPF, reads with `RWF_NOWAIT`, `close` of `O_PATH` descriptors, pidfds.

pub(crate) mod channel;
pub(crate) mod mount_again;
pub(crate) mod mount_calls;
pub(crate) mod pipeline;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod request;
pub(crate) mod serve;
#[cfg(test)]
mod tests;
pub(crate) mod timed_read;

use crate::deadline::{Clock, Deadline};
use crate::model::cdrom::CdromSetting;
use crate::model::error::{Error, ErrorKind, Result};
use crate::platform::linux::helper::pool::Pool;
use crate::platform::linux::helper::process::{CallOutcome, Process, Received};
use crate::platform::linux::helper::request::{DeviceCall, Request, Values};
use crate::platform::linux::sys::clock::{MonotonicClock, within};
use crate::platform::linux::sys::device_number;
use crate::platform::linux::sys::sg::{Command, ScsiResponse};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Timeout for closing a device.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Result of a call. The outer error is the deadline's, the cancel flag's, or that no helper could be forked; the
/// inner one is the call's own.
pub type CallResult<T> = Result<std::result::Result<T, Errno>>;

/// The helper of a session or of an operation. The process is forked at the first request; copies share it.
#[derive(Debug, Clone, Default)]
pub struct Helper {
    slot: Arc<Slot>,
    /// End of all that [`Helper::within`] allows, by the monotonic clock.
    end: Option<Duration>,
}

impl Helper {
    /// Creates a helper without a process: that is forked at the first request.
    pub fn new() -> Helper {
        Helper::default()
    }

    /// Creates a helper with an idle process of the pool, which goes back there later.
    ///
    /// Without an idle one, the process is forked at the first request.
    pub fn from_pool(pool: &Arc<Pool>) -> Helper {
        let slot = Slot { process: Mutex::new(pool.take()), pool: Some(pool.clone()) };
        Helper { slot: Arc::new(slot), end: None }
    }

    /// Limits the time that all calls by [`Helper::within`] take together.
    #[must_use]
    pub fn with_budget(self, total: Duration) -> Helper {
        Helper { end: Some(MonotonicClock.now() + total), ..self }
    }

    /// Calls `run` with a deadline after `time`, within the helper's budget.
    pub fn within<T>(&self, time: Duration, run: impl FnOnce(&mut Deadline<'_>) -> T) -> T {
        let left = self.end.map_or(time, |end| end.saturating_sub(MonotonicClock.now()));
        within(time.min(left), run)
    }

    /// Returns facts about the file at this path: see [`FileFacts`].
    ///
    /// # Errors
    /// As [`Helper::call_with_progress`].
    pub fn stat(&self, path: &Path, deadline: &mut Deadline<'_>) -> CallResult<FileFacts> {
        let directory = match base_directory(path) {
            Ok(directory) => directory,
            Err(errno) => return Ok(Err(errno)),
        };
        let path = match c_path(path) {
            Ok(path) => path,
            Err(errno) => return Ok(Err(errno)),
        };
        let directory = directory.as_ref().map(AsFd::as_fd);
        let answer = self.call(&Request::Stat { path: &path, directory }, deadline)?;
        Ok(answer.map(|[mode, device, node, inode, mount, _]| FileFacts {
            kind: FileType::from_raw_mode(u32::try_from(mode).unwrap_or(0)),
            device,
            node,
            inode,
            mount,
        }))
    }

    /// Makes a call, with `tick` called ten times a second meanwhile.
    ///
    /// # Errors
    /// The outer error: `TimedOut`, `Interrupted`, or `Failed` if no helper could be forked. The inner error is
    /// the call's own, or `EINTR` if the helper died.
    pub fn call_with_progress(
        &self,
        request: &Request<'_>,
        deadline: &mut Deadline<'_>,
        mut tick: impl FnMut(&mut Deadline<'_>),
    ) -> CallResult<(Values, Option<OwnedFd>)> {
        deadline.check()?;
        let process = match self.send(request) {
            Ok(process) => process,
            Err(SendError::Fork(errno)) => return Err(cannot_fork(errno)),
            Err(SendError::Request(errno)) => return Ok(Err(errno)),
        };
        self.await_reply(process, deadline, &mut tick)
    }

    /// Makes a call.
    ///
    /// # Errors
    /// As [`Helper::call_with_progress`].
    pub fn call(&self, request: &Request<'_>, deadline: &mut Deadline<'_>) -> CallResult<Values> {
        Ok(self.call_with_progress(request, deadline, |_| {})?.map(|(values, _)| values))
    }

    /// Makes a call that returns nothing.
    ///
    /// # Errors
    /// As [`Helper::call_with_progress`].
    pub fn run(&self, request: &Request<'_>, deadline: &mut Deadline<'_>) -> CallResult<()> {
        Ok(self.call(request, deadline)?.map(drop))
    }

    /// Makes a call that takes the device alone.
    ///
    /// # Errors
    /// As [`Helper::call_with_progress`].
    pub fn device_call(
        &self,
        device: BorrowedFd<'_>,
        call: DeviceCall,
        deadline: &mut Deadline<'_>,
    ) -> CallResult<Values> {
        self.call(&Request::Device { device, call }, deadline)
    }

    /// Changes a setting of an optical drive.
    ///
    /// # Errors
    /// As [`Helper::call_with_progress`].
    pub fn set_cdrom(
        &self,
        device: BorrowedFd<'_>,
        setting: CdromSetting,
        deadline: &mut Deadline<'_>,
    ) -> CallResult<Values> {
        self.call(&Request::Cdrom { device, setting }, deadline)
    }

    /// Sends a SCSI command and waits at most `timeout` for the drive.
    ///
    /// # Errors
    /// As [`Helper::call_with_progress`].
    pub fn scsi(
        &self,
        device: BorrowedFd<'_>,
        command: Command,
        timeout: Duration,
        deadline: &mut Deadline<'_>,
    ) -> CallResult<ScsiResponse> {
        let answer = self.call(&Request::Scsi { device, command, timeout }, deadline)?;
        Ok(answer.map(|[bytes, ..]| ScsiResponse::from_bytes(bytes.to_ne_bytes())))
    }

    /// Opens a file or a device.
    ///
    /// The kernel asks a removable drive for its medium on the way. If the drive does not answer, `open` does not
    /// return.
    ///
    /// # Errors
    /// As [`Helper::call_with_progress`].
    pub fn open(
        &self,
        path: &Path,
        flags: OFlags,
        deadline: &mut Deadline<'_>,
    ) -> CallResult<Device> {
        let directory = match base_directory(path) {
            Ok(directory) => directory,
            Err(errno) => return Ok(Err(errno)),
        };
        let Ok(path) = c_path(path) else { return Ok(Err(Errno::INVAL)) };
        let directory = directory.as_ref().map(AsFd::as_fd);
        self.open_by(&Request::Open { path: &path, flags, directory }, deadline)
    }

    /// Makes a call that opens something.
    ///
    /// # Errors
    /// As [`Helper::call_with_progress`].
    pub fn open_by(
        &self,
        request: &Request<'_>,
        deadline: &mut Deadline<'_>,
    ) -> CallResult<Device> {
        let opened = self.call_with_progress(request, deadline, |_| {})?;
        Ok(opened.and_then(|(values, fd)| {
            fd.map(|fd| Device::new(fd, values, self.clone())).ok_or(Errno::MFILE)
        }))
    }

    /// Closes a device, and waits for that no longer than `time`.
    ///
    /// The last `close` of a removable drive sends it a command and waits for the answer. So the helper closes
    /// last.
    fn close(&self, device: OwnedFd, time: Duration) {
        let Ok(process) = self.send(&Request::Close { device: device.as_fd() }) else { return };
        drop(device);
        if process.confirm_close().is_ok() {
            let _ = within(time, |deadline| self.await_reply(process, deadline, &mut |_| {}));
        }
    }

    /// Sends a request to the process, or to a new one if there is none, or it has ended.
    fn send(&self, request: &Request<'_>) -> std::result::Result<Process, SendError> {
        let idle = self.process().take().filter(Process::outlives_this_thread);
        if let Some(mut process) = idle {
            match process.send(request) {
                Ok(()) => return Ok(process),
                Err(Errno::PIPE | Errno::CONNRESET) => {}
                Err(errno) => {
                    *self.process() = Some(process);
                    return Err(SendError::Request(errno));
                }
            }
        }
        let mut process = Process::fork_here().map_err(SendError::Fork)?;
        process.send(request).map_err(SendError::Request)?;
        Ok(process)
    }

    /// Waits for the answer. A helper that takes too long is killed; an answer that it gave by then counts all
    /// the same.
    fn await_reply(
        &self,
        process: Process,
        deadline: &mut Deadline<'_>,
        tick: &mut dyn FnMut(&mut Deadline<'_>),
    ) -> Result<CallOutcome> {
        loop {
            match process.answer(deadline.remaining()) {
                Received::Message(answer) => {
                    *self.process() = Some(process);
                    return Ok(answer);
                }
                // A helper that was killed says nothing.
                Received::Closed => return Ok(Err(Errno::INTR)),
                Received::NotYet => {}
            }
            tick(deadline);
            if let Err(error) = deadline.check() {
                return process.abandon().ok_or(error);
            }
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.slot.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process of a helper while it is idle.
#[derive(Debug, Default)]
struct Slot {
    process: Mutex<Option<Process>>,
    pool: Option<Arc<Pool>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(pool), Some(process)) = (&self.pool, process) {
            pool.give_back(process);
        }
    }
}

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
    /// Wraps a descriptor that the helper has opened, with the numbers that came along.
    fn new(fd: OwnedFd, [number, diskseq, ..]: Values, helper: Helper) -> Device {
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
            self.helper.close(fd, CLOSE_TIMEOUT);
        }
    }
}

/// Attributes of a file, by `statx(2)`.
#[derive(Debug, Clone, Copy)]
pub struct FileFacts {
    pub kind: FileType,
    /// Device number of its file system.
    pub device: u64,
    /// Device number of the node that it is.
    pub node: u64,
    pub inode: u64,
    /// ID of the mount that it was reached through.
    pub mount: u64,
}

impl FileFacts {
    /// Returns the facts of a descriptor of this program. The kernel has them without asking a server.
    ///
    /// # Errors
    /// `EBADF` if it is not open.
    pub fn of_descriptor(number: u32) -> std::result::Result<FileFacts, Errno> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID;
        // The link of a descriptor leads to its file, past every directory.
        let stat = statx(CWD, format!("/proc/self/fd/{number}"), flags, wanted)?;
        Ok(FileFacts {
            kind: FileType::from_raw_mode(stat.stx_mode.into()),
            device: device_number::number(stat.stx_dev_major, stat.stx_dev_minor),
            node: device_number::number(stat.stx_rdev_major, stat.stx_rdev_minor),
            inode: stat.stx_ino,
            mount: stat.stx_mnt_id,
        })
    }
}

/// Why a request did not get to a helper.
enum SendError {
    /// No helper could be forked.
    Fork(Errno),
    /// The request cannot be sent.
    Request(Errno),
}

fn cannot_fork(errno: Errno) -> Error {
    Error::new(ErrorKind::Failed, "", format!("cannot start a child process: {errno}"))
        .with_os_code(errno.raw_os_error())
}

/// Returns the path as the kernel takes it.
///
/// # Errors
/// `EINVAL` if there is a NUL in it.
pub fn c_path(path: &Path) -> std::result::Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}

/// Opens the directory that a relative path begins at.
///
/// The helper has left the working directory.
pub fn base_directory(path: &Path) -> std::result::Result<Option<OwnedFd>, Errno> {
    if path.is_absolute() {
        return Ok(None);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, c".", flags, Mode::empty()).map(Some)
}
