//! Locks, and what they are for: dismounting, taking offline.

use super::super::control::{Access, Device};
use super::super::{blockers, fsctl, in_time, relocate};
use super::{ASK_TIME, ERROR_ACCESS_DENIED, WindowsSession, attempt, within};
use crate::drive::{DriveKind, Volume};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::platform::win_parse;
use crate::report::{Attempt, Done};
use crate::wait::Wait;

impl WindowsSession {
    /// The handle that will hold the volume. Locking and dismounting want no right to write, taking it
    /// offline later does (its control code, 0x0056C00C, has FILE_READ_ACCESS and FILE_WRITE_ACCESS): so
    /// that is asked for, and done without where it is not given. A disc is opened to read only, as in the
    /// documentation's example of ejecting one.
    fn open_to_hold(&self, volume: &Volume) -> Result<Device> {
        if self.drive.kind != DriveKind::Optical
            && let Ok(device) = Device::open(&volume.path, Access::Write)
        {
            return Ok(device);
        }
        Device::open(&volume.path, Access::Read)
            .map_err(|code| win_parse::error(code, &volume.name, "open"))
    }

    /// One attempt; the handle stays open and holds the lock.
    pub(super) fn lock_volume(&mut self, volume: &Volume, wait: &mut Wait<'_>) -> Result<Done> {
        if self.held(volume).is_some() {
            return Ok(Done::skipped("locked already"));
        }
        let device = self.open_to_hold(volume)?;
        let method = format!("FSCTL_LOCK_VOLUME on {}", volume.name);
        let asked = within(&mut wait.part(Options::LOCK_TIME), &device, fsctl::lock);
        let answer = match asked {
            Ok(answer) => answer,
            // The user's own time may still last: then it is asked again.
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                let why = "programs that were told to let go did not answer yet";
                return Err(Error::new(ErrorKind::Busy, &volume.name, why));
            }
            Err(error) => return Err(error),
        };
        match answer {
            Ok(()) => {
                self.held.push((volume.name.clone(), device));
                Ok(Done::by(Attempt::accepted(method)))
            }
            // The documentation of FSCTL_LOCK_VOLUME: with open files it fails with this code.
            Err(ERROR_ACCESS_DENIED) => {
                if let Some(mut done) = self.only_our_starter(wait) {
                    // Not locked, but nobody's work is cut off by dismounting it.
                    self.held.push((volume.name.clone(), device));
                    done.attempts.push(attempt(method, &answer));
                    return Ok(done);
                }
                let why =
                    format!("is in use: something on it is open ({method}: ERROR_ACCESS_DENIED)");
                Err(Error::new(ErrorKind::Busy, &volume.name, why)
                    .with_os_code(ERROR_ACCESS_DENIED as i32)
                    .with_help("close what uses it, or pass --force to cut it off"))
            }
            Err(code) => Err(win_parse::volume_error(code, &volume.name, "FSCTL_LOCK_VOLUME")),
        }
    }

    /// This is a copy that was started from the drive, and its starter, which only waits, is all that
    /// was found to use it.
    fn only_our_starter(&self, wait: &Wait<'_>) -> Option<Done> {
        let starter = relocate::waited_for_by()?;
        let scan = blockers::search(&self.drive, wait);
        if !win_parse::is_alone(starter, &scan) {
            return None;
        }
        let why = "only the program that started this copy of itself runs from it";
        let done = Done::default().with_note(why);
        Some(match scan.unseen_processes {
            0 => done,
            unseen => done.with_warning(format!(
                "{} is dismounted without a lock: {why}, but {unseen} processes could not be looked \
                 into, and what they may have open there fails from now on",
                self.drive.name
            )),
        })
    }

    /// With the lock, or by force without it.
    pub(super) fn dismount_volume(
        &mut self,
        volume: &Volume,
        force: bool,
        wait: &mut Wait<'_>,
    ) -> Result<Done> {
        let device = match self.held(volume) {
            Some(device) => device.clone(),
            None if force => self.open_to_hold(volume)?,
            None => {
                return Err(Error::new(ErrorKind::Refused, &volume.name, "is not locked"));
            }
        };
        let method = format!("FSCTL_DISMOUNT_VOLUME on {}", volume.name);
        if let Err(code) = within(wait, &device, fsctl::dismount)? {
            let error = win_parse::volume_error(code, &volume.name, "FSCTL_DISMOUNT_VOLUME");
            return Err(error.with_attempts(vec![attempt(method, &Err(code))]));
        }
        let mut done = Done::by(Attempt::accepted(method));
        if self.held(volume).is_none() {
            done = done.with_note(format!(
                "{} dismounted without a lock: open handles on it now answer ERROR_NOT_READY",
                volume.name
            ));
            self.held.push((volume.name.clone(), device));
        }
        Ok(done)
    }

    /// `IOCTL_VOLUME_OFFLINE`, which only an administrator may. It goes through the handle that holds the
    /// volume: with the lock on, no other one gets through, and opening one could mount it again.
    pub(super) fn take_offline(&mut self, volume: &Volume, wait: &mut Wait<'_>) -> Result<Done> {
        let Some(device) = self.held(volume).cloned() else {
            return Err(Error::new(ErrorKind::Refused, &volume.name, "is not dismounted"));
        };
        match within(wait, &device, fsctl::offline)? {
            Ok(()) => Ok(Done::by(Attempt::accepted("IOCTL_VOLUME_OFFLINE"))),
            Err(code) => Err(win_parse::error(code, &volume.name, "IOCTL_VOLUME_OFFLINE")),
        }
    }

    /// Closes every handle, the one that asks too: any of them would veto the removal of the device. Where
    /// it is then, its node in the device tree says.
    pub(super) fn close_all(&mut self) {
        self.unlock_all();
        self.device = None;
    }

    /// Lets go of every lock.
    pub(super) fn unlock_all(&mut self) -> Done {
        if self.held.is_empty() {
            return Done::skipped("nothing is locked");
        }
        // Closing the handle unlocks as well: where the device is gone, that is what happens.
        let attempts = self.held.drain(..).rev().map(|(name, device)| {
            let method = format!("FSCTL_UNLOCK_VOLUME on {name}");
            match in_time::at_most(ASK_TIME, move || fsctl::unlock(&device)) {
                Ok(answer) => attempt(method, &answer),
                Err(late) => Attempt::failed(method, late.detail()),
            }
        });
        Done { attempts: attempts.collect(), ..Done::default() }
    }
}
