//! Handles of one open drive: the one that queries it, and one for each volume that is locked.

use crate::deadline::Deadline;
use crate::model::drive::{Drive, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::step::Attempt;
use crate::model::volume::Volume;
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::inventory::snapshot::{DriveKey, Inventory};
use crate::platform::windows::inventory::{describe, resolve};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::{cancellable_io, storage};
use std::time::Duration;

pub(crate) const ERROR_ACCESS_DENIED: Code = 5;

/// Timeout for a query. A sleeping disk spins up before it answers.
pub(crate) const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// One drive, bound by an open handle: if the device leaves, requests on the handle fail, even when
/// another device gets its name.
#[derive(Debug)]
pub(crate) struct DriveHandles {
    pub(crate) drive: Drive,
    pub(crate) key: DriveKey,
    pub(crate) instance: Option<String>,
    /// Handle for queries. Closed before a power-off, which any open handle would veto.
    pub(crate) device: Option<Device>,
    /// Volumes that are locked or dismounted, by name, each with the handle that keeps it so.
    pub(crate) locked_volumes: Vec<(String, Device)>,
    /// Error of a flush that failed. Windows reports a lost write once, and the data stays unwritten.
    pub(crate) unwritten: Option<Error>,
}

impl DriveHandles {
    /// Opens the drive for queries.
    ///
    /// # Errors
    /// `Gone` if the drive has left.
    pub(crate) fn open(drive: &Drive) -> Result<DriveHandles> {
        let inventory = Inventory::take();
        let key = key_of(&inventory, drive)?;
        let disk = inventory.disk(&key);
        let (_, device) = describe::open(&key, disk, &inventory.on(&key));
        let instance = disk.and_then(|disk| disk.node.instance());
        Ok(DriveHandles {
            drive: drive.clone(),
            key,
            instance,
            device,
            locked_volumes: Vec::new(),
            unwritten: None,
        })
    }

    /// Returns the handle that keeps the volume locked or dismounted.
    pub(crate) fn locked_volume(&self, volume: &Volume) -> Option<&Device> {
        self.locked_volumes.iter().find(|(name, _)| *name == volume.name).map(|(_, device)| device)
    }

    /// Reads the drive again, without mounting the volumes that are locked.
    ///
    /// # Errors
    /// `Gone`, or `Replaced` if another device has its name.
    pub(crate) fn refresh(&mut self) -> Result<Drive> {
        self.check()?;
        let inventory = Inventory::take();
        let key = key_of(&inventory, &self.drive)?;
        let locked: Vec<&str> = self.locked_volumes.iter().map(|(name, _)| name.as_str()).collect();
        let now = describe::describe_locked(&inventory, &key, &locked);
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

    /// Checks that the device of the first handle is still there.
    ///
    /// # Errors
    /// `Gone`; `TimedOut` if the drive does not answer.
    pub(crate) fn check(&self) -> Result<()> {
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

    /// Returns the state of medium and drive, as the drive reports it.
    pub(crate) fn presence(&self) -> Presence {
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
        // Some volume drivers answer requests that the drive's own driver does not know.
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

/// Returns the key of a drive that was listed before.
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

/// Runs a request on a device until the deadline.
pub(crate) fn run_until(
    deadline: &mut Deadline<'_>,
    device: &Device,
    request: fn(&Device) -> Result<(), Code>,
) -> Result<Result<(), Code>> {
    let device = device.clone();
    cancellable_io::run_until(deadline, || false, move || request(&device))
}

/// Returns the attempt that a request was, with its result.
pub(crate) fn attempt(method: String, result: &Result<(), Code>) -> Attempt {
    match result {
        Ok(()) => Attempt::accepted(method),
        Err(code) => Attempt::failed(method, win32_parse::code_name(*code)),
    }
}
