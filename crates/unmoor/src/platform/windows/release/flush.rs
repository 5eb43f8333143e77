//! Flush of a volume: `FlushFileBuffers` on a handle that may write.

use crate::deadline::Deadline;
use crate::model::drive::DriveKind;
use crate::model::error::{ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::Volume;
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::release::handles::DriveHandles;
use crate::platform::windows::sys::cancellable_io::{open_until, run_until};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::storage::WriteMeter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

const ERROR_WRITE_PROTECT: Code = 19;
/// Interval between queries of the bytes written.
const METER_INTERVAL: Duration = Duration::from_millis(500);
/// Time for the last query to return.
const METER_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

impl DriveHandles {
    /// Flushes the volume. Opening it flushes as well on some file systems, so that counts too.
    pub(crate) fn flush_volume(
        &mut self,
        volume: &Volume,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        if self.drive.kind == DriveKind::Optical {
            return Ok(flush_of_disc(volume));
        }
        if let Some(error) = &self.unwritten {
            return Err(error.clone());
        }
        let mut counter = WriteCounter::start(self.key.device_name());
        let mut moving = || counter.has_changed();
        let opened = match open_until(deadline, &mut moving, &volume.path, Access::Write)? {
            Err(ERROR_WRITE_PROTECT) => return Ok(StepOutcome::skipped("it is write protected")),
            Err(code) => return Err(win32_parse::error(code, &volume.name, "open to flush")),
            Ok(opened) => opened,
        };
        match run_until(deadline, &mut moving, move || opened.flush())? {
            Ok(()) => Ok(StepOutcome::via(Attempt::accepted(format!(
                "FlushFileBuffers on {}",
                volume.name
            )))),
            Err(ERROR_WRITE_PROTECT) => Ok(StepOutcome::skipped("it is write protected")),
            Err(code) if win32_parse::says_unsupported(code) => {
                let why = format!("its driver has no flush ({})", win32_parse::code_name(code));
                Ok(StepOutcome::skipped(why).with_warning(format!(
                    "{} could not be flushed by command; dismounting flushes too",
                    volume.name
                )))
            }
            Err(code) => {
                let error = win32_parse::error(code, &volume.name, "FlushFileBuffers");
                let error = match error.kind() {
                    // After any failure, the cache may still hold data.
                    ErrorKind::Failed | ErrorKind::TimedOut => {
                        error.with_kind(ErrorKind::Unwritten)
                    }
                    _ => error,
                };
                if error.kind() == ErrorKind::Unwritten {
                    self.unwritten = Some(error.clone());
                }
                Err(error)
            }
        }
    }
}

/// Counter of the writes that reach the disk, on a thread of its own.
///
/// Dropping it closes its handle of the disk, which would veto a removal of the device. A query that
/// does not return is left behind.
struct WriteCounter {
    changes: Arc<AtomicU64>,
    seen: u64,
    /// Dropped, it ends the thread.
    running: Option<Sender<()>>,
    /// Disconnected when the thread has closed its handle.
    closed: Receiver<()>,
}

impl WriteCounter {
    /// Starts the thread. Without a thread the flush has the deadline of any other step.
    fn start(device: Option<String>) -> WriteCounter {
        let (running, stopped) = mpsc::channel();
        let (open, closed) = mpsc::channel();
        let changes = Arc::new(AtomicU64::new(0));
        if let Some(name) = device {
            let path = format!(r"\\.\{name}");
            let changes = changes.clone();
            let count = move || {
                // Declared first, so dropped last.
                let _open: Sender<()> = open;
                count_changes(path, &changes, &stopped);
            };
            let _ = thread::Builder::new().name("unmoor-meter".into()).spawn(count);
        }
        WriteCounter { changes, seen: 0, running: Some(running), closed }
    }

    /// Returns true if bytes have reached the disk since the last call.
    fn has_changed(&mut self) -> bool {
        let now = self.changes.load(Ordering::Relaxed);
        std::mem::replace(&mut self.seen, now) != now
    }
}

impl Drop for WriteCounter {
    fn drop(&mut self) {
        self.running = None;
        let _ = self.closed.recv_timeout(METER_CLOSE_TIMEOUT);
    }
}

/// Counts how often the bytes written have changed, until the other end of `stopped` is dropped.
fn count_changes(path: String, changes: &AtomicU64, stopped: &Receiver<()>) {
    let Ok(device) = Device::open(path, Access::Query) else { return };
    let mut meter = WriteMeter::new(device);
    let mut before = None;
    while let Some(now) = meter.bytes_written() {
        if before.replace(now) != Some(now) {
            changes.fetch_add(1, Ordering::Relaxed);
        }
        if stopped.recv_timeout(METER_INTERVAL) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Discs are not flushed, as in the documentation of ejecting them. A disc written like a stick (UDF) is
/// flushed by its lock, but its session stays open, unlike with Explorer's "Eject".
fn flush_of_disc(volume: &Volume) -> StepOutcome {
    let done = StepOutcome::skipped("a CD or DVD is not flushed: nothing is cached for it");
    match volume.file_system.as_deref() {
        Some("UDF") if !volume.read_only => done.with_warning(format!(
            "{} is a disc that is written like a stick: locking flushes it, but does not close its \
             session, which other machines may need to read it",
            volume.name
        )),
        _ => done,
    }
}
