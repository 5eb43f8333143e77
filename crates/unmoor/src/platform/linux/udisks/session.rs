//! A drive, opened by a user who is not root.
//!
//! An ordinary session does all that this user may do: it flushes, looks for blockers, checks the identity, and
//! uses the drive itself where its node may be opened. udisks2 does the rest. No lock is possible: so what was
//! unmounted is mounted again if a later step fails.

use crate::deadline::Deadline;
use crate::model::blocker::BlockerScan;
use crate::model::cdrom::CdromSetting;
use crate::model::drive::{Drive, DriveKind, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::model::report::StepOutcome;
use crate::model::step::{Action, Attempt};
use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::Session;
use crate::platform::linux::blockers;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::release::flush::progress;
use crate::platform::linux::release::{busy_check, teardown, umount};
use crate::platform::linux::session::LinuxSession;
use crate::platform::linux::sys::{errno, mountinfo};
use crate::platform::linux::udisks::objects::{self, Udisks, block_path};
use crate::platform::linux::udisks::polkit::{self, Authorization};
use crate::platform::linux::udisks::route::{self, Unmounter};
use crate::platform::linux::udisks::{mount_owner, unmount_program};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zbus::zvariant::Value;

/// Time for retries of a mount that is in use: thumbnailers and indexers close their files soon.
const BUSY_RETRY: Duration = Duration::from_millis(700);

/// Timeout for a search for processes, which leaves the lock time for the rest.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);

/// A mount that this session has unmounted.
struct Unmounted {
    volume: Volume,
    mount: Mount,
    by: Unmounter,
}

/// An open drive whose privileged calls udisks2 makes.
pub struct UdisksSession {
    direct: LinuxSession,
    /// Set by [`Session::authorize`] if the release needs it.
    udisks: Option<Udisks>,
    unmounted: Vec<Unmounted>,
    /// Mappings and loop devices that are taken down once every mount is gone: that cannot be undone.
    deferred: Vec<Volume>,
    /// Processes that use the drive, as found by the attempt to lock that is under way.
    search: Option<BlockerScan>,
    /// True once a release was authorized.
    is_release: bool,
}

impl UdisksSession {
    /// Opens the drive. Neither the bus nor udisks2 is asked before [`Session::authorize`].
    ///
    /// # Errors
    /// As [`LinuxSession::open`].
    pub fn open(drive: &Drive, helper: Helper, deadline: &mut Deadline<'_>) -> Result<Self> {
        Ok(UdisksSession {
            direct: LinuxSession::open(drive, helper, deadline)?,
            udisks: None,
            unmounted: Vec::new(),
            deferred: Vec::new(),
            search: None,
            is_release: false,
        })
    }

    fn drive(&self) -> &Drive {
        &self.direct.drive
    }

    /// Returns true if this user may open the drive itself.
    fn may_open(&self) -> bool {
        self.direct.denied.is_none()
    }

    fn udisks(&self) -> Result<&Udisks> {
        self.udisks.as_ref().ok_or_else(|| only_root(self.drive(), "do that"))
    }

    /// Returns true if udisks2 has to make a call of this release.
    fn needs_udisks(&self, action: Action) -> Result<bool> {
        let drive = self.drive();
        let by_udisks =
            |volume: &Volume| teardown::is_stacked(volume) && volume.kind != VolumeKind::Fuse;
        let levels = drive.volumes.iter().any(by_udisks);
        let lines = mount_lines()?;
        let uid = rustix::process::getuid().as_raw();
        let mounted = drive
            .mounts()
            .into_iter()
            .any(|mount| Unmounter::of(mount, &lines, uid) == Unmounter::Udisks);
        let last = match action {
            Action::Nothing => false,
            // sysfs is root's.
            Action::PowerOff => true,
            Action::Eject | Action::Stop | Action::Detach => !self.may_open(),
        };
        Ok(levels || mounted || last)
    }

    /// Returns the mount point of a FUSE file system on the drive that udisks2 does not know.
    fn fuse_mount_of_another(&self) -> Result<Option<PathBuf>> {
        let (lines, uid) = (mount_lines()?, rustix::process::getuid().as_raw());
        let volumes = self.drive().volumes.iter().filter(|v| v.kind == VolumeKind::Fuse);
        let foreign = |mount: &&Mount| Unmounter::of(mount, &lines, uid) == Unmounter::Udisks;
        Ok(volumes.flat_map(|v| &v.mounts).find(foreign).map(|mount| mount.path.clone()))
    }

    /// Returns each permission of polkit that the release needs, with what it is for.
    fn required_permissions(
        &self,
        udisks: &Udisks,
        action: Action,
        deadline: &mut Deadline<'_>,
    ) -> Result<Vec<(String, String)>> {
        let drive = self.drive();
        let system =
            udisks.property(&block_path(&drive.name), objects::BLOCK, "HintSystem", deadline);
        let suffix = match bool::try_from(system?) {
            Ok(true) => "-system",
            _ => "",
        };
        let mut required = Vec::new();
        let last = route::polkit_action(action);
        if let Some((name, what)) = last.filter(|_| !self.may_open() || action == Action::PowerOff)
        {
            required.push((format!("{name}{suffix}"), what.to_string()));
        }
        let lines = mount_lines()?;
        let uid = rustix::process::getuid().as_raw();
        let mounts: Vec<&Mount> = drive
            .mounts()
            .into_iter()
            .filter(|mount| Unmounter::of(mount, &lines, uid) == Unmounter::Udisks)
            .collect();
        let foreign = mounts.iter().find(|mount| self.is_foreign(mount, deadline));
        if let Some(mount) = foreign {
            let what = format!("unmount {}, which another user has mounted", mount.path.display());
            required.push(("org.freedesktop.udisks2.filesystem-unmount-others".into(), what));
        }
        if mounts.len() > 1 {
            let what = "mount a part of it again, should another one be in use".into();
            required.push((format!("org.freedesktop.udisks2.filesystem-mount{suffix}"), what));
        }
        let loops = drive.volumes.iter().filter(|v| v.kind == VolumeKind::Loop).map(|v| &*v.name);
        let detached = (action == Action::Detach && !self.may_open()).then_some(&*drive.name);
        for name in loops.chain(detached) {
            let owner =
                udisks.property(&block_path(name), objects::LOOP, "SetupByUID", deadline)?;
            if u32::try_from(owner) != Ok(uid) {
                let what = format!("detach {name}, which another user has set up");
                required.push(("org.freedesktop.udisks2.loop-delete-others".into(), what));
            }
        }
        Ok(required)
    }

    /// Returns true if another user has certainly mounted it.
    ///
    /// udisks2 keeps its own list, which only root may read. A mount below another user's `/media/USER` cannot
    /// be reached.
    fn is_foreign(&self, mount: &Mount, deadline: &mut Deadline<'_>) -> bool {
        if mount_owner::is_user_mount(&mount.path) {
            return false;
        }
        let mut reachable =
            || self.direct.helper.stat(&mount.path, deadline).is_ok_and(|s| s.is_ok());
        !mount_owner::is_of_udisks(&mount.path) || !reachable()
    }

    /// Unmounts with the program or service that may.
    fn unmount_once(
        &self,
        volume: &Volume,
        mount: &Mount,
        by: Unmounter,
        deadline: &mut Deadline<'_>,
    ) -> Result<Attempt> {
        let shown = mount.path.display().to_string();
        let tick = progress(self.drive().id.device);
        let method = match by {
            Unmounter::Umount => {
                unmount_program::run("umount", &[], &mount.path, deadline, tick)?;
                "umount"
            }
            Unmounter::Fusermount => {
                unmount_program::run("fusermount3", &["-u"], &mount.path, deadline, tick)?;
                "fusermount3 -u"
            }
            Unmounter::Udisks => {
                let udisks = self.udisks()?;
                udisks.check_number(&volume.name, volume.device, deadline)?;
                let path = block_path(&volume.name);
                let none = HashMap::new();
                udisks
                    .call(path, objects::FILESYSTEM, "Unmount", none, deadline, tick)?
                    .map_err(|answer| objects::error(answer, &shown))?;
                "udisks2 Filesystem.Unmount"
            }
        };
        Ok(Attempt::accepted(method).with_detail(shown))
    }

    /// Unmounts, and repeats that for a moment while it is in use.
    ///
    /// udisks2 unmounts one mount of a file system with several, and not the one that is meant.
    fn unmount_in_time(
        &self,
        volume: &Volume,
        mount: &Mount,
        by: Unmounter,
        deadline: &mut Deadline<'_>,
    ) -> Result<Attempt> {
        let give_up = deadline.now() + BUSY_RETRY;
        let mut more_mounts = volume.mounts.len();
        loop {
            match self.unmount_once(volume, mount, by, deadline) {
                Ok(done) if !is_mounted(mount)? => return Ok(done),
                Ok(_) if more_mounts > 1 => more_mounts -= 1,
                Ok(_) => {
                    let why = "reported as unmounted, and still mounted";
                    return Err(Error::new(
                        ErrorKind::Failed,
                        mount.path.display().to_string(),
                        why,
                    ));
                }
                Err(_) if !is_mounted(mount)? => {
                    return Ok(
                        Attempt::accepted("umount").with_detail(mount.path.display().to_string())
                    );
                }
                Err(error) if error.kind() == ErrorKind::Busy && deadline.now() < give_up => {
                    deadline.sleep(Duration::from_millis(100))?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a mapping or a loop device down.
    fn remove_level(&self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        if volume.kind == VolumeKind::Fuse {
            return teardown::remove_level(
                self.drive(),
                volume,
                false,
                &self.direct.helper,
                deadline,
            );
        }
        let (name, device, interface, method) = match volume.kind {
            VolumeKind::Loop => (&volume.name, volume.device, objects::LOOP, "Delete"),
            VolumeKind::Crypt => {
                // The device below it has the interface.
                let below = volume.parents.first().unwrap_or(&self.drive().name);
                let device =
                    self.drive().volume(below).map_or(self.drive().id.device, |v| v.device);
                (below, device, objects::ENCRYPTED, "Lock")
            }
            _ => return Err(only_root(self.drive(), &format!("take {} down", volume.name))),
        };
        let udisks = self.udisks()?;
        udisks.check_number(name, device, deadline)?;
        udisks
            .call(block_path(name), interface, method, HashMap::new(), deadline, |_| {})?
            .map_err(|answer| objects::error(answer, &volume.name))?;
        // A drive that is an image itself has lost its medium now.
        if volume.device != self.drive().id.device {
            self.direct.check_identity()?;
        }
        let interface = interface.rsplit('.').next().unwrap_or_default();
        let attempt = Attempt::accepted(format!("udisks2 {interface}.{method}"));
        Ok(StepOutcome::via(attempt.with_detail(&*volume.name)))
    }

    /// Number of commands that the drive has failed (`ioerr_cnt` of a SCSI device); 0 without one.
    fn command_errors(&self) -> u64 {
        let text = self.direct.node.text("device/ioerr_cnt").unwrap_or_default();
        u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(0)
    }

    /// Mounts one file system again where it was.
    fn mount_one_again(&self, was: &Unmounted, deadline: &mut Deadline<'_>) -> Result<PathBuf> {
        let path = &was.mount.path;
        let failed = |why: &str| Error::new(ErrorKind::Failed, path.display().to_string(), why);
        self.direct.check_identity()?;
        match was.by {
            Unmounter::Fusermount => return Err(failed("the program that served it has ended")),
            Unmounter::Umount => unmount_program::run("mount", &[], path, deadline, |_| {})?,
            Unmounter::Udisks => {
                let udisks = self.udisks()?;
                udisks.check_number(&was.volume.name, was.volume.device, deadline)?;
                let mut options = HashMap::new();
                if was.mount.read_only {
                    options.insert("options", Value::from("ro"));
                }
                let object = block_path(&was.volume.name);
                let at = udisks
                    .call(object, objects::FILESYSTEM, "Mount", options, deadline, |_| {})?
                    .map_err(|answer| objects::error(answer, &path.display().to_string()))?;
                if Path::new(&at) != path {
                    return Err(failed(&format!("it is mounted on {at} now")));
                }
            }
        }
        let there = mount_lines()?.iter().any(|line| line.path == *path);
        if there { Ok(path.clone()) } else { Err(failed("nothing is mounted there")) }
    }

    /// Ejects the medium or powers the drive off through udisks2.
    fn call_drive(&self, method: &'static str, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let (udisks, drive) = (self.udisks()?, self.drive());
        udisks.check_number(&drive.name, drive.id.device, deadline)?;
        let path = udisks.drive_path(&drive.name, deadline)?.ok_or_else(|| {
            let why = "udisks2 knows no drive behind this device";
            Error::new(ErrorKind::NotSupported, &drive.name, why).with_hint(Hint::Elevate)
        })?;
        self.direct.check_identity()?;
        let name = format!("udisks2 Drive.{method}");
        match udisks.call(path, objects::DRIVE, method, HashMap::new(), deadline, |_| {})? {
            Ok(_) => Ok(through_udisks(Attempt::accepted(name))),
            Err(answer) => {
                let attempt = Attempt::failed(name, answer.text.clone());
                Err(objects::error(answer, &drive.name).with_attempts(vec![attempt]))
            }
        }
    }

    /// Returns why the drive is not powered off in place of being stopped.
    fn reason_not_to_stop(&self, deadline: &mut Deadline<'_>) -> Result<Option<String>> {
        let drive = self.drive();
        if !drive.siblings.is_empty() {
            let with = drive.siblings.join(", ");
            return Ok(Some(format!(
                "powering it off would take {with} along: flushed and dismounted"
            )));
        }
        match self.can_power_off(deadline)? {
            true => Ok(None),
            false => Ok(Some("udisks2 cannot stop it: flushed and dismounted".into())),
        }
    }

    fn can_power_off(&self, deadline: &mut Deadline<'_>) -> Result<bool> {
        let udisks = self.udisks()?;
        let Some(path) = udisks.drive_path(&self.drive().name, deadline)? else { return Ok(false) };
        let can = udisks.property(&path, objects::DRIVE, "CanPowerOff", deadline)?;
        Ok(bool::try_from(can).unwrap_or(false))
    }

    fn perform_once(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        if self.may_open() && action != Action::PowerOff {
            return self.direct.perform(action, deadline);
        }
        // A claim of this process would keep udisks2 from its own.
        self.direct.unlock()?;
        self.direct.device = None;
        match action {
            Action::Nothing => Ok(StepOutcome::skipped("nothing to eject")),
            Action::Eject => self.call_drive("Eject", deadline),
            Action::PowerOff => self.call_drive("PowerOff", deadline),
            Action::Stop => match self.reason_not_to_stop(deadline)? {
                Some(why) => Ok(StepOutcome::skipped(why)),
                None => self.call_drive("PowerOff", deadline),
            },
            Action::Detach => {
                let drive = self.drive();
                let image = Volume {
                    device: drive.id.device,
                    ..Volume::new(&*drive.name, &*drive.path, VolumeKind::Loop)
                };
                Ok(self.remove_level(&image, deadline)?.with_note(THROUGH_UDISKS))
            }
        }
    }

    /// Returns true if udisks2 reports a medium; `None` if it reports nothing.
    fn media_available(&self, deadline: &mut Deadline<'_>) -> Option<bool> {
        let udisks = self.udisks.as_ref()?;
        let path = udisks.drive_path(&self.drive().name, deadline).ok()??;
        let seen = udisks.property(&path, objects::DRIVE, "MediaAvailable", deadline).ok()?;
        bool::try_from(seen).ok()
    }
}

impl Session for UdisksSession {
    fn refresh(&mut self) -> Result<Drive> {
        self.direct.refresh()
    }

    fn check(&mut self) -> Result<()> {
        self.direct.check_identity()
    }

    /// Asks polkit for every permission of the release, before anything is done.
    fn authorize(
        &mut self,
        action: Action,
        interactive: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<()> {
        let drive = self.drive();
        if (!self.may_open() || route::is_in_use(drive))
            && let Some(what) = route::only_for_root(drive)
        {
            return Err(only_root(drive, &format!("take {what} down")));
        }
        if let Some(mount) = self.fuse_mount_of_another()? {
            let what = format!("unmount {}, a FUSE file system of another user", mount.display());
            return Err(only_root(drive, &what));
        }
        if !self.needs_udisks(action)? {
            self.is_release = true;
            return Ok(());
        }
        let connected = Udisks::connect(&drive.name, drive.id.device, interactive, deadline);
        let udisks = connected.map_err(|error| match error.kind() {
            ErrorKind::NotSupported => only_root(drive, &format!("release it: {error}")),
            _ => error,
        })?;
        for (permission, what) in self.required_permissions(&udisks, action, deadline)? {
            let answer =
                polkit::check_authorization(&udisks.bus, &permission, interactive, deadline)?;
            if answer != Authorization::Granted {
                return Err(polkit::not_granted(&self.drive().name, &what, &permission, answer));
            }
        }
        self.udisks = Some(udisks);
        if action == Action::PowerOff && !self.can_power_off(deadline)? {
            return Err(only_root(self.drive(), "power it off: udisks2 cannot"));
        }
        self.is_release = true;
        Ok(())
    }

    fn mount_again(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let unmounted = std::mem::take(&mut self.unmounted);
        let mut done = StepOutcome::default();
        for was in unmounted.iter().rev() {
            match self.mount_one_again(was, deadline) {
                Ok(path) => {
                    let attempt =
                        Attempt::accepted("mount").with_detail(path.display().to_string());
                    done.attempts.push(attempt);
                }
                Err(error) => done.warnings.push(format!("not mounted again: {error}")),
            }
        }
        Ok(done)
    }

    fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.direct.flush(volume, deadline)
    }

    fn unwritten(&self) -> Option<u64> {
        self.direct.unwritten()
    }

    fn flush_drive(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let mut done = self.direct.flush_drive(deadline)?;
        if self.is_release {
            // Eject and PowerOff make the drive write its cache.
            done.warnings.clear();
        }
        Ok(done)
    }

    /// Looks for programs: the kernel answers `MNT_EXPIRE` to root alone.
    fn try_lock(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        if volume.mounts.is_empty() && !teardown::is_stacked(volume) {
            return Ok(StepOutcome::skipped("not mounted"));
        }
        // One search serves all volumes of an attempt. It need not be complete: the unmount asks the kernel.
        if self.search.is_none() {
            let scan = blockers::scan(self.drive(), &mut deadline.capped(SEARCH_TIMEOUT));
            deadline.check()?;
            self.search = Some(scan);
        }
        if let Some(scan) = &self.search {
            busy_check::check_scan(self.drive(), volume, scan)?;
        }
        let note = "programs of other users show only when udisks2 unmounts";
        Ok(StepOutcome::default().with_note(note))
    }

    fn check_raw_users(&mut self, stays: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.search = None;
        self.direct.check_raw_users(stays, deadline)
    }

    /// Refuses: only root can cut off programs.
    fn check_foreign_mounts(&mut self) -> Result<()> {
        Err(only_root(self.drive(), "cut off what uses it"))
    }

    fn unmount(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        if force {
            return Err(only_root(self.drive(), "cut off what uses it"));
        }
        if !is_mounted(mount)? {
            return Ok(StepOutcome::skipped(format!("{} is gone already", mount.path.display())));
        }
        let by = Unmounter::of(mount, &mount_lines()?, rustix::process::getuid().as_raw());
        if self.direct.unwritten.is_none() {
            let tick = progress(self.drive().id.device);
            // Another user's mount need not be readable. Its unmount writes it.
            match umount::sync(mount, &self.direct.helper, deadline, tick) {
                Err(error) if error.kind() != ErrorKind::NotPermitted => {
                    return Err(self.direct.record_write_error(error));
                }
                _ => {}
            }
        }
        let errors = self.command_errors();
        let attempt = self.unmount_in_time(volume, mount, by, deadline)?;
        let was = Unmounted { volume: volume.clone(), mount: mount.clone(), by };
        self.unmounted.push(was);
        self.direct.check_identity()?;
        // A disc's drive also fails the probes that udev makes of it meanwhile.
        let nothing_to_write = volume.mounts.iter().all(|mount| mount.read_only);
        if !nothing_to_write && self.command_errors() > errors {
            let why = "data may be lost: the drive reported an error while it was unmounted";
            let error = Error::new(ErrorKind::Unwritten, mount.path.display().to_string(), why);
            return Err(self.direct.record_write_error(error));
        }
        Ok(match by {
            Unmounter::Udisks => through_udisks(attempt),
            Unmounter::Umount | Unmounter::Fusermount => StepOutcome::via(attempt),
        })
    }

    fn dismount(
        &mut self,
        volume: &Volume,
        _force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        if !teardown::is_stacked(volume) {
            return Ok(StepOutcome::skipped("not mounted"));
        }
        if route::lies_on_a_mount(self.drive(), volume) {
            return self.remove_level(volume, deadline);
        }
        self.deferred.push(volume.clone());
        Ok(StepOutcome::skipped("after every unmount"))
    }

    fn claim(&mut self, force: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let mut done = StepOutcome::default();
        for volume in std::mem::take(&mut self.deferred) {
            done.merge(self.remove_level(&volume, deadline)?);
            // What was mounted on it cannot be mounted again.
            self.unmounted.retain(|was| was.volume.name != volume.name);
        }
        done.merge(match self.may_open() {
            true => self.direct.claim(force, deadline)?,
            false => StepOutcome::skipped("udisks2 claims it"),
        });
        Ok(done)
    }

    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let error = match self.perform_once(action, deadline) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        // Without a claim, another program may have opened the drive since its volumes were unmounted.
        let back = self.mount_again(&mut *deadline)?;
        let paths: Vec<String> = back.attempts.into_iter().filter_map(|one| one.detail).collect();
        let error = back.warnings.into_iter().fold(error, Error::append_detail);
        Err(match paths.is_empty() {
            true => error,
            false => error.append_detail(format!("mounted again: {}", paths.join(", "))),
        })
    }

    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.direct.load(deadline)
    }

    fn set_cdrom(&mut self, setting: CdromSetting, deadline: &mut Deadline<'_>) -> Result<()> {
        self.direct.set_cdrom(setting, deadline)
    }

    /// Asks the drive where this user may, else sysfs and udisks2.
    fn presence(&mut self, deadline: &mut Deadline<'_>) -> Result<Presence> {
        let through_sysfs = matches!(self.drive().kind, DriveKind::Loop | DriveKind::Network);
        if self.direct.device.is_some() || through_sysfs || self.direct.is_gone() {
            return self.direct.presence(deadline);
        }
        Ok(match self.direct.node.size() {
            None => Presence::Gone,
            Some(0) => Presence::Absent,
            Some(_) => match self.media_available(deadline) {
                Some(false) => Presence::Absent,
                Some(true) => Presence::Present,
                None => Presence::Unknown,
            },
        })
    }

    fn unlock(&mut self) -> Result<StepOutcome> {
        self.search = None;
        self.direct.unlock()
    }

    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        self.direct.blockers(deadline)
    }

    fn remote_blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        self.direct.remote_blockers(deadline)
    }
}

const THROUGH_UDISKS: &str = "through udisks2";

fn through_udisks(attempt: Attempt) -> StepOutcome {
    let note = "through udisks2, which reports no failed write of the unmount";
    let note = if attempt.method.contains("Unmount") { note } else { THROUGH_UDISKS };
    StepOutcome::via(attempt).with_note(note)
}

/// Returns the error for what only root can do.
fn only_root(drive: &Drive, what: &str) -> Error {
    let why = format!("this user may not {what}; nothing was done");
    Error::new(ErrorKind::NotPermitted, &drive.name, why).with_hint(Hint::Elevate)
}

fn mount_lines() -> Result<Vec<mountinfo::MountInfo>> {
    mountinfo::read_self().map_err(|e| errno::error(e, "/proc/self/mountinfo", "cannot be read"))
}

fn is_mounted(mount: &Mount) -> Result<bool> {
    Ok(mount_lines()?.iter().any(|line| line.id == mount.id))
}
