//! One drive, opened and bound.

use crate::blocker::Scan;
use crate::drive::{Drive, DriveKind, Medium, Mount, Presence, Volume, VolumeKind};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Action;
use crate::platform::Session;
use crate::platform::linux::blockers;
use crate::platform::linux::cdrom::{self, DriveStatus};
use crate::platform::linux::describe::{self, Detail, Machine};
use crate::platform::linux::let_go::{carry_out, load_methods, methods, synchronize};
use crate::platform::linux::sg::{self, Answer, Command};
use crate::platform::linux::sysfs::{Node, Place};
use crate::platform::linux::{blkdev, cut_off, errno, idle, stack, umount, worker, writeback};
use crate::report::{Attempt, Done};
use crate::wait::Wait;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use std::path::Path;
use std::time::Duration;

/// A drive that is open.
pub struct LinuxSession {
    drive: Drive,
    /// Its directory in sysfs: reading in it fails once the device is gone.
    node: Node,
    /// The one descriptor of the drive: bound at first, claimed later. `None` once it was let go of.
    device: Option<OwnedFd>,
    claimed: bool,
    /// Something that was in use has been forced: it is held by handles that are dead.
    cut_off: bool,
    /// The kernel reports a failed write once for each descriptor; it must not be forgotten.
    unwritten: Option<Error>,
    /// Volumes that an overlay which was detached while in use can still write to.
    written_through: Vec<String>,
    /// Why the drive may not be opened by this user. Who uses it can be asked all the same.
    denied: Option<Error>,
}

impl LinuxSession {
    /// Opens the drive and makes sure that it is the one that was described.
    pub fn open(drive: &Drive) -> Result<Self> {
        let device = describe::open(&drive.path).map_err(|e| cannot_open(e, drive));
        let place = Place::of(drive.id.device).map_err(|_| gone(drive))?;
        let node = Node::open(&*place.disk_path).map_err(|_| gone(drive))?;
        let mut session = LinuxSession {
            drive: drive.clone(),
            node,
            device: None,
            claimed: false,
            cut_off: false,
            unwritten: None,
            written_through: Vec::new(),
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
    fn check_descriptor(&self, device: &OwnedFd) -> Result<()> {
        let stat = fstat(device).map_err(|e| errno::error(e, &self.drive.name, "fstat"))?;
        if super::mountinfo::from_dev(stat.st_rdev) != self.drive.id.device {
            return Err(replaced(&self.drive));
        }
        match blkdev::diskseq(device) {
            Ok(seq) => self.check_sequence(seq),
            // Before Linux 5.15 there is none.
            Err(_) => Ok(()),
        }
    }

    /// A drive that had no medium may have got one: there was nothing to confuse it with.
    fn check_sequence(&self, seq: u64) -> Result<()> {
        let bound = self.drive.id.generation;
        match self.drive.medium {
            Medium::Present if bound != 0 && seq != bound => Err(replaced(&self.drive)),
            _ => Ok(()),
        }
    }

    /// There was no medium in it when it was bound, so nothing was written to it. Flushing an empty slot
    /// of a card reader is an I/O error.
    fn is_empty(&self) -> bool {
        matches!(self.drive.medium, Medium::Absent | Medium::TrayOpen)
    }

    fn device(&self) -> Result<&OwnedFd> {
        self.device.as_ref().ok_or_else(|| gone(&self.drive))
    }

    /// Tells the watcher how much is still to be written, and the deadline that something moves.
    fn progress(disk: u64) -> impl FnMut(&mut Wait<'_>) {
        move |wait| {
            if let Some(left) = writeback::unwritten(disk).or_else(writeback::unwritten_anywhere) {
                wait.progress(left);
            }
        }
    }

    fn remember(&mut self, error: Error) -> Error {
        if error.kind() == ErrorKind::Unwritten {
            self.unwritten.get_or_insert_with(|| error.clone());
        }
        error
    }

    /// Force, for a mount that is in use. An overlay itself cannot be cut off; what its layers lie on is.
    fn detach_busy(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        known: bool,
        wait: &mut Wait<'_>,
    ) -> Result<Done> {
        self.cut_off = true;
        if volume.kind != VolumeKind::Overlay {
            return cut_off::cut_off(&self.drive, volume, mount, known, wait);
        }
        self.written_through.extend(volume.on.iter().cloned());
        umount::detach(mount, wait).map(Done::by)
    }

    fn fsync(&mut self, what: &str, device: &OwnedFd, wait: &mut Wait<'_>) -> Result<Done> {
        let tick = Self::progress(self.drive.id.device);
        match worker::run(wait, tick, || rustix::fs::fsync(device).map(|()| [0; 8]))? {
            Ok(_) => Ok(Done::by(Attempt::accepted("fsync").with_detail(what))),
            Err(errno) => Err(self.remember(errno::unwritten(errno, what, "fsync"))),
        }
    }

    /// Writes what the kernel has for the drive itself, and what the drive has in its own cache.
    fn sync_drive(&mut self, wait: &mut Wait<'_>) -> Result<Done> {
        let device = self.device()?.try_clone().map_err(|_| gone(&self.drive))?;
        let mut done = self.fsync(&self.drive.path.display().to_string(), &device, wait)?;
        match synchronize(&self.drive, &self.node, device.as_fd(), wait) {
            Ok(attempt) => done.attempts.extend(attempt),
            Err(error) => return Err(self.remember(error)),
        }
        Ok(done)
    }

    /// `O_EXCL` on the whole disk: the kernel grants it only while no file system, mapping, array or
    /// swap uses it or a partition of it, in any mount namespace.
    fn take(&self, wait: &mut Wait<'_>) -> Result<Result<OwnedFd, Errno>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::EXCL;
        let patience = wait.now() + CLAIM;
        loop {
            match openat(CWD, &*self.drive.path, flags, Mode::empty()) {
                // Whoever probes a drive that was just unmounted does so for moments.
                Err(Errno::BUSY) if wait.now() < patience => {
                    wait.sleep(Duration::from_millis(20))?
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
        let machine = Machine::read().map_err(failed)?;
        let place = Place::of(self.drive.id.device).map_err(|_| gone(&self.drive))?;
        let now = describe::drive(&machine, &place, Detail::Lean).map_err(|_| gone(&self.drive))?;
        self.check_sequence(now.id.generation)?;
        self.drive = now.clone();
        Ok(now)
    }

    fn check(&mut self) -> Result<()> {
        if let Some(error) = &self.denied {
            return Err(error.clone());
        }
        match self.node.number("diskseq") {
            Some(seq) => self.check_sequence(seq),
            None if self.node.device() == Some(self.drive.id.device) => Ok(()),
            None => Err(gone(&self.drive)),
        }
    }

    fn flush(&mut self, volume: &Volume, wait: &mut Wait<'_>) -> Result<Done> {
        let mut done = Done::default();
        // One mount stands for all of them: syncfs writes the whole file system.
        if let Some(mount) = volume.mounts.iter().find(|m| !m.read_only) {
            let root = umount::open(mount)?;
            let tick = Self::progress(self.drive.id.device);
            let shown = mount.path.display().to_string();
            match worker::run(wait, tick, || rustix::fs::syncfs(&root).map(|()| [0; 8]))? {
                Ok(_) => done.attempts.push(Attempt::accepted("syncfs").with_detail(&*shown)),
                Err(errno) => {
                    return Err(self.remember(errno::unwritten(errno, shown, "syncfs")));
                }
            }
        }
        // What was written to the device node itself; that of the whole disk is flush_drive's.
        let has_node = !matches!(volume.kind, VolumeKind::Disk | VolumeKind::Overlay);
        if has_node && !volume.read_only {
            let device = describe::open(&volume.path)
                .map_err(|e| errno::error(e, volume.path.display().to_string(), "open"))?;
            done.add(self.fsync(&volume.path.display().to_string(), &device, wait)?);
        }
        Ok(done)
    }

    fn flush_drive(&mut self, wait: &mut Wait<'_>) -> Result<Done> {
        if self.is_empty() {
            return Ok(Done::skipped("there is no medium in it"));
        }
        let done = self.sync_drive(wait)?;
        match self.unwritten.clone() {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }

    fn try_lock(&mut self, volume: &Volume, wait: &mut Wait<'_>) -> Result<Done> {
        idle::find(&self.drive, volume, wait)
    }

    fn no_writers(&mut self, wait: &mut Wait<'_>) -> Result<Done> {
        idle::no_writers(&self.drive, wait)
    }

    fn unmount(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        force: bool,
        wait: &mut Wait<'_>,
    ) -> Result<Done> {
        let tick = Self::progress(self.drive.id.device);
        let known = self.unwritten.is_some();
        // Its mount would go, and whoever has files open in the overlay would write on.
        let done = if self.written_through.contains(&volume.name) {
            self.detach_busy(volume, mount, known, wait)
        } else {
            match umount::take_away(mount, force, wait, tick) {
                Err(busy) if force && busy.os_code() == Some(Errno::BUSY.raw_os_error()) => {
                    self.detach_busy(volume, mount, known, wait)
                }
                other => other,
            }
        };
        done.map_err(|e| self.remember(e))
    }

    fn swap_off(&mut self, _volume: &Volume, path: &Path, wait: &mut Wait<'_>) -> Result<Done> {
        stack::swap_off(path, wait)
    }

    fn dismount(&mut self, volume: &Volume, force: bool, wait: &mut Wait<'_>) -> Result<Done> {
        self.cut_off |= force && stack::is_stacked(volume);
        stack::take_down(&self.drive, volume, force, wait)
    }

    fn claim(&mut self, force: bool, wait: &mut Wait<'_>) -> Result<Done> {
        // The floppy driver grants a claim only while nobody has the drive open, not even we.
        if self.drive.kind == DriveKind::Floppy {
            self.device = None;
        }
        let taken = self.take(wait)?;
        if taken.is_err() && self.device.is_none() {
            self.device = describe::open(&self.drive.path).ok();
        }
        let mut done = match taken {
            Ok(claimed) => {
                self.check_descriptor(&claimed)?;
                self.device = Some(claimed);
                self.claimed = true;
                Done::by(
                    Attempt::accepted("open(O_EXCL)")
                        .with_detail(self.drive.path.display().to_string()),
                )
            }
            Err(Errno::BUSY) if force && !self.cut_off => {
                let mut done = Done::by(Attempt::failed("open(O_EXCL)", "in use"));
                done.within_reach.push(self.drive.path.display().to_string());
                done.with_warning(format!(
                    "{} is held by a program that was not cut off: there is no mount of it to force",
                    self.drive.name
                ))
            }
            Err(Errno::BUSY) if force => Done::by(Attempt::failed("open(O_EXCL)", "in use"))
                .with_warning(format!(
                    "{} is still held by programs that were cut off",
                    self.drive.name
                )),
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
            done.add(self.sync_drive(wait)?);
        }
        Ok(done)
    }

    fn let_go(&mut self, action: Action, wait: &mut Wait<'_>) -> Result<Done> {
        carry_out(&self.drive, Some(action), methods(&self.drive, action), &mut self.device, wait)
    }

    fn load(&mut self, wait: &mut Wait<'_>) -> Result<Done> {
        let done = carry_out(&self.drive, None, load_methods(&self.drive), &mut self.device, wait)?;
        // A disc has to spin up before the drive knows that it is one.
        while self.drive.kind == DriveKind::Optical
            && cdrom::drive_status(self.device()?) == Ok(DriveStatus::NotReady)
        {
            wait.sleep(Duration::from_millis(100))?;
        }
        Ok(done)
    }

    fn presence(&mut self) -> Result<Presence> {
        if self.node.device() != Some(self.drive.id.device) {
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
            return Ok(match cdrom::drive_status(device) {
                Ok(DriveStatus::DiscOk | DriveStatus::NotReady) => Presence::Present,
                Ok(DriveStatus::TrayOpen) => Presence::TrayOpen,
                Ok(DriveStatus::NoDisc) => Presence::Absent,
                _ => Presence::Unknown,
            });
        }
        match sg::send(device.as_fd(), Command::TestUnitReady, Duration::from_secs(5)) {
            Ok(Answer::Good) => Ok(Presence::Present),
            Ok(Answer::Check(sense)) if sense.tray_open() => Ok(Presence::TrayOpen),
            Ok(Answer::Check(sense)) if sense.no_medium() => Ok(Presence::Absent),
            Ok(Answer::Check(sense)) if sense.stopped() => Ok(Presence::Stopped),
            Ok(Answer::Check(sense)) if sense.transient() => Ok(Presence::Present),
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

    fn unlock(&mut self) -> Result<Done> {
        if !self.claimed {
            return Ok(Done::skipped("nothing is held"));
        }
        self.claimed = false;
        // Closing the descriptor is what drops the claim; the drive stays bound by its place in sysfs.
        self.device = None;
        Ok(Done::by(Attempt::accepted("close")))
    }

    fn blockers(&mut self, wait: &mut Wait<'_>) -> Scan {
        // What is mounted or stacked on it may have changed since it was opened.
        let now = self.refresh().unwrap_or_else(|_| self.drive.clone());
        blockers::scan(&now, wait)
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

fn gone(drive: &Drive) -> Error {
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
