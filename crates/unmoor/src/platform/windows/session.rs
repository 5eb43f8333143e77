//! One drive, opened: the handles that hold its locks, and what is asked of it.

use crate::deadline::Deadline;
use crate::model::blocker::BlockerScan;
use crate::model::drive::Drive;
use crate::model::drive::DriveKind;
use crate::model::drive::Presence;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::step::Attempt;
use crate::model::volume::Mount;
use crate::model::volume::Volume;
use crate::platform::win32_parse::Code;
use crate::platform::windows::blockers::scan;
use crate::platform::windows::inventory::snapshot::{DriveKey, Inventory};
use crate::platform::windows::inventory::{describe, resolve};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::{cancellable_io, storage};
use crate::platform::{Session, win32_parse};
use std::time::Duration;

pub(crate) const ERROR_ACCESS_DENIED: Code = 5;

/// How long the drive may take to answer a question: a disk that sleeps spins up first.
pub(crate) const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// The volumes that are held locked or dismounted, by name, with the handle that holds each.
type LockedVolume = Vec<(String, Device)>;

/// One drive, opened and bound by an open handle: should the device leave, the handle stays with the
/// device that was, and answers so.
#[derive(Debug)]
pub(crate) struct WindowsSession {
    pub(crate) drive: Drive,
    pub(crate) key: DriveKey,
    pub(crate) instance: Option<String>,
    /// Opened to ask. Let go of for a power-off, which an open handle would veto.
    pub(crate) device: Option<Device>,
    pub(crate) locked_volumes: LockedVolume,
    /// A flush that failed once: Windows reports it once, and the data stays unwritten.
    pub(crate) unwritten: Option<Error>,
}

impl WindowsSession {
    pub(crate) fn open(drive: &Drive) -> Result<WindowsSession> {
        let inventory = Inventory::take();
        let key = key_of(&inventory, drive)?;
        let disk = inventory.disk(&key);
        let (_, device) = describe::open(&key, disk, &inventory.on(&key));
        let instance = disk.and_then(|disk| disk.node.instance());
        Ok(WindowsSession {
            drive: drive.clone(),
            key,
            instance,
            device,
            locked_volumes: Vec::new(),
            unwritten: None,
        })
    }

    pub(crate) fn locked_volumes(&self, volume: &Volume) -> Option<&Device> {
        self.locked_volumes.iter().find(|(name, _)| *name == volume.name).map(|(_, device)| device)
    }

    pub(crate) fn ask_presence(&self) -> Presence {
        let Some(device) = self.device.clone() else {
            return match self.instance.as_deref().is_some_and(describe::is_present) {
                true => Presence::Present,
                false => Presence::Gone,
            };
        };
        let volume = self.locked_volumes.first().map(|(_, device)| device.clone()).or_else(|| {
            let volume = self.drive.volumes.first()?;
            Device::open(&volume.path, Access::Query).ok()
        });
        let removable = self.drive.removable;
        // Where the drive does not know the question, its volume may.
        for device in [Some(device), volume].into_iter().flatten() {
            let answer =
                cancellable_io::run_for(QUERY_TIMEOUT, move || storage::check_verify(&device));
            let seen =
                answer.map_or(Presence::Unknown, |answer| win32_parse::presence(answer, removable));
            if seen != Presence::Unknown {
                return seen;
            }
        }
        Presence::Unknown
    }
}

impl Session for WindowsSession {
    fn refresh(&mut self) -> Result<Drive> {
        self.check()?;
        let inventory = Inventory::take();
        let key = key_of(&inventory, &self.drive)?;
        let held: Vec<&str> = self.locked_volumes.iter().map(|(name, _)| name.as_str()).collect();
        let now = describe::describe_sibling(&inventory, &key, &held);
        if now.id != self.drive.id {
            return Err(Error::new(
                ErrorKind::Replaced,
                &self.drive.name,
                "another device has this name now",
            ));
        }
        self.drive = now;
        Ok(self.drive.clone())
    }

    fn check(&mut self) -> Result<()> {
        // The handle that was opened first: it is bound to the device that it was opened for.
        let Some(device) = self.device.clone() else { return Ok(()) };
        let answer = cancellable_io::run_for(QUERY_TIMEOUT, move || storage::check_verify(&device))
            .map_err(|e| e.with_subject(&self.drive.name))?;
        match win32_parse::presence(answer, self.drive.removable) {
            Presence::Gone => {
                Err(Error::new(ErrorKind::Gone, &self.drive.name, "the drive is no longer there"))
            }
            _ => Ok(()),
        }
    }

    fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.flush_volume(volume, deadline)
    }

    fn flush_drive(&mut self, _wait: &mut Deadline<'_>) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("flushing a volume reaches the drive's own cache as well"))
    }

    fn try_lock(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.lock_volume(volume, deadline)
    }

    fn unmount(
        &mut self,
        _volume: &Volume,
        _mount: &Mount,
        _force: bool,
        _wait: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("Windows dismounts a volume from all its places at once"))
    }

    fn dismount(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        self.dismount_volume(volume, force, deadline)
    }

    fn claim(&mut self, _force: bool, _wait: &mut Deadline<'_>) -> Result<StepOutcome> {
        // The locks are the claim: Windows has none for a whole drive that needs no administrator.
        let done = StepOutcome::default();
        Ok(match (&self.key, self.drive.kind) {
            (DriveKey::Alone(_), kind) if !matches!(kind, DriveKind::Optical | DriveKind::Floppy) => done.with_warning(format!(
                "{}'s driver does not tell which drive it lies on: other volumes of the same drive, \
                 if there are any, were left alone",
                self.drive.name
            )),
            _ => done,
        })
    }

    fn offline(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.take_offline(volume, deadline)
    }

    fn release_handles(&mut self) {
        self.close_all();
    }

    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        match action {
            Action::PowerOff => self.power_off(deadline),
            // A disk that cannot lose its medium is "ejected" by its driver or not at all; what then
            // helps is what the tray icon "Safely Remove Hardware" does.
            Action::Stop => match self.eject(deadline) {
                // Nobody said that the other drives of the device may leave with it.
                Err(error) if !self.drive.siblings.is_empty() => Err(error),
                Err(error) if error.kind() == ErrorKind::NotSupported => {
                    let before = error.attempts().to_vec();
                    let mut done = self.power_off(deadline).map_err(|e| {
                        let all = [&before[..], e.attempts()].concat();
                        e.with_attempts(all)
                    })?;
                    done.attempts.splice(0..0, before);
                    Ok(done)
                }
                other => other,
            },
            _ => self.eject(deadline),
        }
    }

    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.load_medium(deadline)
    }

    fn presence(&mut self, _wait: &mut Deadline<'_>) -> Result<Presence> {
        Ok(self.ask_presence())
    }

    fn unlock(&mut self) -> Result<StepOutcome> {
        Ok(self.unlock_all())
    }

    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        scan::search(&self.drive, deadline)
    }
}

/// The key of a drive that was seen before.
fn key_of(inventory: &Inventory, drive: &Drive) -> Result<DriveKey> {
    let path = drive.path.to_string_lossy();
    let name = path.strip_prefix(r"\\.\").unwrap_or(&path);
    let by_device = DriveKey::of_device_name(name).filter(|key| inventory.keys().contains(key));
    let by_volume = || {
        let paths = drive.volumes.iter().map(|v| v.path.to_string_lossy());
        paths.into_iter().find_map(|path| {
            let path = path.strip_prefix(r"\\.\").unwrap_or(&path).to_string();
            inventory.volumes.iter().find(|v| v.has_name(&path)).map(resolve::first_of)
        })
    };
    by_device
        .or_else(by_volume)
        .ok_or_else(|| Error::new(ErrorKind::Gone, &drive.name, "the drive is no longer there"))
}

/// Runs a request on a device within its time.
pub(crate) fn run_until(
    deadline: &mut Deadline<'_>,
    device: &Device,
    request: fn(&Device) -> Result<(), Code>,
) -> Result<Result<(), Code>> {
    let device = device.clone();
    cancellable_io::run_until(deadline, || false, move || request(&device))
}

pub(crate) fn attempt(method: String, answer: &Result<(), Code>) -> Attempt {
    match answer {
        Ok(()) => Attempt::accepted(method),
        Err(code) => Attempt::failed(method, win32_parse::code_name(*code)),
    }
}
