//! Handles of one open drive: the one that queries it, and one for each volume that is locked.

use crate::deadline::Deadline;
use crate::model::drive::{Drive, DriveKind, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::step::Attempt;
use crate::model::volume::Volume;
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::inventory::snapshot::{DriveKey, Inventory};
use crate::platform::windows::inventory::{describe, resolve};
use crate::platform::windows::sys::cancellable_io::Request;
use crate::platform::windows::sys::device::{Access, Device, code};
use crate::platform::windows::sys::{cancellable_io, current_directory, fsctl, storage};
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
    /// Volumes opened to be locked. A refused lock is retried on the same handle.
    pub(crate) volumes: Vec<OpenVolume>,
    /// Handle that keeps writers off the disk itself.
    pub(crate) exclusive: Option<Device>,
    /// Media change count when the drive was opened, and the handle that counts.
    pub(crate) medium: Option<(Device, u32)>,
    /// An action was carried out, or tried, after the dismount.
    pub(crate) performed: bool,
    /// An empty drive accepted an ejection.
    pub(crate) tray_opened: bool,
    /// Images on the drive were detached, or tried to be, by this session.
    pub(crate) images_detached: bool,
    /// `--offline` is set.
    pub(crate) keep_offline: bool,
    /// Error of a flush that failed. Windows reports a lost write once, and the data stays unwritten.
    pub(crate) unwritten: Option<Error>,
    /// Process that runs from the drive and only waits for this one.
    pub(crate) waiting_process: Option<u32>,
}

/// Volume that is open to be locked.
#[derive(Debug)]
pub(crate) struct OpenVolume {
    pub(crate) name: String,
    pub(crate) device: Device,
    pub(crate) locked: bool,
    pub(crate) dismounted: bool,
    /// True if only the process that started this program uses the volume, so that no lock is needed.
    pub(crate) lock_waived: bool,
    /// `FSCTL_LOCK_VOLUME` that did not return before its deadline.
    pub(crate) pending: Option<Request<Result<(), Code>>>,
}

impl OpenVolume {
    /// Returns true if nothing mounts the volume, or opens files on it, while the handle is open.
    pub(crate) fn is_held(&self) -> bool {
        self.locked || self.dismounted || self.lock_waived
    }
}

impl DriveHandles {
    /// Opens the drive for queries.
    ///
    /// # Errors
    /// `Gone` if the drive has left.
    pub(crate) fn open(drive: &Drive, waiting_process: Option<u32>) -> Result<DriveHandles> {
        let inventory = Inventory::take();
        let key = key_of(&inventory, drive)?;
        let disk = inventory.disk(&key);
        leave_drive(&inventory, &key).map_err(|e| {
            win32_parse::error(code(&e), &drive.name, "leave the current directory")
        })?;
        let (_, device) = describe::open(&key, disk, &inventory.on(&key));
        let instance = disk.and_then(|disk| disk.node.instance());
        let medium = device.clone().filter(|_| drive.removable).and_then(|device| {
            let count = query(&device, |device| storage::media_change_count(device).ok_or(0));
            Some((device, count.ok()?))
        });
        Ok(DriveHandles {
            drive: drive.clone(),
            key,
            instance,
            device,
            volumes: Vec::new(),
            exclusive: None,
            medium,
            performed: false,
            tray_opened: false,
            images_detached: false,
            keep_offline: false,
            unwritten: None,
            waiting_process,
        })
    }

    /// Opens the drive for queries again, after its handles were closed for a removal that failed.
    ///
    /// # Errors
    /// `Gone`, or `Replaced` if another device has its name.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        let again = DriveHandles::open(&self.drive, self.waiting_process)?;
        if again.instance != self.instance {
            return Err(replaced(&self.drive));
        }
        self.device = again.device;
        self.medium = again.medium;
        Ok(())
    }

    /// Returns the handle of the volume if it is locked or dismounted.
    pub(crate) fn held_volume(&self, volume: &Volume) -> Option<&OpenVolume> {
        self.volumes.iter().find(|open| open.name == volume.name && open.is_held())
    }

    /// Returns true if every volume of the drive is dismounted by this session.
    pub(crate) fn is_dismounted(&self) -> bool {
        self.drive.volumes.iter().all(|v| self.held_volume(v).is_some_and(|open| open.dismounted))
    }

    /// Reads the drive again, without mounting the volumes that are locked.
    ///
    /// # Errors
    /// `Gone`, or `Replaced` if another device has its name.
    pub(crate) fn refresh(&mut self) -> Result<Drive> {
        self.check()?;
        let inventory = Inventory::take();
        let key = key_of(&inventory, &self.drive)?;
        // A file system that has mounted a dismounted volume again may be asked.
        let unmounted = |open: &&OpenVolume| open.is_held() && !self.is_mounted_again(open);
        let locked: Vec<&str> =
            self.volumes.iter().filter(unmounted).map(|open| open.name.as_str()).collect();
        let now = describe::describe_locked(&inventory, &key, &locked);
        if now.id != self.drive.id {
            return Err(replaced(&self.drive));
        }
        self.drive = now;
        Ok(self.drive.clone())
    }

    /// Returns true if the file system of a volume that was dismounted is mounted.
    fn is_mounted_again(&self, open: &OpenVolume) -> bool {
        let mounted = |device: &Device| fsctl::is_mounted(device).then_some(()).ok_or(0);
        open.dismounted && query(&open.device, mounted).is_ok()
    }

    /// Checks that the device of the first handle is still there, with the medium it had.
    ///
    /// # Errors
    /// `Gone`; `Replaced` if the medium was changed; `TimedOut` if the drive does not answer.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(device) = self.device.clone() else { return Ok(()) };
        let answer = cancellable_io::run_for(QUERY_TIMEOUT, move || storage::check_verify(&device))
            .map_err(|e| e.with_subject(&self.drive.name))?;
        if win32_parse::presence(answer, self.drive.removable) == Presence::Gone {
            return Err(gone(&self.drive));
        }
        let Some((device, before)) = &self.medium else { return Ok(()) };
        match query(device, |device| storage::media_change_count(device).ok_or(0)) {
            Ok(now) if now != *before => {
                let why = "the medium was changed: what is in the drive now is left alone";
                Err(Error::new(ErrorKind::Replaced, &self.drive.name, why))
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
        let open = self.volumes.iter().find(|open| open.pending.is_none());
        let open = open.map(|open| open.device.clone());
        let volume = open.or_else(|| {
            let volume = self.drive.volumes.first()?;
            Device::open(&volume.path, Access::Query).ok()
        });
        let removable = self.drive.removable;
        // Drivers report a missing medium alike with the tray open and closed. One that accepted the
        // request has opened it.
        let opened = self.tray_opened && self.drive.kind == DriveKind::Optical;
        // Some volume drivers answer requests that the drive's own driver does not know.
        for device in [Some(device), volume].into_iter().flatten() {
            let answer =
                cancellable_io::run_for(QUERY_TIMEOUT, move || storage::check_verify(&device));
            let seen =
                answer.map_or(Presence::Unknown, |answer| win32_parse::presence(answer, removable));
            match seen {
                Presence::Unknown => {}
                Presence::Absent if opened => return Presence::TrayOpen,
                seen => return seen,
            }
        }
        Presence::Unknown
    }
}

/// Moves this program off the drive if its current directory is there.
fn leave_drive(inventory: &Inventory, key: &DriveKey) -> std::io::Result<()> {
    current_directory::leave_if(|here| {
        let path = here.as_os_str();
        resolve::by_path(inventory, path, "").is_ok_and(|current| current == *key)
    })
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
    by_device.or_else(by_volume).ok_or_else(|| gone(drive))
}

fn replaced(drive: &Drive) -> Error {
    Error::new(ErrorKind::Replaced, &drive.name, "another device has this name now")
}

fn gone(drive: &Drive) -> Error {
    Error::new(ErrorKind::Gone, &drive.name, "the drive is no longer there")
}

/// Runs a query on a device for at most [`QUERY_TIMEOUT`]. A timeout counts as ERROR_TIMEOUT.
pub(crate) fn query<T: Send + 'static>(
    device: &Device,
    request: impl FnOnce(&Device) -> Result<T, Code> + Send + 'static,
) -> Result<T, Code> {
    const ERROR_TIMEOUT: Code = 1460;
    let device = device.clone();
    cancellable_io::run_for(QUERY_TIMEOUT, move || request(&device)).unwrap_or(Err(ERROR_TIMEOUT))
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
