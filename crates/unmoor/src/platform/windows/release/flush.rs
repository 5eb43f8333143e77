//! Flushing: what is in the cache for a volume goes to the medium.

use crate::deadline::Deadline;
use crate::model::drive::DriveKind;
use crate::model::error::{ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::Volume;
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::release::handles::DriveHandles;
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::{cancellable_io, storage};

const ERROR_WRITE_PROTECT: Code = 19;

impl DriveHandles {
    /// `FlushFileBuffers` on a handle that may write.
    pub(crate) fn flush_volume(
        &mut self,
        volume: &Volume,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        if self.drive.kind == DriveKind::Optical {
            return Ok(StepOutcome::skipped(
                "a CD or DVD is not flushed: nothing is cached for it",
            ));
        }
        if let Some(error) = &self.unwritten {
            return Err(error.clone());
        }
        let opened = match Device::open(&volume.path, Access::Write) {
            Err(ERROR_WRITE_PROTECT) => return Ok(StepOutcome::skipped("it is write protected")),
            Err(code) => {
                return Err(win32_parse::error(code, &volume.name, "open to flush"));
            }
            Ok(opened) => opened,
        };
        let meter = self.device.clone();
        let mut before = None;
        let moving = || {
            let now = meter.as_ref().and_then(storage::bytes_written);
            now.is_some() && before.replace(now) != Some(now)
        };
        match cancellable_io::run_until(deadline, moving, move || opened.flush())? {
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
                    // Whatever went wrong, what was in the cache may still be there.
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
