//! Locks, and what they are for: dismounting, taking offline.

use crate::deadline::Deadline;
use crate::model::drive::DriveKind;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::Volume;
use crate::platform::win32_parse;
use crate::platform::windows::blockers::scan;
use crate::platform::windows::release::handles::{
    DriveHandles, ERROR_ACCESS_DENIED, QUERY_TIMEOUT, attempt, run_until,
};
use crate::platform::windows::relocate;
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::{cancellable_io, fsctl};

impl DriveHandles {
    /// The handle that will hold the volume. Locking and dismounting want no right to write, taking it
    /// offline later does (its control code, 0x0056C00C, has FILE_READ_ACCESS and FILE_WRITE_ACCESS): so
    /// that is asked for, and done without where it is not given. A disc is opened to read only, as in the
    /// documentation's example of ejecting one.
    fn open_for_lock(&self, volume: &Volume) -> Result<Device> {
        if self.drive.kind != DriveKind::Optical
            && let Ok(device) = Device::open(&volume.path, Access::Write)
        {
            return Ok(device);
        }
        Device::open(&volume.path, Access::Read)
            .map_err(|code| win32_parse::error(code, &volume.name, "open"))
    }

    /// One attempt; the handle stays open and holds the lock.
    pub(crate) fn lock_volume(
        &mut self,
        volume: &Volume,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        if self.locked_volume(volume).is_some() {
            return Ok(StepOutcome::skipped("locked already"));
        }
        let device = self.open_for_lock(volume)?;
        let method = format!("FSCTL_LOCK_VOLUME on {}", volume.name);
        let asked = run_until(deadline, &device, fsctl::lock);
        let answer = match asked {
            Ok(answer) => answer,
            // The user's own time may still last: then it is asked again.
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                let why = "programs that were asked to close it did not answer yet";
                return Err(Error::new(ErrorKind::Busy, &volume.name, why));
            }
            Err(error) => return Err(error),
        };
        match answer {
            Ok(()) => {
                self.locked_volumes.push((volume.name.clone(), device));
                Ok(StepOutcome::via(Attempt::accepted(method)))
            }
            // The documentation of FSCTL_LOCK_VOLUME: with open files it fails with this code.
            Err(ERROR_ACCESS_DENIED) => {
                if let Some(mut done) = self.is_only_parent(deadline) {
                    // Not locked, but nobody's work is cut off by dismounting it.
                    self.locked_volumes.push((volume.name.clone(), device));
                    done.attempts.push(attempt(method, &answer));
                    return Ok(done);
                }
                let why =
                    format!("is in use: something on it is open ({method}: ERROR_ACCESS_DENIED)");
                Err(Error::new(ErrorKind::Busy, &volume.name, why)
                    .with_os_code(ERROR_ACCESS_DENIED as i32)
                    .with_help("close what uses it, or pass --force to cut it off"))
            }
            Err(code) => Err(win32_parse::volume_error(code, &volume.name, "FSCTL_LOCK_VOLUME")),
        }
    }

    /// This is a copy that was started from the drive, and its starter, which only waits, is all that
    /// was found to use it.
    fn is_only_parent(&self, deadline: &Deadline<'_>) -> Option<StepOutcome> {
        let starter = relocate::waited_for_by()?;
        let scan = scan::search(&self.drive, deadline);
        if !win32_parse::is_alone(starter, &scan) {
            return None;
        }
        let why = "only the program that started this copy of itself runs from it";
        let done = StepOutcome::default().with_note(why);
        Some(match scan.inaccessible_processes {
            0 => done,
            unseen => done.with_warning(format!(
                "{} is dismounted without a lock: {why}, but {unseen} processes could not be looked \
                 into, and what they may have open there fails from now on",
                self.drive.name
            )),
        })
    }

    /// With the lock, or by force without it.
    pub(crate) fn dismount_volume(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let device = match self.locked_volume(volume) {
            Some(device) => device.clone(),
            None if force => self.open_for_lock(volume)?,
            None => {
                return Err(Error::new(ErrorKind::Refused, &volume.name, "is not locked"));
            }
        };
        let method = format!("FSCTL_DISMOUNT_VOLUME on {}", volume.name);
        if let Err(code) = run_until(deadline, &device, fsctl::dismount)? {
            let error = win32_parse::volume_error(code, &volume.name, "FSCTL_DISMOUNT_VOLUME");
            return Err(error.with_attempts(vec![attempt(method, &Err(code))]));
        }
        let mut done = StepOutcome::via(Attempt::accepted(method));
        if self.locked_volume(volume).is_none() {
            done = done.with_note(format!(
                "{} dismounted without a lock: open handles on it now answer ERROR_NOT_READY",
                volume.name
            ));
            self.locked_volumes.push((volume.name.clone(), device));
        }
        Ok(done)
    }

    /// `IOCTL_VOLUME_OFFLINE`, which only an administrator may. It goes through the handle that holds the
    /// volume: with the lock on, no other one gets through, and opening one could mount it again.
    pub(crate) fn take_offline(
        &mut self,
        volume: &Volume,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let Some(device) = self.locked_volume(volume).cloned() else {
            return Err(Error::new(ErrorKind::Refused, &volume.name, "is not dismounted"));
        };
        match run_until(deadline, &device, fsctl::offline)? {
            Ok(()) => Ok(StepOutcome::via(Attempt::accepted("IOCTL_VOLUME_OFFLINE"))),
            Err(code) => Err(win32_parse::error(code, &volume.name, "IOCTL_VOLUME_OFFLINE")),
        }
    }

    /// Closes every handle, the one that asks too: any of them would veto the removal of the device. Where
    /// it is then, its node in the device tree says.
    pub(crate) fn close_all(&mut self) {
        self.unlock_all();
        self.device = None;
    }

    /// Lets go of every lock.
    pub(crate) fn unlock_all(&mut self) -> StepOutcome {
        if self.locked_volumes.is_empty() {
            return StepOutcome::skipped("nothing is locked");
        }
        // Closing the handle unlocks as well: where the device is gone, that is what happens.
        let attempts = self.locked_volumes.drain(..).rev().map(|(name, device)| {
            let method = format!("FSCTL_UNLOCK_VOLUME on {name}");
            match cancellable_io::run_for(QUERY_TIMEOUT, move || fsctl::unlock(&device)) {
                Ok(answer) => attempt(method, &answer),
                Err(late) => Attempt::failed(method, late.detail()),
            }
        });
        StepOutcome { attempts: attempts.collect(), ..StepOutcome::default() }
    }
}
