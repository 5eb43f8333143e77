//! Writing out what is in the cache: of a volume, and of the drive itself.

use crate::deadline::Deadline;
use crate::model::drive::{Drive, DriveKind};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::blockers::mounts::other_namespaces;
use crate::platform::linux::helper::Device;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::helper::request::{DeviceCall, Request};
use crate::platform::linux::release::drive_errors::gone;
use crate::platform::linux::release::eject::synchronize;
use crate::platform::linux::release::{claim, umount, volume_device};
use crate::platform::linux::sys::sg::{Command, ScsiResponse};
use crate::platform::linux::sys::sysfs::SysfsDir;
use crate::platform::linux::sys::{errno, md, mount_id, writeback};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Timeout for the scan of other mount namespaces.
const NAMESPACE_SCAN_TIME: Duration = Duration::from_secs(5);

/// Returns false for a level without content: an array that was not started, a mapping without a table.
///
/// Its node cannot be written to, so that nothing of it is in the cache, and `fsync` fails.
fn has_cache(volume: &Volume) -> bool {
    match volume.kind {
        VolumeKind::Raid => !md::is_inactive(&volume.name),
        VolumeKind::Disk | VolumeKind::Partition => true,
        _ => volume.size != Some(0),
    }
}

/// Returns the outcome of a flush that this user may not make.
///
/// A file system is written through its mount all the same.
pub fn not_opened(name: &str) -> StepOutcome {
    StepOutcome::skipped(format!("this user may not open {name}"))
}

/// Flushes the volumes of a drive and the drive.
pub struct Flusher<'s> {
    pub drive: &'s Drive,
    /// The drive's directory in sysfs.
    pub node: &'s SysfsDir,
    /// `None` once the drive has been closed.
    pub device: Option<&'s Device>,
    pub helper: &'s Helper,
}

/// Returns a callback that reports the number of bytes still to be written.
pub fn progress(disk: u64) -> impl FnMut(&mut Deadline<'_>) {
    move |deadline| {
        if let Some(left) = writeback::unwritten(disk).or_else(writeback::unwritten_anywhere) {
            deadline.report_remaining(left);
        }
    }
}

impl Flusher<'_> {
    /// Writes what was written to the device node of the volume. The node of the whole disk is flushed with the
    /// drive.
    ///
    /// # Errors
    /// `Unwritten`; `TimedOut`.
    pub fn flush_node(&self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let has_node = volume.kind != VolumeKind::Disk && volume.kind.has_node();
        if !has_node || volume.read_only || !has_cache(volume) {
            return Ok(StepOutcome::default());
        }
        match self.open(volume, deadline) {
            Ok(device) => self.fsync(&volume.path.display().to_string(), device.as_fd(), deadline),
            Err(error) if error.kind() == ErrorKind::NotPermitted => Ok(not_opened(&volume.name)),
            Err(error) => Err(error),
        }
    }

    /// Writes the kernel's cache of the drive itself, and the drive's own cache.
    ///
    /// # Errors
    /// `Unwritten`; `TimedOut`; `Gone`.
    pub fn flush_drive(&self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let device = self.device.ok_or_else(|| gone(self.drive))?.as_fd();
        let mut done = self.fsync(&self.drive.path.display().to_string(), device, deadline)?;
        let attempt = synchronize(self.drive, self.node, device, self.helper, deadline)?;
        done.attempts.extend(attempt);
        Ok(done)
    }

    fn fsync(
        &self,
        path: &str,
        device: BorrowedFd<'_>,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let before = self.sectors_submitted();
        match self.call(device, DeviceCall::Fsync, deadline)? {
            Ok(()) => Ok(StepOutcome::via(Attempt::accepted("fsync").with_detail(path))),
            // A drive that has stopped takes no command, and has written its cache before (SBC-3 5.20). It is
            // no loss as long as nothing else was to be written.
            Err(Errno::IO)
                if self.sectors_submitted() == before && self.has_stopped(deadline)? =>
            {
                Ok(StepOutcome::skipped(format!("{} has stopped before", self.drive.name)))
            }
            Err(errno) => Err(errno::unwritten(errno, path, "fsync")),
        }
    }

    /// Writes the volume's file system (`syncfs`).
    ///
    /// # Errors
    /// `Unwritten`; `Busy`; `TimedOut`.
    pub fn sync_file_system(
        &self,
        volume: &Volume,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let mut done = self.flush_caches_over(deadline)?;
        done.merge(self.sync_volume(volume, deadline)?);
        Ok(done)
    }

    fn sync_volume(&self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        if claim::has_no_known_user(self.drive, volume)
            && self.drive.kind != DriveKind::Floppy
            && claim::is_claimed(volume, self.helper, deadline)?
        {
            return self.flush_elsewhere(volume, deadline);
        }
        let mut hidden = None;
        // A mount that is read-only here may be writable elsewhere, or have been before.
        for mount in &volume.mounts {
            let tick = progress(self.drive.id.device);
            // One mount stands for all of them: the whole file system is written.
            match umount::sync(mount, self.helper, deadline, tick)? {
                Some(done) if done.skipped.is_none() => return Ok(done),
                Some(_) => {}
                None => hidden = Some(mount),
            }
        }
        match hidden {
            Some(mount) => {
                let why = format!("{} is hidden by another mount", mount.path.display());
                self.flush_block_device(volume, &why, deadline)
            }
            None => Ok(StepOutcome::default()),
        }
    }

    /// Writes a file system that is in use but not mounted in this namespace.
    ///
    /// It is written through a mount in another namespace, which reports errors, or else through its device.
    fn flush_elsewhere(&self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let time = deadline.capped(NAMESPACE_SCAN_TIME).remaining();
        let elsewhere = other_namespaces::mounted_elsewhere(&[volume.device], time);
        for mount in elsewhere.mounts {
            let synced = self.sync_through(mount.pid, &mount.path, mount.id, deadline)?;
            if let Some(done) = synced {
                return Ok(done);
            }
        }
        // The file system of several devices is not known to any one of them.
        if volume.file_system.as_deref() == Some("btrfs") {
            let why = "is in use, but not mounted here: its file system could not be flushed";
            return Err(Error::new(ErrorKind::Busy, &volume.name, why));
        }
        let why = format!("{} is in use, but no mount of it was found", volume.name);
        self.flush_block_device(volume, &why, deadline)
    }

    /// Writes the caches of eCryptfs mounts over directories of the drive that are not volumes of it.
    fn flush_caches_over(&self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let time = deadline.capped(NAMESPACE_SCAN_TIME).remaining();
        let mut all = StepOutcome::default();
        for other in other_namespaces::caches_over(self.drive, time) {
            match self.sync_through(other.pid, &other.path, other.id, deadline)? {
                Some(done) => all.merge(done),
                None => {
                    let path = other.path.display();
                    let why = format!(
                        "carries the files of the {} on {path}, which could not be flushed",
                        other.file_system
                    );
                    return Err(Error::new(ErrorKind::Busy, &self.drive.name, why));
                }
            }
        }
        Ok(all)
    }

    /// Calls `syncfs` on a mount that this process sees, through its root directory.
    ///
    /// `None` if the mount with this ID is not there: the process may have changed its root, or ended.
    fn sync_through(
        &self,
        pid: Option<u32>,
        mount: &Path,
        id: u64,
        deadline: &mut Deadline<'_>,
    ) -> Result<Option<StepOutcome>> {
        let Some(pid) = pid else { return Ok(None) };
        let mut path = PathBuf::from(format!("/proc/{pid}/root"));
        path.push(mount.strip_prefix("/").unwrap_or(mount));
        let Ok(root) = self.helper.open(&path, claim::OPEN_FLAGS, deadline)? else {
            return Ok(None);
        };
        if mount_id::of_file(&root) != Some(id) {
            return Ok(None);
        }
        match self.call(root.as_fd(), DeviceCall::SyncFs, deadline)? {
            Ok(()) => {
                let attempt = Attempt::accepted("syncfs");
                Ok(Some(StepOutcome::via(attempt.with_detail(path.display().to_string()))))
            }
            Err(errno) => Err(errno::unwritten(errno, path.display().to_string(), "syncfs")),
        }
    }

    /// `BLKFLSBUF`, for a file system that cannot be reached through a mount.
    ///
    /// The call reports no failed write. A hidden mount is flushed again before it is unmounted, when nothing
    /// hides it any more.
    fn flush_block_device(
        &self,
        volume: &Volume,
        why: &str,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let device = self.open(volume, deadline)?;
        match self.call(device.as_fd(), DeviceCall::FlushBuffers, deadline)? {
            Ok(()) => {
                let attempt = Attempt::accepted("BLKFLSBUF").with_detail(&*volume.name);
                Ok(StepOutcome::via(attempt).with_warning(format!(
                    "{why}: it was flushed through its device, which reports no failed write before the dismount"
                )))
            }
            Err(errno) => Err(errno::error(errno, volume.path.display().to_string(), "BLKFLSBUF")),
        }
    }

    fn open(&self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<Device> {
        let opened = volume_device::open(volume, OFlags::empty(), self.helper, deadline)?;
        opened.map_err(|e| errno::error(e, volume.path.display().to_string(), "open"))
    }

    fn call(
        &self,
        device: BorrowedFd<'_>,
        call: DeviceCall,
        deadline: &mut Deadline<'_>,
    ) -> Result<Result<(), Errno>> {
        let request = Request::Device { device, call };
        let tick = progress(self.drive.id.device);
        Ok(self.helper.call_with_progress(&request, deadline, tick)?.map(drop))
    }

    /// Sectors that the drive was given to write (`stat` of a disk, Documentation/block/stat.rst), whatever came
    /// of them. A flush is a write of none.
    fn sectors_submitted(&self) -> Option<u64> {
        self.node.text("stat")?.split_ascii_whitespace().nth(6)?.parse().ok()
    }

    /// Returns true if the drive says that it has stopped.
    fn has_stopped(&self, deadline: &mut Deadline<'_>) -> Result<bool> {
        let device = self.device.ok_or_else(|| gone(self.drive))?;
        let time = deadline.remaining();
        let answer = self.helper.scsi(device.as_fd(), Command::TestUnitReady, time, deadline)?;
        Ok(matches!(answer, Ok(ScsiResponse::Check(sense)) if sense.stopped()))
    }
}
