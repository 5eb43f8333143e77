//! Lock of a volume, and the steps that need one: dismount, offline, unlock.

use crate::deadline::Deadline;
use crate::model::blocker::BlockerKind;
use crate::model::drive::DriveKind;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::Volume;
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::blockers::scan;
use crate::platform::windows::release::handles::{
    DriveHandles, ERROR_ACCESS_DENIED, OpenVolume, attempt, query, run_until,
};
use crate::platform::windows::sys::cancellable_io::{Request, open_until};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::privilege::Privilege;
use crate::platform::windows::sys::{fsctl, storage, volumes};

impl DriveHandles {
    /// Opens the volume, or returns the handle that is open already.
    ///
    /// Read access locks, dismounts and ejects. Taking a volume offline (control code 0x0056C00C) needs
    /// write access as well; a disc is opened for reading alone.
    fn open_volume(
        &mut self,
        volume: &Volume,
        deadline: &mut Deadline<'_>,
    ) -> Result<&mut OpenVolume> {
        if let Some(index) = self.volumes.iter().position(|open| open.name == volume.name) {
            return Ok(&mut self.volumes[index]);
        }
        let writes =
            self.drive.kind != DriveKind::Optical && (self.keep_offline || !self.drive.removable);
        let accesses: &[Access] =
            if writes { &[Access::Write, Access::Read] } else { &[Access::Read] };
        let mut refusal = ERROR_ACCESS_DENIED;
        for access in accesses {
            match open_until(deadline, || false, &volume.path, *access)? {
                Ok(device) => {
                    self.volumes.push(OpenVolume {
                        name: volume.name.clone(),
                        device,
                        locked: false,
                        dismounted: false,
                        lock_waived: false,
                        pending: None,
                    });
                    let last = self.volumes.len() - 1;
                    return Ok(&mut self.volumes[last]);
                }
                Err(code) => refusal = code,
            }
        }
        Err(self.opening_refused(volume, refusal))
    }

    /// Finds out why a volume could not be opened.
    fn opening_refused(&self, volume: &Volume, code: Code) -> Error {
        let optical = self.device.as_ref().filter(|_| self.drive.kind == DriveKind::Optical);
        let burner = optical.and_then(|device| {
            query(device, |device| storage::exclusive_program(device).ok_or(0)).ok()
        });
        let path = volume.path.to_string_lossy().into_owned();
        let root = match &self.device {
            Some(device) => query(device, move |_| {
                volumes::file_system(win32_parse::volume_root(&path)).map(drop)
            }),
            None => Ok(()),
        };
        let may_manage = Privilege::ManageVolume.is_held();
        win32_parse::opening_refused(code, &volume.name, root, burner.as_deref(), may_manage)
    }

    /// Tries once to lock the volume. The handle stays open for the next try.
    ///
    /// # Errors
    /// `Busy` if the volume is in use, locked by another program, or if a program that was notified of
    /// the lock did not answer yet; `NotPermitted` if this user may not open or lock it.
    pub(crate) fn lock_volume(
        &mut self,
        volume: &Volume,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        if self.held_volume(volume).is_some() {
            return Ok(StepOutcome::skipped("locked already"));
        }
        let open = self.open_volume(volume, deadline)?;
        let method = format!("FSCTL_LOCK_VOLUME on {}", volume.name);
        match lock(open, deadline) {
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                let why = "programs that were asked to close it did not answer yet";
                Err(Error::new(ErrorKind::Busy, &volume.name, why))
            }
            Err(error) => Err(error),
            Ok(Ok(())) => {
                open.locked = true;
                Ok(StepOutcome::via(Attempt::accepted(method)))
            }
            // The documentation of FSCTL_LOCK_VOLUME: with open files it fails with this code.
            Ok(Err(ERROR_ACCESS_DENIED)) => {
                if let Some(mut done) = self.used_by_waiting_process(deadline) {
                    // Not locked, but dismounting cuts off nobody's work.
                    self.open_volume(volume, deadline)?.lock_waived = true;
                    done.attempts.push(attempt(method, &Err(ERROR_ACCESS_DENIED)));
                    return Ok(done);
                }
                if !self.images_detached && self.only_images_are_open(deadline) {
                    self.images_detached = true;
                    let mut done = self.detach_images(deadline)?;
                    done.merge(self.lock_volume(volume, deadline)?);
                    return Ok(done);
                }
                let may_manage = Privilege::ManageVolume.is_held();
                Err(win32_parse::lock_refused(&volume.name, &method, may_manage))
            }
            Ok(Err(code)) => {
                Err(win32_parse::volume_error(code, &volume.name, "FSCTL_LOCK_VOLUME"))
            }
        }
    }

    /// Returns the outcome of a lock that Windows refused because of the waiting process alone.
    fn used_by_waiting_process(&self, deadline: &Deadline<'_>) -> Option<StepOutcome> {
        let pid = self.waiting_process?;
        let scan = scan::search(&self.drive, deadline);
        if !win32_parse::is_only_user(pid, &scan) {
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

    /// Returns true if images attached from files of the drive are all that keeps it busy.
    fn only_images_are_open(&self, deadline: &Deadline<'_>) -> bool {
        let blockers = scan::search(&self.drive, deadline).blockers;
        !blockers.is_empty() && blockers.iter().all(|one| one.kind == BlockerKind::Loop)
    }

    /// Keeps programs that write to the disk itself away, past the volumes: imagers write to
    /// `PhysicalDriveN`, usually after deleting the partitions. The handle stays open until the unlock.
    ///
    /// # Errors
    /// `Busy` if a program has the disk open for writing, or if Windows keeps the disk offline, as it
    /// does for a virtual machine's.
    pub(crate) fn exclude_writers(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        const ERROR_SHARING_VIOLATION: Code = 32;
        let name = self.key.device_name().filter(|_| self.drive.kind != DriveKind::Optical);
        let (Some(name), None) = (name, &self.exclusive) else {
            return Ok(StepOutcome::skipped("a lock keeps them out"));
        };
        let offline = |device: &Device| storage::is_offline(device).then_some(()).ok_or(0);
        if self.device.as_ref().is_some_and(|device| query(device, offline).is_ok()) {
            let why = "is offline in Windows: a virtual machine may be using it";
            return Err(Error::new(ErrorKind::Busy, &self.drive.name, why).with_help(
                "shut the virtual machine down, or take the disk online in Disk Management",
            ));
        }
        match open_until(deadline, || false, format!(r"\\.\{name}"), Access::ReadExclusive)? {
            Ok(device) => {
                self.exclusive = Some(device);
                Ok(StepOutcome::default())
            }
            Err(ERROR_SHARING_VIOLATION) => {
                let why = format!("a program has the disk itself ({name}) open for writing");
                Err(Error::new(ErrorKind::Busy, &self.drive.name, why)
                    .with_os_code(ERROR_SHARING_VIOLATION as i32)
                    .with_help("wait until that program has finished, or close it"))
            }
            Err(_) => Ok(StepOutcome::skipped("a lock keeps them out of the volumes")),
        }
    }

    /// Dismounts the volume: with its lock, or by force without one.
    pub(crate) fn dismount_volume(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        if self.held_volume(volume).is_none() && !force {
            return Err(Error::new(ErrorKind::Refused, &volume.name, "is not locked"));
        }
        let open = self.open_volume(volume, deadline)?;
        let method = format!("FSCTL_DISMOUNT_VOLUME on {}", volume.name);
        if let Err(code) = run_until(deadline, &open.device, fsctl::dismount)? {
            let error = win32_parse::volume_error(code, &volume.name, "FSCTL_DISMOUNT_VOLUME");
            return Err(error.with_attempts(vec![attempt(method, &Err(code))]));
        }
        open.dismounted = true;
        let done = StepOutcome::via(Attempt::accepted(method));
        Ok(match open.locked {
            true => done,
            false => done.with_note(format!(
                "{} dismounted without a lock: open handles on it now answer ERROR_NOT_READY",
                volume.name
            )),
        })
    }

    /// `IOCTL_VOLUME_OFFLINE`, which needs an administrator. The request goes through the handle that
    /// holds the lock: no other handle gets through, and opening one could mount the volume again.
    pub(crate) fn take_offline(
        &mut self,
        volume: &Volume,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let Some(open) = self.held_volume(volume) else {
            return Err(Error::new(ErrorKind::Refused, &volume.name, "is not dismounted"));
        };
        let device = open.device.clone();
        match run_until(deadline, &device, fsctl::offline)? {
            Ok(()) => Ok(StepOutcome::via(Attempt::accepted("IOCTL_VOLUME_OFFLINE"))),
            Err(code) => Err(win32_parse::error(code, &volume.name, "IOCTL_VOLUME_OFFLINE")),
        }
    }

    /// Closes every handle, since any of them would veto the removal of the device. From then on the
    /// device tree says whether the device is there.
    pub(crate) fn close_all(&mut self) {
        self.unlock_all();
        self.volumes.clear();
        self.device = None;
        self.medium = None;
    }

    /// Unlocks every volume. Handles of volumes that were locked alone stay open for the next try;
    /// those of dismounted volumes close, so that Windows may mount them again.
    pub(crate) fn unlock_all(&mut self) -> StepOutcome {
        self.exclusive = None;
        if !self.volumes.iter().any(OpenVolume::is_held) {
            return StepOutcome::skipped("nothing is locked");
        }
        let mut done = StepOutcome::default();
        let dismounted: Vec<&str> =
            self.volumes.iter().filter(|v| v.dismounted).map(|v| v.name.as_str()).collect();
        if !dismounted.is_empty() && !self.keep_offline && !self.performed {
            done = done.with_warning(format!(
                "Windows mounts {} again as soon as a program opens a file there",
                dismounted.join(", ")
            ));
        }
        // Closing the handle unlocks as well, also if the device is gone.
        for open in self.volumes.iter_mut().rev().filter(|open| open.locked) {
            open.locked = false;
            let unlocked = query(&open.device, fsctl::unlock);
            done.attempts.push(attempt(format!("FSCTL_UNLOCK_VOLUME on {}", open.name), &unlocked));
        }
        self.volumes.retain(|open| !open.dismounted && !open.lock_waived);
        done
    }
}

/// Sends `FSCTL_LOCK_VOLUME`, or waits for the request that is still with the driver. A second request
/// beside a pending one would be refused because of the pending one.
fn lock(open: &mut OpenVolume, deadline: &mut Deadline<'_>) -> Result<Result<(), Code>> {
    let request = match open.pending.take() {
        Some(pending) => pending,
        None => {
            let device = open.device.clone();
            Request::start(move || fsctl::lock(&device))?
        }
    };
    let result = request.wait_until(deadline, || false);
    if result.is_err() {
        open.pending = Some(request);
    }
    result
}
