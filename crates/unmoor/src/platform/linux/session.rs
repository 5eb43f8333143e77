//! A drive, opened and bound.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerScan};
use crate::model::cdrom::CdromSetting;
use crate::model::drive::{Drive, DriveKind, Medium, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::{Action, Attempt};
use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::Session;
use crate::platform::linux::blockers::super_blocks::FileSystems;
use crate::platform::linux::blockers::{self, open_counts, unanswered};
use crate::platform::linux::helper::Device;
use crate::platform::linux::helper::request::DeviceCall;
use crate::platform::linux::helper::{CallResult, Helper};
use crate::platform::linux::inventory::content::Detail;
use crate::platform::linux::inventory::describe;
use crate::platform::linux::inventory::snapshot::Snapshot;
use crate::platform::linux::release::claim::OPEN_FLAGS;
use crate::platform::linux::release::drive_errors::{cannot_open, gone, replaced};
use crate::platform::linux::release::eject::{load_methods, methods, perform};
use crate::platform::linux::release::flush::{Flusher, not_opened, progress};
use crate::platform::linux::release::{
    busy_check, claim, eject, force, mount_again, teardown, umount,
};
use crate::platform::linux::sys::cdrom::DriveStatus;
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::sg::{Command, ScsiResponse};
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use crate::platform::linux::sys::{errno, writeback};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::path::Path;
use std::time::Duration;

/// An open drive.
pub struct LinuxSession {
    pub(crate) drive: Drive,
    /// Directory of the drive in sysfs. Reads in it fail once the device is gone.
    pub(crate) node: SysfsDir,
    /// The drive itself: bound at first, claimed later. `None` once it was closed.
    pub(crate) device: Option<Device>,
    /// Process that makes the calls that may hang.
    pub(crate) helper: Helper,
    pub(crate) claimed: bool,
    /// Names of the volumes that were cut off: dead handles may still hold them.
    pub(crate) cut_off: Vec<String>,
    /// First write error. The kernel reports a failed write only once for each descriptor.
    pub(crate) unwritten: Option<Error>,
    /// Mount table from before the first mount was unmounted.
    pub(crate) mounts_before: Option<MountTable>,
    /// Mounts that were unmounted while idle, in that order.
    pub(crate) unmounted: Vec<MountInfo>,
    /// Volumes that a detached overlay can still write to.
    pub(crate) overlay_lower_volumes: Vec<String>,
    /// Error of an open that this user is not permitted. A scan for blockers works all the same.
    pub(crate) denied: Option<Error>,
}

impl LinuxSession {
    /// Opens the drive, and checks that it is the one that was described.
    ///
    /// # Errors
    /// `TimedOut` if it does not answer; `Gone`; `Replaced`.
    pub fn open(drive: &Drive, helper: Helper, deadline: &mut Deadline<'_>) -> Result<Self> {
        let device =
            helper.open(&drive.path, OPEN_FLAGS, deadline)?.map_err(|e| cannot_open(e, drive));
        let place = BlockDevice::of(drive.id.device).map_err(|e| cannot_open(e, drive))?;
        let node = SysfsDir::open(&*place.disk_path).map_err(|e| cannot_open(e, drive))?;
        let mut session = LinuxSession {
            drive: drive.clone(),
            node,
            device: None,
            helper,
            claimed: false,
            cut_off: Vec::new(),
            unwritten: None,
            mounts_before: None,
            unmounted: Vec::new(),
            overlay_lower_volumes: Vec::new(),
            denied: None,
        };
        match device {
            Ok(device) => {
                session.check_descriptor(&device)?;
                session.device = Some(device);
            }
            Err(error) if error.kind() == ErrorKind::NotPermitted => session.denied = Some(error),
            Err(error) => return Err(error),
        }
        Ok(session)
    }

    /// Checks that this is the drive, with the medium that was in it.
    pub(crate) fn check_descriptor(&self, device: &Device) -> Result<()> {
        if device.number != self.drive.id.device {
            return Err(replaced(&self.drive));
        }
        match device.diskseq {
            0 => Ok(()),
            seq => self.check_sequence(seq),
        }
    }

    /// Checks the `diskseq`. A drive that had no medium may have got one since.
    pub(crate) fn check_sequence(&self, seq: u64) -> Result<()> {
        let bound = self.drive.id.generation;
        match self.drive.medium {
            Medium::Present if bound != 0 && seq != bound => Err(self.medium_changed_error()),
            _ => Ok(()),
        }
    }

    /// Checks that the device is still there, with the medium that was in it.
    pub(crate) fn check_identity(&self) -> Result<()> {
        if let Some(seq) = self.node.number("diskseq") {
            return self.check_sequence(seq);
        }
        match self.node.device_now() {
            Ok(Some(device)) if device == self.drive.id.device => Ok(()),
            Ok(_) => Err(gone(&self.drive)),
            Err(errno) => Err(errno::error(errno, &self.drive.name, "cannot be looked at")),
        }
    }

    /// Returns true if the drive had no medium when it was bound: nothing was written to it.
    ///
    /// Flushing an empty slot of a card reader is an I/O error.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.drive.medium, Medium::Absent | Medium::TrayOpen)
    }

    /// Returns the error for a medium that was changed or has left.
    pub(crate) fn medium_changed_error(&self) -> Error {
        let drive = &self.drive;
        match describe::medium(drive.kind, &drive.path, &self.node, self.node.size(), &self.helper)
        {
            Medium::Absent | Medium::TrayOpen => {
                Error::new(ErrorKind::Gone, &drive.name, "the medium was removed meanwhile")
                    .with_help("what was not written before is lost; put it in again and check it")
            }
            _ => replaced(drive),
        }
    }

    pub(crate) fn device(&self) -> Result<&Device> {
        self.device.as_ref().ok_or_else(|| gone(&self.drive))
    }

    /// Fails if this user may not open the drive.
    fn check_permission(&self) -> Result<()> {
        self.denied.clone().map_or(Ok(()), Err)
    }

    fn flusher(&self) -> Flusher<'_> {
        let LinuxSession { drive, node, helper, device, .. } = self;
        Flusher { drive, node, helper, device: device.as_ref() }
    }

    fn sync_drive(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let done = self.flusher().flush_drive(deadline);
        done.map_err(|error| self.record_write_error(error))
    }

    /// Remembers a write error. Returns it as `Gone` if the drive has left.
    pub(crate) fn record_write_error(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Unwritten {
            return error;
        }
        if self.is_gone() {
            let attempts = error.attempts().to_vec();
            return gone(&self.drive).append_detail(&error).with_attempts(attempts);
        }
        self.unwritten.get_or_insert_with(|| error.clone());
        error
    }

    /// Forces a mount that is in use.
    ///
    /// An overlay itself cannot be cut off; the file systems of its layers are.
    pub(crate) fn detach_busy(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        known: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        self.cut_off.push(volume.name.clone());
        if volume.kind != VolumeKind::Overlay {
            return force::force_unmount(&self.drive, volume, mount, known, &self.helper, deadline);
        }
        self.overlay_lower_volumes.extend(volume.parents.iter().cloned());
        let mut done = StepOutcome::default();
        if !known {
            // The cache of eCryptfs is its own, and programs have gone on writing since the flush.
            let tick = progress(self.drive.id.device);
            done.merge(umount::sync(mount, &self.helper, deadline, tick)?.unwrap_or_default());
        }
        done.merge(umount::detach(mount, &self.helper, deadline)?);
        Ok(done)
    }

    /// Names what keeps the drive from answering, in place of the advice to allow more time.
    fn explain_timeout(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::TimedOut {
            return error;
        }
        let mut causes = unanswered::suspended_mappings(&self.drive);
        causes.extend(unanswered::listeners(&self.drive));
        match causes.first() {
            Some(Blocker { description, command: Some(command), .. }) => {
                error.with_help(format!("{description}: {command}"))
            }
            _ => error,
        }
    }

    /// Returns true if the medium is out, whatever the drive has answered.
    ///
    /// With a bad cable, a drive carries out a command and its answer is lost.
    fn has_ejected(&mut self, action: Action, deadline: &mut Deadline<'_>) -> bool {
        if action != Action::Eject {
            return false;
        }
        let seen = self.presence(deadline).unwrap_or(Presence::Unknown);
        let stopped = self.drive.kind == DriveKind::Disk && seen == Presence::Stopped;
        stopped || matches!(seen, Presence::Absent | Presence::TrayOpen)
    }

    fn drive_status(
        &self,
        device: &Device,
        deadline: &mut Deadline<'_>,
    ) -> CallResult<DriveStatus> {
        let answer = self.helper.device_call(device.as_fd(), DeviceCall::DriveStatus, deadline)?;
        Ok(answer.map(|[number, ..]| DriveStatus::from_number(u8::try_from(number).unwrap_or(0))))
    }

    /// Returns true if the drive has left, even if another device is in its place.
    pub(crate) fn is_gone(&self) -> bool {
        self.node.device_now().is_ok_and(|now| now != Some(self.drive.id.device))
    }

    /// Claims the whole disk with `O_EXCL`.
    ///
    /// The kernel grants it only while no file system, mapping, array or swap uses the disk or a partition of it, in
    /// any mount namespace.
    pub(crate) fn open_excl(&self, deadline: &mut Deadline<'_>) -> Result<Result<Device, Errno>> {
        let flags = claim::command_flags(&self.drive) | OFlags::EXCL;
        let end = deadline.now() + CLAIM_RETRY_TIME;
        loop {
            match self.helper.open(&self.drive.path, flags, deadline)? {
                // Other programs probe a drive for a moment when it was unmounted.
                Err(Errno::BUSY) if deadline.now() < end => {
                    deadline.sleep(Duration::from_millis(20))?;
                }
                // A user who may only read claims it all the same.
                Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                    return self.helper.open(&self.drive.path, OPEN_FLAGS | OFlags::EXCL, deadline);
                }
                other => return Ok(other),
            }
        }
    }
}

/// Timeout for the claims that are tried before something is forced.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

/// Time in which a file system that is asked about itself answers.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Time for retries of the claim.
const CLAIM_RETRY_TIME: Duration = Duration::from_millis(500);

impl Session for LinuxSession {
    fn refresh(&mut self) -> Result<Drive> {
        let failed = |e| errno::error(e, &self.drive.name, "cannot be read");
        let snapshot = Snapshot::read(&self.helper).map_err(failed)?;
        let lost = |errno| match errno {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => gone(&self.drive),
            errno => failed(errno),
        };
        let place = BlockDevice::of(self.drive.id.device).map_err(lost)?;
        let now =
            describe::drive(&snapshot, &place, Detail::NoLabels, &self.helper).map_err(lost)?;
        self.check_sequence(now.id.generation)?;
        let now = match &self.drive.selection {
            Some(one) => now.only_volume(&one.volume),
            None => now,
        };
        self.drive = now.clone();
        Ok(now)
    }

    fn check(&mut self) -> Result<()> {
        self.check_identity()
    }

    fn authorize(
        &mut self,
        action: Action,
        _interactive: bool,
        _deadline: &mut Deadline<'_>,
    ) -> Result<()> {
        self.check_permission()?;
        match action {
            Action::PowerOff => eject::check_removal(&self.drive),
            _ => Ok(()),
        }
    }

    fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let flusher = self.flusher();
        let synced = flusher.sync_file_system(volume, deadline);
        let done = synced.and_then(|mut done| {
            done.merge(flusher.flush_node(volume, deadline)?);
            Ok(done)
        });
        done.map_err(|error| self.record_write_error(self.explain_timeout(error)))
    }

    fn unwritten(&self) -> Option<u64> {
        // A mapping, an array and a loop device have counters of their own, a partition has not.
        let stacked =
            self.drive.volumes.iter().filter(|v| teardown::is_stacked(v)).map(|v| v.device);
        let known = stacked.chain([self.drive.id.device]).filter_map(writeback::unwritten);
        known.reduce(u64::saturating_add)
    }

    fn flush_drive(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        if self.is_empty() {
            return Ok(StepOutcome::skipped("there is no medium in it"));
        }
        let done = match self.denied {
            // What is mounted was flushed before.
            Some(_) => not_opened(&self.drive.name).with_warning(format!(
                "the cache of {} itself was not flushed, nor what programs wrote past its file systems: \
                 this user may not open it",
                self.drive.name
            )),
            None => self.sync_drive(deadline)?,
        };
        match self.unwritten.clone() {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }

    fn try_lock(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let checked = busy_check::check_volume(&self.drive, volume, &self.helper, deadline);
        checked.map_err(|error| self.explain_timeout(error))
    }

    fn check_raw_users(&mut self, stays: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        claim::check_unknown_users(&self.drive, &self.helper, deadline)?;
        let systems = FileSystems::read(&self.drive, &self.helper, deadline);
        let own_handles = u32::from(self.device.is_some());
        let is_idle = |systems: &FileSystems<'_>| {
            open_counts::is_proven_idle(&self.drive, systems, own_handles, deadline)
        };
        if systems.as_ref().is_ok_and(is_idle) {
            return Ok(StepOutcome::skipped(busy_check::NO_RAW_USERS));
        }
        let done = busy_check::check_raw_users(&self.drive, stays, deadline)?;
        busy_check::check_file_systems(systems?, &self.helper, deadline)?;
        Ok(done)
    }

    fn check_foreign_mounts(&mut self) -> Result<()> {
        busy_check::check_foreign_mounts(&self.drive)?;
        let LinuxSession { drive, helper, .. } = self;
        helper.within(CLAIM_TIMEOUT, |deadline| {
            claim::check_unknown_users(drive, helper, deadline)?;
            busy_check::check_foreign_caches(drive, deadline)?;
            let systems = FileSystems::read(drive, helper, deadline)?;
            busy_check::check_file_systems(systems, helper, deadline)?;
            busy_check::check_servers(drive, helper, deadline)
        })
    }

    fn unmount(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let tick = progress(self.drive.id.device);
        let known = self.unwritten.is_some();
        let table =
            self.mounts_before.get_or_insert_with(|| MountTable::read_self().unwrap_or_default());
        let line = table.get(mount.id).cloned();
        let force = force && !busy_check::is_served(&self.drive, volume);
        // After an ordinary unmount, programs that use the overlay or the other mount would write on.
        let elsewhere = || force && busy_check::is_mounted_elsewhere(volume, deadline.remaining());
        let done = if self.overlay_lower_volumes.contains(&volume.name) || elsewhere() {
            self.detach_busy(volume, mount, known, deadline)
        } else {
            match umount::unmount_checked(mount, known, &self.helper, deadline, tick) {
                Err(busy) if force && busy.os_code() == Some(Errno::BUSY.raw_os_error()) => {
                    self.detach_busy(volume, mount, known, deadline)
                }
                unmounted => {
                    let idle = unmounted.as_ref().is_ok_and(|done| done.skipped.is_none());
                    self.unmounted.extend(line.filter(|_| idle));
                    unmounted
                }
            }
        };
        done.map_err(|e| self.record_write_error(e))
    }

    fn mount_again(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.check()?;
        self.mounts_before = None;
        let unmounted = std::mem::take(&mut self.unmounted);
        if self.claimed {
            // The claim keeps every mount out. The session goes on without it.
            self.unlock()?;
            let device = self.helper.open(&self.drive.path, OPEN_FLAGS, deadline)?;
            let device = device.map_err(|errno| cannot_open(errno, &self.drive))?;
            self.check_descriptor(&device)?;
            self.device = Some(device);
        }
        mount_again::mount_again(&unmounted, &self.helper, deadline)
    }

    fn swap_off(
        &mut self,
        volume: &Volume,
        path: &Path,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        teardown::swap_off(volume, path, &self.helper, deadline)
    }

    fn dismount(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let force = force && !busy_check::is_served(&self.drive, volume);
        if force && teardown::is_stacked(volume) {
            self.cut_off.push(volume.name.clone());
        }
        teardown::remove_level(&self.drive, volume, force, &self.helper, deadline)
    }

    fn claim(&mut self, force: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        if self.drive.selection.is_some() {
            let mut done =
                claim::check_volume_unused(&self.drive, &self.cut_off, &self.helper, deadline)?;
            if !self.drive.read_only {
                done.merge(self.sync_drive(deadline)?);
            }
            return Ok(done);
        }
        // The floppy driver grants a claim only while no process has the drive open, not even this one.
        if self.drive.kind == DriveKind::Floppy {
            self.device = None;
        }
        let opened = self.open_excl(deadline)?;
        if opened.is_err() && self.device.is_none() {
            let device = self.helper.open(&self.drive.path, OPEN_FLAGS, deadline)?.ok();
            self.device = device.filter(|device| self.check_descriptor(device).is_ok());
        }
        let mut done = match opened {
            Ok(claimed) => {
                self.check_descriptor(&claimed)?;
                self.device = Some(claimed);
                self.claimed = true;
                StepOutcome::via(
                    Attempt::accepted("open(O_EXCL)")
                        .with_detail(self.drive.path.display().to_string()),
                )
            }
            Err(Errno::BUSY) if force => {
                let LinuxSession { drive, cut_off, helper, .. } = self;
                if let Some(error) = claim::unexplained_holder(drive, cut_off, helper, deadline)? {
                    return Err(error);
                }
                StepOutcome::via(Attempt::failed("open(O_EXCL)", "in use")).with_warning(format!(
                    "{} is still held by programs that were cut off",
                    self.drive.name
                ))
            }
            Err(Errno::BUSY) => {
                return Err(Error::new(ErrorKind::Busy, &self.drive.name, "is still in use")
                    .with_attempts(vec![Attempt::failed("open(O_EXCL)", "in use")])
                    .with_os_code(Errno::BUSY.raw_os_error()));
            }
            Err(Errno::NXIO | Errno::NODEV | Errno::NOENT) => return Err(gone(&self.drive)),
            Err(errno) => return Err(claim::failed(&self.drive, errno)),
        };
        if !self.drive.read_only && !self.is_empty() {
            // Unmounting wrote too, and the drive has a cache of its own.
            done.merge(self.sync_drive(deadline)?);
        }
        Ok(done)
    }

    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.check_permission()?;
        let methods = methods(&self.drive, action);
        let done =
            perform(&self.drive, Some(action), methods, &mut self.device, &self.helper, deadline);
        done.or_else(|error| {
            let attempts = error.attempts().to_vec();
            if self.is_gone() {
                return Err(Error::new(ErrorKind::Gone, &self.drive.name, "the drive is gone")
                    .with_attempts(attempts)
                    .with_help("everything was flushed and dismounted before"));
            }
            match error.kind() == ErrorKind::Failed && self.has_ejected(action, deadline) {
                true => Ok(StepOutcome { attempts, ..StepOutcome::default() }),
                false => Err(error),
            }
        })
    }

    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.check_permission()?;
        let flags = claim::command_flags(&self.drive);
        if flags != OPEN_FLAGS
            && let Ok(device) = self.helper.open(&self.drive.path, flags, deadline)?
        {
            self.check_descriptor(&device)?;
            self.device = Some(device);
        }
        let methods = load_methods(&self.drive);
        let done = perform(&self.drive, None, methods, &mut self.device, &self.helper, deadline)?;
        // A disc has to spin up before the drive knows that it is one.
        while self.drive.kind == DriveKind::Optical
            && self.drive_status(self.device()?, deadline)? == Ok(DriveStatus::NotReady)
        {
            deadline.sleep(Duration::from_millis(100))?;
        }
        Ok(done)
    }

    fn set_cdrom(&mut self, setting: CdromSetting, deadline: &mut Deadline<'_>) -> Result<()> {
        self.check_permission()?;
        let done = self.helper.set_cdrom(self.device()?.as_fd(), setting, deadline)?;
        done.map(drop).map_err(|e| errno::error(e, &self.drive.name, "cannot be set"))
    }

    fn presence(&mut self, deadline: &mut Deadline<'_>) -> Result<Presence> {
        if self.is_gone() {
            return Ok(Presence::Gone);
        }
        if self.drive.kind == DriveKind::Loop {
            let attached = self.node.child("loop").is_ok();
            return Ok(if attached { Presence::Present } else { Presence::Absent });
        }
        if self.drive.kind == DriveKind::Network {
            let connected = self.node.text("pid").is_some();
            return Ok(if connected { Presence::Present } else { Presence::Absent });
        }
        let Some(device) = &self.device else { return Ok(Presence::Unknown) };
        if self.drive.kind == DriveKind::Optical {
            return Ok(match self.drive_status(device, deadline)? {
                Ok(DriveStatus::DiscOk | DriveStatus::NotReady) => Presence::Present,
                Ok(DriveStatus::TrayOpen) => Presence::TrayOpen,
                Ok(DriveStatus::NoDisc) => Presence::Absent,
                _ => Presence::Unknown,
            });
        }
        let time = deadline.remaining().min(Duration::from_secs(5));
        match self.helper.scsi(device.as_fd(), Command::TestUnitReady, time, deadline)? {
            Ok(ScsiResponse::Good) => Ok(Presence::Present),
            Ok(ScsiResponse::Check(sense)) if sense.tray_open() => Ok(Presence::TrayOpen),
            Ok(ScsiResponse::Check(sense)) if sense.no_medium() => Ok(Presence::Absent),
            Ok(ScsiResponse::Check(sense)) if sense.stopped() => Ok(Presence::Stopped),
            Ok(ScsiResponse::Check(sense)) if sense.transient() => Ok(Presence::Present),
            Ok(_) => Ok(Presence::Unknown),
            Err(Errno::NODEV | Errno::NXIO) => Ok(Presence::Gone),
            Err(Errno::NOMEDIUM) => Ok(Presence::Absent),
            // No SCSI device: its size shows whether there is a medium.
            Err(_) => Ok(match self.node.size() {
                Some(0) => Presence::Absent,
                Some(_) => Presence::Present,
                None => Presence::Gone,
            }),
        }
    }

    fn unlock(&mut self) -> Result<StepOutcome> {
        if !self.claimed {
            return Ok(StepOutcome::skipped("nothing is locked"));
        }
        self.claimed = false;
        // Closing the descriptor drops the claim. The drive stays bound by its directory in sysfs.
        self.device = None;
        Ok(StepOutcome::via(Attempt::accepted("close")))
    }

    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        // Mounts and levels may have changed since the drive was opened.
        let now = self.refresh().unwrap_or_else(|_| self.drive.clone());
        let mut scan = blockers::scan(&now, deadline);
        scan.blockers.extend(unanswered::suspended_mappings(&now));
        match FileSystems::open_and_read(&now, &self.helper, &mut deadline.capped(ANSWER_TIME)) {
            Ok(systems) => {
                scan.blockers.extend(systems.frozen());
                if scan.blockers.is_empty() {
                    let hidden = systems.hidden_mounts(&self.helper, deadline);
                    scan.blockers.extend(hidden.unwrap_or_default());
                }
            }
            Err(error) => {
                // A file system was asked only for what the scan does not see.
                if scan.blockers.is_empty() {
                    scan.notes.push(format!("a file system on it could not be asked: {error}"));
                    scan.complete = false;
                }
                scan.blockers.extend(unanswered::listeners(&now));
            }
        }
        scan
    }

    fn remote_blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        let now = self.refresh().unwrap_or_else(|_| self.drive.clone());
        blockers::scan_remote(&now, deadline)
    }
}
