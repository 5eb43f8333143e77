//! One drive, opened: the handles that hold its locks, and what is asked of it.

use super::control::{Access, Device};
use super::inventory::{Inventory, Key};
use super::{blockers, devnode, fsctl, in_time, picture, relocate, storage, users, volumes};
use crate::blocker::Scan;
use crate::drive::{Drive, DriveKind, Mount, Presence, Volume};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::plan::Action;
use crate::platform::Session;
use crate::platform::win_parse::{self, Code};
use crate::report::{Attempt, Done};
use crate::wait::Wait;
use std::time::Duration;

const ERROR_ACCESS_DENIED: Code = 5;
const ERROR_WRITE_PROTECT: Code = 19;

/// How long the drive may take to answer a question.
const ASK_TIME: Duration = Duration::from_secs(10);

/// The volumes that are held locked or dismounted, by name, with the handle that holds each.
type Held = Vec<(String, Device)>;

/// One drive, opened and bound by an open handle: should the device leave, the handle stays with the
/// device that was, and answers so.
#[derive(Debug)]
pub(super) struct WindowsSession {
    drive: Drive,
    key: Key,
    instance: Option<String>,
    /// Opened to ask. Let go of for a power-off, which an open handle would veto.
    device: Option<Device>,
    held: Held,
    /// A flush that failed once: Windows reports it once, and the data stays unwritten.
    unwritten: Option<Error>,
}

impl WindowsSession {
    pub(super) fn open(drive: &Drive) -> Result<WindowsSession> {
        let inventory = Inventory::take();
        let key = key_of(&inventory, drive)?;
        let disk = inventory.disk(&key);
        let (_, device) = picture::open(&key, disk, &inventory.on(&key));
        let instance = disk.and_then(|disk| disk.node.instance());
        Ok(WindowsSession {
            drive: drive.clone(),
            key,
            instance,
            device,
            held: Vec::new(),
            unwritten: None,
        })
    }

    fn held(&self, volume: &Volume) -> Option<&Device> {
        self.held.iter().find(|(name, _)| *name == volume.name).map(|(_, device)| device)
    }

    /// Opens a volume to lock, dismount or eject it.
    fn open_volume(&self, volume: &Volume, access: Access) -> Result<Device> {
        Device::open(&volume.path, access)
            .map_err(|code| win_parse::error(code, &volume.name, "open"))
    }

    /// The handles that take a request for the whole drive: the volumes that are held, or a volume
    /// opened for it; then the drive itself.
    fn ways(&self) -> Vec<(String, Device)> {
        let mut ways: Vec<(String, Device)> = self.held.first().cloned().into_iter().collect();
        if ways.is_empty() {
            let volume = self.drive.volumes.first();
            let opened = volume
                .and_then(|v| Some((v.name.clone(), Device::open(&v.path, Access::Read).ok()?)));
            ways.extend(opened);
        }
        if let Some(name) = self.key.device_name() {
            let device = Device::open(format!(r"\\.\{name}"), Access::Read);
            ways.extend(device.ok().map(|device| (name, device)));
        }
        ways
    }

    /// Ejects the medium: no check of what sort of drive it is, the hardware answers. First on the
    /// volume, whose handle holds the lock; then on the drive, since some volume drivers do not pass
    /// the request down.
    fn eject(&self, wait: &mut Wait<'_>) -> Result<Done> {
        let mut attempts = Vec::new();
        let mut failure: Option<Code> = None;
        let ways = self.ways();
        if ways.is_empty() {
            return Err(win_parse::error(ERROR_ACCESS_DENIED, &self.drive.name, "open"));
        }
        for (name, device) in ways {
            // Many USB bridges lack it and eject anyway: a refusal is written down, no more.
            attempts.push(attempt(
                format!("IOCTL_STORAGE_MEDIA_REMOVAL (allow) on {name}"),
                &within(wait, &device, storage::allow_removal)?,
            ));
            let ejected = within(wait, &device, storage::eject_media)?;
            attempts.push(attempt(format!("IOCTL_STORAGE_EJECT_MEDIA on {name}"), &ejected));
            match ejected {
                Ok(()) => return Ok(Done { attempts, ..Done::default() }),
                // A drive that failed outweighs one that does not know the request.
                Err(code) if failure.is_none_or(win_parse::says_unsupported) => {
                    failure = Some(code);
                }
                Err(_) => {}
            }
        }
        Err(self.not_ejected(failure.unwrap_or(ERROR_ACCESS_DENIED)).with_attempts(attempts))
    }

    fn not_ejected(&self, code: Code) -> Error {
        let name = &self.drive.name;
        if win_parse::says_unsupported(code) {
            let why = format!(
                "is flushed and dismounted, but not ejected: its driver does not know the request \
                 ({})",
                win_parse::code_name(code)
            );
            return Error::new(ErrorKind::NotSupported, name, why)
                .with_os_code(code as i32)
                .with_help("nothing of it is left to be written: take it out by hand");
        }
        win_parse::error(code, name, "IOCTL_STORAGE_EJECT_MEDIA")
            .and_detail("it is flushed and dismounted, but not ejected")
    }

    /// Takes the device off its bus. Our own handles would be the first to veto it: they go before,
    /// and with them the locks; the request asks every program again.
    fn power_off(&mut self, wait: &mut Wait<'_>) -> Result<Done> {
        const TRIES: u32 = 3;
        let node = self.instance.as_deref().and_then(devnode::locate);
        let Some(node) = node.and_then(devnode::DevNode::removable_ancestor) else {
            let why = "cannot be powered off: no device on the way to it is removable";
            return Err(Error::new(ErrorKind::NotSupported, &self.drive.name, why)
                .with_help("leave --power-off out to eject the medium only"));
        };
        let method = match node.instance() {
            Some(instance) => format!("CM_Request_Device_EjectW on {instance}"),
            None => "CM_Request_Device_EjectW".into(),
        };
        self.unlock()?;
        self.device = None;
        let mut attempts = Vec::new();
        for left in (0..TRIES).rev() {
            let veto = match in_time::within(wait, || false, move || Ok(node.request_eject()))? {
                Ok(Err(veto)) if !veto.is_gone_already() => veto,
                _ => {
                    attempts.push(Attempt::accepted(&method));
                    return Ok(Done { attempts, ..Done::default() });
                }
            };
            let again = left > 0 && veto.may_pass();
            let error = veto.into_error(&self.drive.name);
            attempts.push(Attempt::failed(&method, error.detail()));
            if !again {
                return Err(error.with_attempts(attempts));
            }
            wait.sleep(Duration::from_millis(500))?;
        }
        Ok(Done { attempts, ..Done::default() })
    }

    /// After the tray has closed: the drive finds out whether there is a medium.
    fn settle(&self, wait: &mut Wait<'_>) -> Result<()> {
        let start = wait.now();
        loop {
            let seen = self.ask_presence();
            let patience = match seen {
                // "Not ready" is what a drive says that has no medium, and one that spins up.
                Presence::Absent | Presence::Stopped => Duration::from_secs(12),
                Presence::TrayOpen => Duration::from_secs(2),
                _ => return Ok(()),
            };
            if wait.now().saturating_sub(start) >= patience || wait.check().is_err() {
                return Ok(());
            }
            wait.sleep(Duration::from_millis(100))?;
        }
    }

    fn ask_presence(&self) -> Presence {
        let Some(device) = self.device.clone() else {
            return match self.instance.as_deref().is_some_and(picture::is_there) {
                true => Presence::Present,
                false => Presence::Gone,
            };
        };
        let volume = self.held.first().map(|(_, device)| device.clone()).or_else(|| {
            let volume = self.drive.volumes.first()?;
            Device::open(&volume.path, Access::Query).ok()
        });
        // Where the drive does not know the question, its volume may.
        for device in [Some(device), volume].into_iter().flatten() {
            let answer = in_time::at_most(ASK_TIME, move || storage::check_verify(&device));
            let seen = answer.map_or(Presence::Unknown, picture::presence);
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
        let held: Vec<&str> = self.held.iter().map(|(name, _)| name.as_str()).collect();
        let now = picture::drive_beside(&inventory, &key, &held);
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
        let gone = match &self.device {
            Some(device) => {
                matches!(picture::presence(storage::check_verify(device)), Presence::Gone)
            }
            None => false,
        };
        match gone {
            true => {
                Err(Error::new(ErrorKind::Gone, &self.drive.name, "the drive is no longer there"))
            }
            false => Ok(()),
        }
    }

    fn flush(&mut self, volume: &Volume, wait: &mut Wait<'_>) -> Result<Done> {
        if self.drive.kind == DriveKind::Optical {
            return Ok(Done::skipped("a CD or DVD is not flushed: nothing is cached for it"));
        }
        if let Some(error) = &self.unwritten {
            return Err(error.clone());
        }
        let opened = match Device::open(&volume.path, Access::Write) {
            Err(ERROR_WRITE_PROTECT) => return Ok(Done::skipped("it is write protected")),
            Err(code) => {
                return Err(win_parse::error(code, &volume.name, "open to flush"));
            }
            Ok(opened) => opened,
        };
        let meter = self.device.clone();
        let mut before = None;
        let moving = || {
            let now = meter.as_ref().and_then(storage::bytes_written);
            now.is_some() && before.replace(now) != Some(now)
        };
        match in_time::within(wait, moving, move || opened.flush())? {
            Ok(()) => {
                Ok(Done::by(Attempt::accepted(format!("FlushFileBuffers on {}", volume.name))))
            }
            Err(ERROR_WRITE_PROTECT) => Ok(Done::skipped("it is write protected")),
            Err(code) if win_parse::says_unsupported(code) => {
                let why = format!("its driver has no flush ({})", win_parse::code_name(code));
                Ok(Done::skipped(why).with_warning(format!(
                    "{} could not be flushed by command; dismounting flushes too",
                    volume.name
                )))
            }
            Err(code) => {
                let error = win_parse::error(code, &volume.name, "FlushFileBuffers");
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

    fn flush_drive(&mut self, _wait: &mut Wait<'_>) -> Result<Done> {
        Ok(Done::skipped("flushing a volume reaches the drive's own cache as well"))
    }

    fn try_lock(&mut self, volume: &Volume, wait: &mut Wait<'_>) -> Result<Done> {
        if self.held(volume).is_some() {
            return Ok(Done::skipped("locked already"));
        }
        let device = self.open_volume(volume, Access::Read)?;
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
            Err(ERROR_ACCESS_DENIED) if only_our_starter(&device) => {
                // Not locked, but nobody's work is cut off by dismounting it.
                self.held.push((volume.name.clone(), device));
                let why = "only the program that started this copy of itself is open on it";
                Ok(Done::by(attempt(method, &answer)).with_note(why))
            }
            // The documentation of FSCTL_LOCK_VOLUME: with open files it fails with this code.
            Err(ERROR_ACCESS_DENIED) => Err(Error::new(
                ErrorKind::Busy,
                &volume.name,
                format!("is in use: something on it is open ({method}: ERROR_ACCESS_DENIED)"),
            )
            .with_os_code(ERROR_ACCESS_DENIED as i32)
            .with_help("close what uses it, or pass --force to cut it off")),
            Err(code) => Err(win_parse::error(code, &volume.name, "FSCTL_LOCK_VOLUME")),
        }
    }

    fn unmount(
        &mut self,
        _volume: &Volume,
        _mount: &Mount,
        _force: bool,
        _wait: &mut Wait<'_>,
    ) -> Result<Done> {
        Ok(Done::skipped("Windows dismounts a volume from all its places at once"))
    }

    fn dismount(&mut self, volume: &Volume, force: bool, wait: &mut Wait<'_>) -> Result<Done> {
        let device = match self.held(volume) {
            Some(device) => device.clone(),
            None if force => self.open_volume(volume, Access::Read)?,
            None => {
                return Err(Error::new(ErrorKind::Refused, &volume.name, "is not locked"));
            }
        };
        let method = format!("FSCTL_DISMOUNT_VOLUME on {}", volume.name);
        if let Err(code) = within(wait, &device, fsctl::dismount)? {
            let error = win_parse::error(code, &volume.name, "FSCTL_DISMOUNT_VOLUME");
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

    fn claim(&mut self, _force: bool, _wait: &mut Wait<'_>) -> Result<Done> {
        // The locks are the claim: Windows has none for a whole drive that needs no administrator.
        let done = Done::default();
        Ok(match (&self.key, self.drive.kind) {
            (Key::Alone(_), kind) if kind != DriveKind::Optical => done.with_warning(format!(
                "{}'s driver does not tell which drive it lies on: other volumes of the same drive, \
                 if there are any, were left alone",
                self.drive.name
            )),
            _ => done,
        })
    }

    fn offline(&mut self, volume: &Volume, wait: &mut Wait<'_>) -> Result<Done> {
        let device = self.open_volume(volume, Access::Write)?;
        match within(wait, &device, fsctl::offline)? {
            Ok(()) => Ok(Done::by(Attempt::accepted("IOCTL_VOLUME_OFFLINE"))),
            Err(code) => Err(win_parse::error(code, &volume.name, "IOCTL_VOLUME_OFFLINE")),
        }
    }

    fn let_go(&mut self, action: Action, wait: &mut Wait<'_>) -> Result<Done> {
        match action {
            Action::PowerOff => self.power_off(wait),
            // A disk that cannot lose its medium is "ejected" by its driver or not at all; what then
            // helps is what the tray icon "Safely Remove Hardware" does.
            Action::Stop => match self.eject(wait) {
                Err(error) if error.kind() == ErrorKind::NotSupported => {
                    let before = error.attempts().to_vec();
                    let mut done = self.power_off(wait).map_err(|e| {
                        let all = [&before[..], e.attempts()].concat();
                        e.with_attempts(all)
                    })?;
                    done.attempts.splice(0..0, before);
                    Ok(done)
                }
                other => other,
            },
            _ => self.eject(wait),
        }
    }

    fn load(&mut self, wait: &mut Wait<'_>) -> Result<Done> {
        let mut attempts = Vec::new();
        let mut last = ERROR_ACCESS_DENIED;
        // Loading "2" needs no right to read the medium, so it goes through the handle that asks.
        let asking = self.device.clone().map(|device| (self.drive.name.clone(), device));
        let ways = asking.into_iter().map(|way| (way, true));
        for ((name, device), two) in ways.chain(self.ways().into_iter().map(|way| (way, false))) {
            let (method, answer) = match two {
                true => ("IOCTL_STORAGE_LOAD_MEDIA2", within(wait, &device, storage::load_media2)?),
                false => ("IOCTL_STORAGE_LOAD_MEDIA", within(wait, &device, storage::load_media)?),
            };
            attempts.push(attempt(format!("{method} on {name}"), &answer));
            match answer {
                Ok(()) => {
                    self.settle(wait)?;
                    return Ok(Done { attempts, ..Done::default() });
                }
                Err(code) => last = code,
            }
        }
        let error = match win_parse::says_unsupported(last) {
            true => Error::new(
                ErrorKind::NotSupported,
                &self.drive.name,
                format!("cannot load a medium by command ({})", win_parse::code_name(last)),
            )
            .with_os_code(last as i32)
            .with_help("put it in by hand"),
            false => win_parse::error(last, &self.drive.name, "IOCTL_STORAGE_LOAD_MEDIA"),
        };
        Err(error.with_attempts(attempts))
    }

    fn presence(&mut self) -> Result<Presence> {
        Ok(self.ask_presence())
    }

    fn unlock(&mut self) -> Result<Done> {
        if self.held.is_empty() {
            return Ok(Done::skipped("nothing is locked"));
        }
        // Closing the handle unlocks as well: where the device is gone, that is what happens.
        let attempts = self.held.drain(..).rev().map(|(name, device)| {
            let answer = fsctl::unlock(&device);
            attempt(format!("FSCTL_UNLOCK_VOLUME on {name}"), &answer)
        });
        Ok(Done { attempts: attempts.collect(), ..Done::default() })
    }

    fn blockers(&mut self, wait: &mut Wait<'_>) -> Scan {
        blockers::search(&self.drive, wait)
    }
}

/// Mounts every volume of the drive again: opening its root is all that Windows needs for it, unless
/// the volume was taken offline.
pub(super) fn remount(drive: &Drive) -> Result<Done> {
    let mut done = Done::default();
    for volume in &drive.volumes {
        let path = volume.path.to_string_lossy();
        let online = Device::open(&*path, Access::Write).and_then(|device| fsctl::online(&device));
        let online = attempt(format!("IOCTL_VOLUME_ONLINE on {}", volume.name), &online);
        let root = match path.strip_prefix(r"\\.\") {
            Some(letter) => format!(r"{letter}\"),
            None => format!(r"{path}\"),
        };
        let opened = volumes::file_system(&root);
        let system = opened.map_err(|code| {
            win_parse::error(code, &volume.name, "open its root")
                .with_attempts(vec![online.clone()])
        })?;
        // Only a volume that was offline needs it, and only an administrator may: no word otherwise.
        done.attempts.extend(online.ok.then_some(online));
        done.add(
            Done::default().with_note(format!("{} is mounted ({})", volume.name, system.name)),
        );
    }
    Ok(done)
}

/// The key of a drive that was seen before.
fn key_of(inventory: &Inventory, drive: &Drive) -> Result<Key> {
    let path = drive.path.to_string_lossy();
    let name = path.strip_prefix(r"\\.\").unwrap_or(&path);
    let by_device = Key::of_device_name(name).filter(|key| inventory.keys().contains(key));
    let by_volume = || {
        let paths = drive.volumes.iter().map(|v| v.path.to_string_lossy());
        paths.into_iter().find_map(|path| {
            let path = path.strip_prefix(r"\\.\").unwrap_or(&path).to_string();
            inventory.volumes.iter().find(|v| v.answers_to(&path)).map(|v| v.key.clone())
        })
    };
    by_device
        .or_else(by_volume)
        .ok_or_else(|| Error::new(ErrorKind::Gone, &drive.name, "the drive is no longer there"))
}

/// This is a copy that was started from the drive, and its starter, which only waits, is all that uses
/// it.
fn only_our_starter(volume: &Device) -> bool {
    let Some(starter) = relocate::waited_for_by() else { return false };
    let ours = [starter, std::process::id()];
    users::processes(volume)
        .is_ok_and(|pids| pids.contains(&starter) && pids.iter().all(|pid| ours.contains(pid)))
}

/// Runs a request on a device within its time.
fn within(
    wait: &mut Wait<'_>,
    device: &Device,
    request: fn(&Device) -> Result<(), Code>,
) -> Result<Result<(), Code>> {
    let device = device.clone();
    in_time::within(wait, || false, move || request(&device))
}

fn attempt(method: String, answer: &Result<(), Code>) -> Attempt {
    match answer {
        Ok(()) => Attempt::accepted(method),
        Err(code) => Attempt::failed(method, win_parse::code_name(*code)),
    }
}
