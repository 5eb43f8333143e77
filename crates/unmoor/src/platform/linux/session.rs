//! One drive, opened and bound.

use crate::deadline::Deadline;
use crate::model::blocker::BlockerScan;
use crate::model::drive::Drive;
use crate::model::drive::DriveKind;
use crate::model::drive::Medium;
use crate::model::drive::Presence;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::step::Attempt;
use crate::model::volume::Mount;
use crate::model::volume::Volume;
use crate::model::volume::VolumeKind;
use crate::platform::Session;
use crate::platform::linux::inventory::describe;
use crate::platform::linux::inventory::describe::Detail;
use crate::platform::linux::inventory::snapshot::Snapshot;
use crate::platform::linux::release::eject::{load_methods, methods, perform};
use crate::platform::linux::release::{busy_check, force, teardown, umount};
use crate::platform::linux::sys::cdrom::DriveStatus;
use crate::platform::linux::sys::sg::{Command, ScsiResponse};
use crate::platform::linux::sys::sysfs::{BlockDevice, SysfsDir};
use crate::platform::linux::sys::{blkdev, cdrom, errno, sg, writeback};
use crate::platform::linux::{blockers, helper};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, fstat};
use rustix::io::Errno;
use std::path::Path;
use std::time::Duration;

/// A drive that is open.
pub struct LinuxSession {
    pub(crate) drive: Drive,
    /// Its directory in sysfs: reading in it fails once the device is gone.
    pub(crate) node: SysfsDir,
    /// The one descriptor of the drive: bound at first, claimed later. `None` once it was let go of.
    pub(crate) device: Option<OwnedFd>,
    pub(crate) claimed: bool,
    /// Something that was in use has been forced: it is held by handles that are dead.
    pub(crate) cut_off: bool,
    /// The kernel reports a failed write once for each descriptor; it must not be forgotten.
    pub(crate) unwritten: Option<Error>,
    /// Volumes that an overlay which was detached while in use can still write to.
    pub(crate) overlay_lower_volumes: Vec<String>,
    /// Why the drive may not be opened by this user. Who uses it can be asked all the same.
    pub(crate) denied: Option<Error>,
}

impl LinuxSession {
    /// Opens the drive and makes sure that it is the one that was described.
    pub fn open(drive: &Drive, deadline: &mut Deadline<'_>) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let device = helper::open(&drive.path, flags, deadline)?.map_err(|e| cannot_open(e, drive));
        let place = BlockDevice::of(drive.id.device).map_err(|e| cannot_open(e, drive))?;
        let node = SysfsDir::open(&*place.disk_path).map_err(|e| cannot_open(e, drive))?;
        let mut session = LinuxSession {
            drive: drive.clone(),
            node,
            device: None,
            claimed: false,
            cut_off: false,
            unwritten: None,
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

    /// Is this descriptor that of the drive, with the medium that was in it.
    pub(crate) fn check_descriptor(&self, device: &OwnedFd) -> Result<()> {
        let stat = fstat(device).map_err(|e| errno::error(e, &self.drive.name, "fstat"))?;
        if crate::platform::linux::sys::mountinfo::from_dev(stat.st_rdev) != self.drive.id.device {
            return Err(replaced(&self.drive));
        }
        match blkdev::diskseq(device) {
            Ok(seq) => self.check_sequence(seq),
            // Before Linux 5.15 there is none.
            Err(_) => Ok(()),
        }
    }

    /// A drive that had no medium may have got one: there was nothing to confuse it with.
    pub(crate) fn check_sequence(&self, seq: u64) -> Result<()> {
        let bound = self.drive.id.generation;
        match self.drive.medium {
            Medium::Present if bound != 0 && seq != bound => Err(self.medium_changed_error()),
            _ => Ok(()),
        }
    }

    /// There was no medium in it when it was bound, so nothing was written to it. Flushing an empty slot
    /// of a card reader is an I/O error.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.drive.medium, Medium::Absent | Medium::TrayOpen)
    }

    /// The medium is another one, or there is none any more.
    pub(crate) fn medium_changed_error(&self) -> Error {
        let drive = &self.drive;
        match describe::medium(drive.kind, &drive.path, &self.node, self.node.size()) {
            Medium::Absent | Medium::TrayOpen => {
                Error::new(ErrorKind::Gone, &drive.name, "the medium was removed meanwhile")
                    .with_help("what was not written before is lost; put it in again and check it")
            }
            _ => replaced(drive),
        }
    }

    pub(crate) fn device(&self) -> Result<&OwnedFd> {
        self.device.as_ref().ok_or_else(|| gone(&self.drive))
    }

    /// Force, for a mount that is in use. An overlay itself cannot be cut off; what its layers lie on is.
    pub(crate) fn detach_busy(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        known: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        self.cut_off = true;
        if volume.kind != VolumeKind::Overlay {
            return force::force_unmount(&self.drive, volume, mount, known, deadline);
        }
        self.overlay_lower_volumes.extend(volume.parents.iter().cloned());
        umount::detach(mount, deadline).map(StepOutcome::via)
    }

    /// Is there another device in its place, or none.
    pub(crate) fn is_gone(&self) -> bool {
        self.node.device_now().is_ok_and(|now| now != Some(self.drive.id.device))
    }

    /// `O_EXCL` on the whole disk: the kernel grants it only while no file system, mapping, array or
    /// swap uses it or a partition of it, in any mount namespace.
    pub(crate) fn open_excl(&self, deadline: &mut Deadline<'_>) -> Result<Result<OwnedFd, Errno>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::EXCL;
        let patience = deadline.now() + CLAIM;
        loop {
            match helper::open(&self.drive.path, flags, deadline)? {
                // Whoever probes a drive that was just unmounted does so for moments.
                Err(Errno::BUSY) if deadline.now() < patience => {
                    deadline.sleep(Duration::from_millis(20))?;
                }
                other => return Ok(other),
            }
        }
    }
}

/// How long the claim is retried.
const CLAIM: Duration = Duration::from_millis(500);

impl Session for LinuxSession {
    fn refresh(&mut self) -> Result<Drive> {
        let failed = |e| errno::error(e, &self.drive.name, "cannot be read");
        let machine = Snapshot::read().map_err(failed)?;
        let lost = |errno| match errno {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => gone(&self.drive),
            errno => failed(errno),
        };
        let place = BlockDevice::of(self.drive.id.device).map_err(lost)?;
        let now = describe::drive(&machine, &place, Detail::NoLabels).map_err(lost)?;
        self.check_sequence(now.id.generation)?;
        self.drive = now.clone();
        Ok(now)
    }

    fn check(&mut self) -> Result<()> {
        if let Some(error) = &self.denied {
            return Err(error.clone());
        }
        if let Some(seq) = self.node.number("diskseq") {
            return self.check_sequence(seq);
        }
        match self.node.device_now() {
            Ok(Some(device)) if device == self.drive.id.device => Ok(()),
            Ok(_) => Err(gone(&self.drive)),
            Err(errno) => Err(errno::error(errno, &self.drive.name, "cannot be looked at")),
        }
    }

    fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let mut done = self.sync_file_system(volume, deadline)?;
        // What was written to the device node itself; that of the whole disk is flush_drive's.
        let has_node = !matches!(volume.kind, VolumeKind::Disk | VolumeKind::Overlay);
        if has_node && !volume.read_only {
            let device = helper::open(&volume.path, OFlags::RDONLY | OFlags::NONBLOCK, deadline)?
                .map_err(|e| errno::error(e, volume.path.display().to_string(), "open"))?;
            done.merge(self.fsync(&volume.path.display().to_string(), &device, deadline)?);
            helper::close(device);
        }
        Ok(done)
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
        let done = self.sync_drive(deadline)?;
        match self.unwritten.clone() {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }

    fn try_lock(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        busy_check::check_volume(&self.drive, volume, deadline)
    }

    fn check_raw_users(&mut self, stays: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        busy_check::check_raw_users(&self.drive, stays, deadline)
    }

    fn check_foreign_mounts(&mut self) -> Result<()> {
        busy_check::check_foreign_mounts(&self.drive)
    }

    fn unmount(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let tick = Self::progress(self.drive.id.device);
        let known = self.unwritten.is_some();
        // Its mount would go, and whoever has files open in the overlay, or where the file system is mounted
        // too, would write on.
        let elsewhere = || force && busy_check::is_mounted_elsewhere(volume, deadline.remaining());
        let done = if self.overlay_lower_volumes.contains(&volume.name) || elsewhere() {
            self.detach_busy(volume, mount, known, deadline)
        } else {
            match umount::unmount_checked(mount, known, deadline, tick) {
                Err(busy) if force && busy.os_code() == Some(Errno::BUSY.raw_os_error()) => {
                    self.detach_busy(volume, mount, known, deadline)
                }
                other => other,
            }
        };
        done.map_err(|e| self.record_write_error(e))
    }

    fn swap_off(
        &mut self,
        _volume: &Volume,
        path: &Path,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        teardown::swap_off(path, deadline)
    }

    fn dismount(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        self.cut_off |= force && teardown::is_stacked(volume);
        teardown::remove_level(&self.drive, volume, force, deadline)
    }

    fn claim(&mut self, force: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        // The floppy driver grants a claim only while nobody has the drive open, not even we.
        if self.drive.kind == DriveKind::Floppy {
            self.device = None;
        }
        let taken = self.open_excl(deadline)?;
        if taken.is_err() && self.device.is_none() {
            self.device = describe::open(&self.drive.path).ok();
        }
        let mut done = match taken {
            Ok(claimed) => {
                self.check_descriptor(&claimed)?;
                self.device = Some(claimed);
                self.claimed = true;
                StepOutcome::via(
                    Attempt::accepted("open(O_EXCL)")
                        .with_detail(self.drive.path.display().to_string()),
                )
            }
            Err(Errno::BUSY) if force && !self.cut_off => {
                let mut done = StepOutcome::via(Attempt::failed("open(O_EXCL)", "in use"));
                done.still_writable.push(self.drive.path.display().to_string());
                done.with_warning(format!(
                    "{} is held by a program that was not cut off: there is no mount of it to force",
                    self.drive.name
                ))
            }
            Err(Errno::BUSY) if force => {
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
            Err(errno) => return Err(errno::error(errno, &self.drive.name, "open(O_EXCL)")),
        };
        if !self.drive.read_only && !self.is_empty() {
            // Dismounting wrote too, and the drive has a cache of its own.
            done.merge(self.sync_drive(deadline)?);
        }
        Ok(done)
    }

    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let methods = methods(&self.drive, action);
        perform(&self.drive, Some(action), methods, &mut self.device, deadline).map_err(|error| {
            match self.is_gone() {
                true => Error::new(ErrorKind::Gone, &self.drive.name, "the drive is gone")
                    .with_attempts(error.attempts().to_vec())
                    .with_help("everything was flushed and dismounted before"),
                false => error,
            }
        })
    }

    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let done =
            perform(&self.drive, None, load_methods(&self.drive), &mut self.device, deadline)?;
        // A disc has to spin up before the drive knows that it is one.
        while self.drive.kind == DriveKind::Optical
            && cdrom::drive_status(self.device()?) == Ok(DriveStatus::NotReady)
        {
            deadline.sleep(Duration::from_millis(100))?;
        }
        Ok(done)
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
            let ask = || cdrom::drive_status(device).map(|s| [s.number(), 0, 0, 0, 0, 0, 0, 0]);
            let status = helper::run(deadline, |_| {}, &[device.as_fd()], ask)?;
            return Ok(match status.map(|[number, ..]| DriveStatus::from_number(number)) {
                Ok(DriveStatus::DiscOk | DriveStatus::NotReady) => Presence::Present,
                Ok(DriveStatus::TrayOpen) => Presence::TrayOpen,
                Ok(DriveStatus::NoDisc) => Presence::Absent,
                _ => Presence::Unknown,
            });
        }
        let (fd, time) = (device.as_fd(), deadline.remaining().min(Duration::from_secs(5)));
        let ask = || sg::send(fd, Command::TestUnitReady, time).map(ScsiResponse::to_bytes);
        match helper::run(deadline, |_| {}, &[fd], ask)?.map(ScsiResponse::from_bytes) {
            Ok(ScsiResponse::Good) => Ok(Presence::Present),
            Ok(ScsiResponse::Check(sense)) if sense.tray_open() => Ok(Presence::TrayOpen),
            Ok(ScsiResponse::Check(sense)) if sense.no_medium() => Ok(Presence::Absent),
            Ok(ScsiResponse::Check(sense)) if sense.stopped() => Ok(Presence::Stopped),
            Ok(ScsiResponse::Check(sense)) if sense.transient() => Ok(Presence::Present),
            Ok(_) => Ok(Presence::Unknown),
            Err(Errno::NODEV | Errno::NXIO) => Ok(Presence::Gone),
            Err(Errno::NOMEDIUM) => Ok(Presence::Absent),
            // No SCSI device: its size says whether there is something in it.
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
        // Closing the descriptor is what drops the claim; the drive stays bound by its place in sysfs.
        self.device.take().into_iter().for_each(helper::close);
        Ok(StepOutcome::via(Attempt::accepted("close")))
    }

    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        // What is mounted or stacked on it may have changed since it was opened.
        let now = self.refresh().unwrap_or_else(|_| self.drive.clone());
        blockers::scan(&now, deadline)
    }
}

impl Drop for LinuxSession {
    fn drop(&mut self) {
        // A loop device is closed at once.
        let waits = self.drive.kind != DriveKind::Loop;
        self.device.take().into_iter().filter(|_| waits).for_each(helper::close);
    }
}

fn cannot_open(errno: Errno, drive: &Drive) -> Error {
    match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => gone(drive),
        Errno::ACCESS | Errno::PERM => Error::new(
            ErrorKind::NotPermitted,
            &drive.name,
            format!("may not be opened by this user: {errno}"),
        )
        .with_os_code(errno.raw_os_error())
        .with_help("run it as root: sudo unmoor …"),
        errno => errno::error(errno, &drive.name, "open"),
    }
}

pub(crate) fn gone(drive: &Drive) -> Error {
    Error::new(
        ErrorKind::Gone,
        &drive.name,
        "the drive is gone: it was unplugged or taken off its bus",
    )
    .with_help("what was not written before is lost; plug it in again and check it")
}

fn replaced(drive: &Drive) -> Error {
    Error::new(
        ErrorKind::Replaced,
        &drive.name,
        "another drive or medium is there now; nothing was done to it",
    )
    .with_help("look at `unmoor list` and name it again if that is the one you mean")
}
