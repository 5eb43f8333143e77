//! Ejection of the medium, and the choice between ejection and removal of the device.

use crate::deadline::Deadline;
use crate::model::drive::{DriveKind, Medium, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::release::handles::{
    DriveHandles, ERROR_ACCESS_DENIED, attempt, run_until,
};
use crate::platform::windows::sys::cancellable_io::open_until;
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::{fsctl, storage};
use std::time::Duration;

/// Time in which a stick that accepted an ejection loses its medium.
const EJECT_SETTLE: Duration = Duration::from_secs(3);

impl DriveHandles {
    /// Returns handles for requests to the whole drive: a volume that is open, or opened for it, then the
    /// drive itself. Some volume drivers do not pass requests down.
    pub(crate) fn drive_requests(
        &self,
        deadline: &mut Deadline<'_>,
    ) -> Result<Vec<(String, Device)>> {
        let open = self.volumes.iter().find(|open| open.is_held());
        let mut handles: Vec<(String, Device)> =
            open.map(|open| (open.name.clone(), open.device.clone())).into_iter().collect();
        if handles.is_empty()
            && let Some(volume) = self.drive.volumes.first()
            && let Ok(device) = open_until(deadline, || false, &volume.path, Access::Read)?
        {
            handles.push((volume.name.clone(), device));
        }
        if let Some(name) = self.key.device_name()
            && let Ok(device) =
                open_until(deadline, || false, format!(r"\\.\{name}"), Access::Read)?
        {
            handles.push((name, device));
        }
        Ok(handles)
    }

    /// Ejects the medium of a drive whose medium is removable. A stick that refuses, or accepts and
    /// keeps its medium, is removed as a device instead, unless other drives would go along.
    pub(crate) fn eject(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let removable_device = self.drive.kind == DriveKind::Disk
            && self.drive.siblings.is_empty()
            && self.drive.hotplug
            && self.removal_node().is_some();
        let before = match self.eject_medium(deadline) {
            Ok(done) if !removable_device || self.medium_leaves(deadline)? => {
                self.tray_opened = self.drive.medium == Medium::Absent;
                return Ok(done);
            }
            Ok(mut done) => {
                if let Some(last) = done.attempts.last_mut() {
                    last.detail = Some("accepted, but the medium is still in it".into());
                }
                Ok(done)
            }
            Err(error) if error.kind() == ErrorKind::NotSupported && removable_device => Err(error),
            Err(error) => return Err(error),
        };
        let attempts = match &before {
            Ok(done) => done.attempts.clone(),
            Err(error) => error.attempts().to_vec(),
        };
        match self.remove_device(deadline) {
            Ok(done) => Ok(with_earlier(done, attempts)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            // The first answer is the news; the veto stands among the attempts.
            Err(error) => {
                self.reopen()?;
                let all = [attempts, error.attempts().to_vec()].concat();
                match before {
                    Ok(done) => Ok(StepOutcome { attempts: all, ..done }),
                    Err(first) => Err(first.with_attempts(all)),
                }
            }
        }
    }

    /// Asks a drive whose medium is taken out by hand: a memory card is removed as a device first. If the
    /// drive has no command, nothing is left to do.
    pub(crate) fn eject_by_hand(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let mut attempts = Vec::new();
        if self.drive.siblings.is_empty() && self.removal_node().is_some() {
            match self.remove_device(deadline) {
                Ok(done) => return Ok(done),
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    attempts = error.attempts().to_vec();
                    self.dismount_again(false, deadline).map_err(|_| error)?;
                }
            }
        }
        match self.eject_medium(deadline) {
            Ok(done) => Ok(with_earlier(done, attempts)),
            Err(error) if error.kind() == ErrorKind::NotSupported => {
                let how = match self.drive.kind {
                    DriveKind::Floppy => "press its button",
                    _ => "take the card out by hand",
                };
                let why = format!("nothing to eject: this drive has no command for it; {how}");
                let all = [attempts, error.attempts().to_vec()].concat();
                Ok(StepOutcome { attempts: all, ..StepOutcome::skipped(why) })
            }
            Err(error) => Err(error),
        }
    }

    /// Releases a drive that cannot lose its medium: removes the device, as "Safely Remove Hardware"
    /// does. If that fails, or if other drives would go along, the drive is asked to eject.
    ///
    /// An ejected disk only stops: the next access starts and mounts it again. So ejection comes second,
    /// and its volumes are taken offline where this user may.
    pub(crate) fn stop(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let mut attempts = Vec::new();
        if self.drive.siblings.is_empty() && self.removal_node().is_some() {
            let dismounted = self.is_dismounted();
            let forced = self.volumes.iter().any(|open| open.dismounted && !open.locked);
            match self.remove_device(deadline) {
                Ok(done) => return Ok(done),
                Err(error) if !dismounted || error.kind() == ErrorKind::Interrupted => {
                    return Err(error);
                }
                Err(error) => {
                    attempts = error.attempts().to_vec();
                    // The locks went with the handles.
                    self.dismount_again(forced, deadline).map_err(|_| error)?;
                }
            }
        }
        if !self.is_dismounted() {
            let why = "is not dismounted: this user may not lock it";
            return Err(Error::new(ErrorKind::NotPermitted, &self.drive.name, why)
                .with_help("run it as administrator")
                .with_attempts(attempts));
        }
        let mut done = match self.eject_medium(deadline) {
            Ok(done) => with_earlier(done, attempts),
            Err(error) => {
                let all = [attempts, error.attempts().to_vec()].concat();
                return Err(error.with_attempts(all));
            }
        };
        let devices: Vec<Device> = self.volumes.iter().map(|open| open.device.clone()).collect();
        let mut offline = !devices.is_empty();
        for device in devices {
            offline &= run_until(deadline, &device, fsctl::offline)?.is_ok();
        }
        if !offline {
            done = done.with_warning(format!(
                "nothing of {} is mounted now; Windows may start and mount it again until it is \
                 unplugged",
                self.drive.name
            ));
        }
        Ok(done)
    }

    /// Locks and dismounts every volume again.
    fn dismount_again(&mut self, forced: bool, deadline: &mut Deadline<'_>) -> Result<()> {
        self.reopen()?;
        for volume in self.drive.volumes.clone().iter().rev() {
            if !forced {
                self.lock_volume(volume, deadline)?;
            }
            self.dismount_volume(volume, forced, deadline)?;
        }
        Ok(())
    }

    /// Sends `IOCTL_STORAGE_EJECT_MEDIA`; no check of the drive's type, the hardware answers. First on
    /// the volume, whose handle holds the lock, then on the drive.
    fn eject_medium(&self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let mut attempts = Vec::new();
        let mut failure: Option<Code> = None;
        let handles = self.drive_requests(deadline)?;
        if handles.is_empty() {
            return Err(win32_parse::error(ERROR_ACCESS_DENIED, &self.drive.name, "open"));
        }
        for (name, device) in handles {
            let mut ejected = run_until(deadline, &device, storage::eject_media)?;
            attempts.push(attempt(format!("IOCTL_STORAGE_EJECT_MEDIA on {name}"), &ejected));
            if ejected.is_err() {
                // A program may have locked the medium in. Allowing removal lowers a count that all
                // programs share, so it is done only after a refusal.
                let allowed = run_until(deadline, &device, storage::allow_removal)?;
                let method = format!("IOCTL_STORAGE_MEDIA_REMOVAL (allow) on {name}");
                attempts.push(attempt(method, &allowed));
                if allowed.is_ok() {
                    ejected = run_until(deadline, &device, storage::eject_media)?;
                    let method = format!("IOCTL_STORAGE_EJECT_MEDIA on {name}");
                    attempts.push(attempt(method, &ejected));
                }
            }
            match ejected {
                Ok(()) => return Ok(StepOutcome { attempts, ..StepOutcome::default() }),
                // A drive that failed outweighs one that does not know the request.
                Err(code) if failure.is_none_or(win32_parse::says_unsupported) => {
                    failure = Some(code);
                }
                Err(_) => {}
            }
        }
        let error = win32_parse::not_ejected(failure.unwrap_or(ERROR_ACCESS_DENIED), &self.drive);
        Err(error.with_attempts(attempts))
    }

    /// Waits until the drive has lost its medium; returns false if it keeps it.
    fn medium_leaves(&self, deadline: &mut Deadline<'_>) -> Result<bool> {
        let end = deadline.now() + EJECT_SETTLE;
        while self.presence() == Presence::Present {
            if deadline.now() >= end {
                return Ok(false);
            }
            deadline.sleep(Duration::from_millis(100))?;
        }
        Ok(true)
    }
}

/// Puts the attempts made earlier in front.
fn with_earlier(mut done: StepOutcome, earlier: Vec<Attempt>) -> StepOutcome {
    done.attempts.splice(0..0, earlier);
    done
}
