//! Calls that may block, within their time.
//!
//! A driver may keep a synchronous request for as long as it likes. It runs on a thread of its own;
//! at the deadline, or when the user wishes to stop, `CancelSynchronousIo` (Windows Vista) takes it
//! back. A driver that does not even let go then keeps the thread, not the user.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::sys::device::code;
use std::os::windows::io::AsRawHandle;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};
use windows_sys::Win32::Foundation::ERROR_OPERATION_ABORTED;
use windows_sys::Win32::System::IO::CancelSynchronousIo;

/// How often the deadline and the wish to stop are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long a cancelled request gets to come back.
const GRACE: Duration = Duration::from_secs(2);

/// Runs `call` on another thread until it returns or `go_on` fails, which is asked every tick.
fn run<T: Send + 'static>(
    mut go_on: impl FnMut() -> Result<()>,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = mpsc::channel();
    let start = thread::Builder::new().name("unmoor-io".into()).spawn(move || {
        // Nobody listens any more after a timeout.
        let _ = sender.send(call());
    });
    let thread = start.map_err(|e| win32_parse::error(code(&e), "", "CreateThread"))?;
    let mut stopped: Option<(Error, Instant)> = None;
    loop {
        match receiver.recv_timeout(POLL_INTERVAL) {
            // It came back in the end: what it says counts more than that it was late.
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(ErrorKind::Failed, "", "a request ended without an answer"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        match &stopped {
            Some((error, at)) if at.elapsed() >= GRACE => {
                return Err(error.clone().append_detail("its driver keeps the request"));
            }
            Some(_) => cancel(&thread),
            None => {
                if let Err(error) = go_on() {
                    cancel(&thread);
                    stopped = Some((error, Instant::now()));
                }
            }
        }
    }
}

fn cancel(thread: &JoinHandle<()>) {
    // SAFETY: the handle belongs to the JoinHandle, which outlives the call. It fails with
    // ERROR_NOT_FOUND when the thread is not in a request just now, which is asked again.
    unsafe { CancelSynchronousIo(thread.as_raw_handle()) };
}

/// Runs a blocking request within its [`Deadline`]. `moving` is asked now and then whether bytes still
/// move: if so, the deadline of a flush moves along.
pub(crate) fn run_until<T: Send + 'static>(
    deadline: &mut Deadline<'_>,
    mut moving: impl FnMut() -> bool,
    call: impl FnOnce() -> Result<T, Code> + Send + 'static,
) -> Result<Result<T, Code>> {
    let mut reason = None;
    let result = run(
        || {
            if moving() {
                deadline.note_progress();
            }
            deadline.check().inspect_err(|e| reason = Some(e.clone()))
        },
        call,
    )?;
    match (result, reason) {
        // The code says only that it was cut short; why, we know.
        (Err(ERROR_OPERATION_ABORTED), Some(reason)) => Err(reason),
        (result, _) => Ok(result),
    }
}

/// As [`within`], for calls of the seam that have no [`Deadline`] of their own.
pub(crate) fn run_for<T: Send + 'static>(
    time: Duration,
    call: impl FnOnce() -> Result<T, Code> + Send + 'static,
) -> Result<Result<T, Code>> {
    let start = Instant::now();
    run(
        || match start.elapsed() < time {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::TimedOut, "", "no answer from the drive")
                .with_help("unplug nothing yet: try again, or close what uses the drive")),
        },
        call,
    )
}

/// The sentence for a `GetLastError` that the standard library kept.
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
    fn what_returns_is_passed_on() {
        let cancel = Cancel::new();
        let mut watch = |_| {};
        let mut deadline = Deadline::until(&Now, Duration::from_secs(9), &cancel, &mut watch);
        assert_eq!(run_until(&mut deadline, || false, || Ok(7)).unwrap(), Ok(7));
        assert_eq!(run_until::<()>(&mut deadline, || false, || Err(21)).unwrap(), Err(21));
    }

    #[test]
    fn what_never_returns_is_left_behind_when_the_user_wishes_to_stop() {
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
    fn a_panic_in_a_request_is_an_error_not_a_hang() {
        let cancel = Cancel::new();
        let mut watch = |_| {};
        let mut deadline = Deadline::until(&Now, Duration::from_secs(9), &cancel, &mut watch);
        let error = run_until::<()>(&mut deadline, || false, || panic!("on purpose")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
    }
}
