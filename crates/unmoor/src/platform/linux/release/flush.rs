//! Writing out what is in the cache, and remembering what could not be written.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::volume::Mount;
use crate::model::volume::Volume;
use crate::platform::linux::helper;
use crate::platform::linux::release::eject::synchronize;
use crate::platform::linux::release::umount;
use crate::platform::linux::session::{LinuxSession, gone};
use crate::platform::linux::sys::sg::{Command, ScsiResponse};
use crate::platform::linux::sys::{blkdev, errno, sg, writeback};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;

impl LinuxSession {
    /// Tells the watcher how much is still to be written, and the deadline that something moves.
    pub(crate) fn progress(disk: u64) -> impl FnMut(&mut Deadline<'_>) {
        move |deadline| {
            if let Some(left) = writeback::unwritten(disk).or_else(writeback::unwritten_anywhere) {
                deadline.report_remaining(left);
            }
        }
    }

    /// A failed write, with what became of the drive: there may be none to write to any more.
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

    pub(crate) fn fsync(
        &mut self,
        what: &str,
        device: &OwnedFd,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let tick = Self::progress(self.drive.id.device);
        let before = self.sectors_submitted();
        let fsync = || rustix::fs::fsync(device).map(|()| [0; 8]);
        match helper::run(deadline, tick, &[device.as_fd()], fsync)? {
            Ok(_) => Ok(StepOutcome::via(Attempt::accepted("fsync").with_detail(what))),
            // A drive that has stopped takes no command, and has written its cache before (SBC-3 5.20). It is
            // no loss as long as nothing else was to be written.
            Err(Errno::IO)
                if self.sectors_submitted() == before && self.has_stopped(deadline)? =>
            {
                Ok(StepOutcome::skipped(format!("{} has stopped before", self.drive.name)))
            }
            Err(errno) => Err(self.record_write_error(errno::unwritten(errno, what, "fsync"))),
        }
    }

    /// `syncfs` of the volume's file system.
    pub(crate) fn sync_file_system(
        &mut self,
        volume: &Volume,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let mut hidden = None;
        // One that is mounted read-only here may be written to elsewhere, or have been before.
        for mount in &volume.mounts {
            let tick = Self::progress(self.drive.id.device);
            // One mount stands for all of them: the whole file system is written.
            match umount::sync(mount, deadline, tick).map_err(|e| self.record_write_error(e))? {
                Some(done) if done.skipped.is_none() => return Ok(done),
                Some(_) => {}
                None => hidden = Some(mount),
            }
        }
        match hidden {
            Some(mount) => self.flush_block_device(volume, mount, deadline),
            None => Ok(StepOutcome::default()),
        }
    }

    /// Every mount of the file system is hidden by another one. Its device can be told to have it written;
    /// what could not be is asked for before it is unmounted, when nothing hides it any more.
    pub(crate) fn flush_block_device(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let device = helper::open(&volume.path, flags, deadline)?
            .map_err(|e| errno::error(e, volume.path.display().to_string(), "open"))?;
        let tick = Self::progress(self.drive.id.device);
        let flush = || blkdev::flush_buffers(&device).map(|()| [0; 8]);
        let flushed = helper::run(deadline, tick, &[device.as_fd()], flush)?;
        helper::close(device);
        let shown = mount.path.display();
        match flushed {
            Ok(_) => Ok(StepOutcome::via(
                Attempt::accepted("BLKFLSBUF").with_detail(&*volume.name),
            )
            .with_warning(format!(
                "{shown} is hidden by another mount: if something there could not be written, that \
                     is told only when it is dismounted"
            ))),
            Err(errno) => Err(errno::error(errno, volume.path.display().to_string(), "BLKFLSBUF")),
        }
    }

    /// Writes what the kernel has for the drive itself, and what the drive has in its own cache.
    pub(crate) fn sync_drive(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let device = self.device()?.try_clone().map_err(|_| gone(&self.drive))?;
        let mut done = self.fsync(&self.drive.path.display().to_string(), &device, deadline)?;
        match synchronize(&self.drive, &self.node, device.as_fd(), deadline) {
            Ok(attempt) => done.attempts.extend(attempt),
            Err(error) => return Err(self.record_write_error(error)),
        }
        Ok(done)
    }

    /// How many sectors the drive was given to write (`stat` of a disk, Documentation/block/stat.rst),
    /// whatever came of them. A flush is a write of none.
    pub(crate) fn sectors_submitted(&self) -> Option<u64> {
        self.node.text("stat")?.split_ascii_whitespace().nth(6)?.parse().ok()
    }

    /// Does the drive say that it has stopped.
    pub(crate) fn has_stopped(&self, deadline: &mut Deadline<'_>) -> Result<bool> {
        let (fd, time) = (self.device()?.as_fd(), deadline.remaining());
        let ask = || sg::send(fd, Command::TestUnitReady, time).map(ScsiResponse::to_bytes);
        let answer = helper::run(deadline, |_| {}, &[fd], ask)?.map(ScsiResponse::from_bytes);
        Ok(matches!(answer, Ok(ScsiResponse::Check(sense)) if sense.stopped()))
    }
}
