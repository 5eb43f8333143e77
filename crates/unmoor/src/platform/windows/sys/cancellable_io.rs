//! Blocking requests with a deadline.
//!
//! A driver may keep a synchronous request for as long as it likes. The request runs on a thread of its
//! own; at the deadline, or when the operation is cancelled, `CancelSynchronousIo` (Windows Vista) takes
//! the request back. If the driver ignores that as well, the thread is left behind with the request.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::sys::device::{Access, Device, code};
use std::ffi::OsString;
use std::os::windows::io::AsRawHandle;
use std::sync::mpsc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};
use windows_sys::Win32::Foundation::ERROR_OPERATION_ABORTED;
use windows_sys::Win32::System::IO::CancelSynchronousIo;

/// Interval between checks of the deadline and of cancellation.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Time for a cancelled request to return.
const GRACE: Duration = Duration::from_secs(2);

/// Request that runs on a thread of its own.
#[derive(Debug)]
pub(crate) struct Request<T> {
    receiver: Receiver<T>,
    thread: JoinHandle<()>,
}

impl<T: Send + 'static> Request<T> {
    /// Starts the request.
    pub(crate) fn start(call: impl FnOnce() -> T + Send + 'static) -> Result<Request<T>> {
        let (sender, receiver) = mpsc::channel();
        let started = thread::Builder::new().name("unmoor-io".into()).spawn(move || {
            // After a timeout nothing receives the result.
            let _ = sender.send(call());
        });
        let thread = started.map_err(|e| win32_parse::error(code(&e), "", "CreateThread"))?;
        Ok(Request { receiver, thread })
    }

    /// Waits for the result until `go_on` fails. Then the request is cancelled; if it stays, a later
    /// call waits for the same request.
    pub(crate) fn wait(&self, mut go_on: impl FnMut() -> Result<()>) -> Result<T> {
        let mut stopped: Option<(Error, Instant)> = None;
        loop {
            match self.receiver.recv_timeout(POLL_INTERVAL) {
                // A late result still counts.
                Ok(value) => return Ok(value),
                Err(RecvTimeoutError::Disconnected) => {
                    let why = "a request ended without an answer";
                    return Err(Error::new(ErrorKind::Failed, "", why));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            match &stopped {
                Some((error, at)) if at.elapsed() >= GRACE => {
                    return Err(error.clone().append_detail("its driver keeps the request"));
                }
                Some(_) => self.cancel(),
                None => {
                    if let Err(error) = go_on() {
                        self.cancel();
                        stopped = Some((error, Instant::now()));
                    }
                }
            }
        }
    }

    /// Waits for the result for at most `time`; see [`Request::wait`].
    pub(crate) fn wait_for(&self, time: Duration) -> Result<T> {
        let start = Instant::now();
        self.wait(|| match start.elapsed() < time {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::TimedOut, "", "no answer from the drive")
                .with_help("unplug nothing yet: try again, or close what uses the drive")),
        })
    }

    fn cancel(&self) {
        // SAFETY: the handle belongs to the JoinHandle, which outlives the call. The call fails with
        // ERROR_NOT_FOUND if the thread is not in a request at that moment, and is repeated.
        unsafe { CancelSynchronousIo(self.thread.as_raw_handle()) };
    }
}

impl<T: Send + 'static> Request<Result<T, Code>> {
    /// Waits until the deadline. `moving` returns true if bytes still move, which extends the deadline
    /// of a flush.
    pub(crate) fn wait_until(
        &self,
        deadline: &mut Deadline<'_>,
        mut moving: impl FnMut() -> bool,
    ) -> Result<Result<T, Code>> {
        let mut reason = None;
        let result = self.wait(|| {
            if moving() {
                deadline.note_progress();
            }
            deadline.check().inspect_err(|e| reason = Some(e.clone()))
        })?;
        match (result, reason) {
            // The code says only that the request was aborted.
            (Err(ERROR_OPERATION_ABORTED), Some(reason)) => Err(reason),
            (result, _) => Ok(result),
        }
    }
}

/// Runs a blocking request until the [`Deadline`]; see [`Request::wait_until`].
pub(crate) fn run_until<T: Send + 'static>(
    deadline: &mut Deadline<'_>,
    moving: impl FnMut() -> bool,
    call: impl FnOnce() -> Result<T, Code> + Send + 'static,
) -> Result<Result<T, Code>> {
    Request::start(call)?.wait_until(deadline, moving)
}

/// Runs a blocking request for at most `time`, for calls of the seam without a [`Deadline`].
pub(crate) fn run_for<T: Send + 'static>(
    time: Duration,
    call: impl FnOnce() -> Result<T, Code> + Send + 'static,
) -> Result<Result<T, Code>> {
    Request::start(call)?.wait_for(time)
}

/// Opens a device or volume until the deadline. Opening a volume may write out its whole cache (FAT:
/// `FatCommonCreate` of Microsoft's published fastfat calls `FatFlushVolume`).
pub(crate) fn open_until(
    deadline: &mut Deadline<'_>,
    moving: impl FnMut() -> bool,
    path: impl Into<OsString>,
    access: Access,
) -> Result<Result<Device, Code>> {
    let path = path.into();
    run_until(deadline, moving, move || Device::open(path, access))
}

/// Returns the calling thread's `GetLastError`.
pub(crate) fn last() -> Code {
    code(&io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::{Cancel, Clock};

    struct Now;
    impl Clock for Now {
        fn now(&self) -> Duration {
            Duration::from_secs(1)
        }
        fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn a_returned_value_is_passed_on() {
        let cancel = Cancel::new();
        let mut watch = |_| {};
        let mut deadline = Deadline::until(&Now, Duration::from_secs(9), &cancel, &mut watch);
        assert_eq!(run_until(&mut deadline, || false, || Ok(7)).unwrap(), Ok(7));
        assert_eq!(run_until::<()>(&mut deadline, || false, || Err(21)).unwrap(), Err(21));
    }

    #[test]
    fn a_call_that_never_returns_is_left_behind_after_a_cancellation() {
        let cancel = Cancel::new();
        cancel.cancel();
        let mut watch = |_| {};
        let mut deadline = Deadline::until(&Now, Duration::from_secs(9), &cancel, &mut watch);
        let (_keep, never) = mpsc::channel::<()>();
        let stuck = move || never.recv().map_err(|_| 31);
        let error = run_until(&mut deadline, || false, stuck).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn a_request_that_was_left_behind_can_be_waited_for_again() {
        let (keep, wait) = mpsc::channel();
        let request = Request::start(move || wait.recv().map_err(|_| 31)).unwrap();
        let stop = || Err(Error::new(ErrorKind::TimedOut, "", "over"));
        assert_eq!(request.wait(stop).unwrap_err().kind(), ErrorKind::TimedOut);
        keep.send(7).unwrap();
        assert_eq!(request.wait(|| Ok(())).unwrap(), Ok(7));
    }

    #[test]
    fn a_panic_in_a_request_is_an_error_not_a_hang() {
        let cancel = Cancel::new();
        let mut watch = |_| {};
        let mut deadline = Deadline::until(&Now, Duration::from_secs(9), &cancel, &mut watch);
        let error = run_until::<()>(&mut deadline, || false, || panic!("on purpose")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
    }
}
