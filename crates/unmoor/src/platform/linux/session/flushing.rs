//! Writing out what is in the cache, and remembering what could not be written.

use super::{LinuxSession, gone};
use crate::drive::{Mount, Volume};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::linux::let_go::synchronize;
use crate::platform::linux::sg::{self, Answer, Command};
use crate::platform::linux::{blkdev, errno, umount, worker, writeback};
use crate::report::{Attempt, Done};
use crate::wait::Wait;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;

impl LinuxSession {
    /// Tells the watcher how much is still to be written, and the deadline that something moves.
    pub(super) fn progress(disk: u64) -> impl FnMut(&mut Wait<'_>) {
        move |wait| {
            if let Some(left) = writeback::unwritten(disk).or_else(writeback::unwritten_anywhere) {
                wait.progress(left);
            }
        }
    }

    /// A failed write, with what became of the drive: there may be none to write to any more.
    pub(super) fn remember(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Unwritten {
            return error;
        }
        if self.has_left() {
            let attempts = error.attempts().to_vec();
            return gone(&self.drive).and_detail(&error).with_attempts(attempts);
        }
        self.unwritten.get_or_insert_with(|| error.clone());
        error
    }

    pub(super) fn fsync(
        &mut self,
        what: &str,
        device: &OwnedFd,
        wait: &mut Wait<'_>,
    ) -> Result<Done> {
        let tick = Self::progress(self.drive.id.device);
        let before = self.given();
        let fsync = || rustix::fs::fsync(device).map(|()| [0; 8]);
        match worker::run(wait, tick, &[device.as_fd()], fsync)? {
            Ok(_) => Ok(Done::by(Attempt::accepted("fsync").with_detail(what))),
            // A drive that has stopped takes no command, and has written its cache before (SBC-3 5.20). It is
            // no loss as long as nothing else was to be written.
            Err(Errno::IO) if self.given() == before && self.has_stopped(wait)? => {
                Ok(Done::skipped(format!("{} has stopped before", self.drive.name)))
            }
            Err(errno) => Err(self.remember(errno::unwritten(errno, what, "fsync"))),
        }
    }

    /// `syncfs` of the volume's file system.
    pub(super) fn sync_file_system(
        &mut self,
        volume: &Volume,
        wait: &mut Wait<'_>,
    ) -> Result<Done> {
        let mut hidden = None;
        // One that is mounted read-only here may be written to elsewhere, or have been before.
        for mount in &volume.mounts {
            let tick = Self::progress(self.drive.id.device);
            // One mount stands for all of them: the whole file system is written.
            match umount::sync(mount, wait, tick).map_err(|e| self.remember(e))? {
                Some(done) if done.skipped.is_none() => return Ok(done),
                Some(_) => {}
                None => hidden = Some(mount),
            }
        }
        match hidden {
            Some(mount) => self.flush_from_below(volume, mount, wait),
            None => Ok(Done::default()),
        }
    }

    /// Every mount of the file system is hidden by another one. Its device can be told to have it written;
    /// what could not be is asked for before it is unmounted, when nothing hides it any more.
    pub(super) fn flush_from_below(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        wait: &mut Wait<'_>,
    ) -> Result<Done> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let device = worker::open(&volume.path, flags, wait)?
            .map_err(|e| errno::error(e, volume.path.display().to_string(), "open"))?;
        let tick = Self::progress(self.drive.id.device);
        let flush = || blkdev::flush_buffers(&device).map(|()| [0; 8]);
        let flushed = worker::run(wait, tick, &[device.as_fd()], flush)?;
        worker::close(device);
        let shown = mount.path.display();
        match flushed {
            Ok(_) => Ok(Done::by(Attempt::accepted("BLKFLSBUF").with_detail(&*volume.name))
                .with_warning(format!(
                    "{shown} is hidden by another mount: if something there could not be written, that \
                     is told only when it is dismounted"
                ))),
            Err(errno) => Err(errno::error(errno, volume.path.display().to_string(), "BLKFLSBUF")),
        }
    }

    /// Writes what the kernel has for the drive itself, and what the drive has in its own cache.
    pub(super) fn sync_drive(&mut self, wait: &mut Wait<'_>) -> Result<Done> {
        let device = self.device()?.try_clone().map_err(|_| gone(&self.drive))?;
        let mut done = self.fsync(&self.drive.path.display().to_string(), &device, wait)?;
        match synchronize(&self.drive, &self.node, device.as_fd(), wait) {
            Ok(attempt) => done.attempts.extend(attempt),
            Err(error) => return Err(self.remember(error)),
        }
        Ok(done)
    }

    /// How many sectors the drive was given to write (`stat` of a disk, Documentation/block/stat.rst),
    /// whatever came of them. A flush is a write of none.
    pub(super) fn given(&self) -> Option<u64> {
        self.node.text("stat")?.split_ascii_whitespace().nth(6)?.parse().ok()
    }

    /// Does the drive say that it has stopped.
    pub(super) fn has_stopped(&self, wait: &mut Wait<'_>) -> Result<bool> {
        let (fd, time) = (self.device()?.as_fd(), wait.left());
        let ask = || sg::send(fd, Command::TestUnitReady, time).map(Answer::to_bytes);
        let answer = worker::run(wait, |_| {}, &[fd], ask)?.map(Answer::from_bytes);
        Ok(matches!(answer, Ok(Answer::Check(sense)) if sense.stopped()))
    }
}
