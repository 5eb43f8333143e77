//! A session: the seam's operations, each with its fault, its time and its line in the journal.

use crate::fault::{FaultKind, Op};
use crate::journal::{Effect, JournalEntry};
use crate::world::MachineState;
use crate::{Semantics, Simulated};
use unmoor::platform::Session;
use unmoor::{
    Action, Attempt, Blocker, BlockerScan, Deadline, Drive, DriveId, Error, ErrorKind, Medium,
    Mount, Presence, Result, StepOutcome, UsageKind, Volume,
};

pub(crate) struct SimSession<'m> {
    pub machine: &'m Simulated,
    pub id: DriveId,
    /// Whose locks are whose.
    pub token: u64,
    /// There was no medium in it when it was opened.
    pub empty: bool,
}

/// What an operation answered, and what truly happened.
pub(crate) type Answer<T> = Result<(T, Option<Effect>)>;

impl<'m> SimSession<'m> {
    /// Binds a session to the device.
    pub fn open(machine: &'m Simulated, id: DriveId, token: u64) -> Result<Self> {
        let empty = machine.with(|w| w.device(id).is_some_and(|d| d.medium != Medium::Present));
        let bound = SimSession { machine, id, token, empty };
        machine.with(|w| w.ours.push((id, token)));
        bound.run(Op::Open, None, |fault| match fault {
            Some(FaultKind::IoError) => Err(io_error()),
            _ => Ok(((), None)),
        })?;
        Ok(bound)
    }

    /// Carries one operation out: time passes, its fault strikes, the device must still be the one
    /// that was opened; and whatever comes of it is written down.
    fn run<T>(
        &self,
        op: Op,
        volume: Option<&str>,
        body: impl FnOnce(Option<FaultKind>) -> Answer<T>,
    ) -> Result<T> {
        let result = self.begin(op, volume).and_then(|fault| match fault {
            Some(FaultKind::NotPermitted) => {
                Err(Error::new(ErrorKind::NotPermitted, "", "operation not permitted")
                    .with_os_code(1))
            }
            Some(FaultKind::NotSupported) => {
                Err(Error::new(ErrorKind::NotSupported, "", "the drive does not know this command"))
            }
            fault => body(fault),
        });
        let (result, effect) = match result {
            Ok((value, effect)) => (Ok(value), effect),
            Err(error) => (Err(error), None),
        };
        self.machine.with(|world| {
            world.journal.push(JournalEntry {
                at: world.now,
                op,
                device: self.id,
                volume: volume.map(Into::into),
                answer: result.as_ref().map(|_| ()).map_err(Error::kind),
                effect,
            });
        });
        result
    }

    fn begin(&self, op: Op, volume: Option<&str>) -> Result<Option<FaultKind>> {
        let time = self.machine.with(|w| w.device(self.id).map(|d| d.pace.operation));
        self.machine.spend(time.unwrap_or_default());
        self.machine.with(|world| {
            let fault = world.device_mut(self.id).and_then(|d| d.fault_for(op, volume));
            match fault {
                Some(FaultKind::Yank) => world.yank(self.id),
                Some(FaultKind::NoMedium) => world.take_medium(self.id),
                Some(FaultKind::Replaced) => world.replace(self.id),
                _ => {}
            }
            // Presence is asked of the bound device, so a drive that is gone is an answer; letting go
            // of locks is harmless always.
            if !matches!(op, Op::Presence | Op::Unlock | Op::Blockers) {
                world.bound(self.id)?;
            }
            Ok(fault)
        })
    }

    pub fn world<T>(&self, look: impl FnOnce(&mut MachineState) -> T) -> T {
        self.machine.with(look)
    }
}

/// No answer until the deadline, or until somebody wishes to stop.
pub(crate) fn hang(deadline: &Deadline<'_>) -> Error {
    loop {
        if let Err(error) = deadline.sleep(std::time::Duration::from_millis(50)) {
            return error;
        }
    }
}

pub(crate) fn io_error() -> Error {
    Error::new(ErrorKind::Failed, "", "input/output error").with_os_code(5)
}

impl Session for SimSession<'_> {
    fn refresh(&mut self) -> Result<Drive> {
        self.run(Op::Refresh, None, |fault| match fault {
            Some(FaultKind::IoError) => Err(io_error()),
            _ => Ok((self.world(|w| w.bound(self.id).map(|d| d.describe()))?, None)),
        })
    }

    fn check(&mut self) -> Result<()> {
        self.world(|w| w.bound(self.id).map(|_| ()))
    }

    fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run(Op::Flush, Some(&volume.name), |fault| {
            let bytes = match fault {
                Some(FaultKind::Hang) => return Err(hang(deadline)),
                Some(FaultKind::IoError) => return Err(self.discard(&volume.name)),
                Some(FaultKind::Lie) => 0,
                _ => self.write_back(&volume.name, deadline)?,
            };
            let method = Attempt::accepted("flush").with_detail(volume.name.as_str());
            Ok((StepOutcome::via(method), Some(Effect::Flushed { bytes })))
        })
    }

    fn flush_drive(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run(Op::FlushDrive, None, |fault| {
            let bytes = match fault {
                Some(FaultKind::Hang) => return Err(hang(deadline)),
                Some(FaultKind::IoError) => return Err(self.discard_drive_cache()),
                Some(FaultKind::Lie) => 0,
                _ => self.world(|w| self.drain(w))?,
            };
            Ok((
                StepOutcome::via(Attempt::accepted("flush the drive")),
                Some(Effect::Flushed { bytes }),
            ))
        })
    }

    fn try_lock(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run(Op::Lock, Some(&volume.name), |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            _ => self.world(|w| self.lock_idle(w, &volume.name)),
        })
    }

    fn check_raw_users(&mut self, stays: bool, _wait: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run(Op::Writers, None, |_| {
            let scan = self.world(|w| w.blockers(self.id));
            let raw = |b: &Blocker| b.uses.iter().any(|u| u.kind == UsageKind::Device);
            match !stays && scan.blockers.iter().any(raw) {
                true => Err(Error::new(
                    ErrorKind::Busy,
                    "",
                    "is written to directly by a program, bypassing its file systems",
                )),
                false => Ok((StepOutcome::skipped("no process writes to the drive itself"), None)),
            }
        })
    }

    fn check_foreign_mounts(&mut self) -> Result<()> {
        match self.world(|w| w.mounted_within(self.id)) {
            None => Ok(()),
            Some(path) => {
                let what = format!("another drive is mounted on {}, within it", path.display());
                Err(Error::new(ErrorKind::NotExclusive, "", what))
            }
        }
    }

    fn unmount(
        &mut self,
        volume: &Volume,
        mount: &Mount,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        if self.world(|w| w.manner) == Semantics::Windows {
            return Ok(StepOutcome::skipped("dismounted with its volume"));
        }
        self.run(Op::Unmount, Some(&volume.name), |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            _ => self.apply_unmount(&volume.name, mount, force, deadline),
        })
    }

    fn dismount(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        self.run(Op::Dismount, Some(&volume.name), |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            _ => self.apply_dismount(&volume.name, force, deadline),
        })
    }

    fn claim(&mut self, force: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run(Op::Claim, None, |fault| {
            if fault == Some(FaultKind::Hang) {
                return Err(hang(deadline));
            }
            self.world(|w| self.apply_claim(w, force))?;
            match fault {
                Some(FaultKind::IoError) => Err(self.discard_drive_cache()),
                _ => {
                    self.world(|w| self.drain(w))?;
                    Ok((StepOutcome::via(Attempt::accepted("claim")), Some(Effect::Claimed)))
                }
            }
        })
    }

    fn offline(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run(Op::Offline, Some(&volume.name), |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            _ => {
                self.world(|w| w.volume(self.id, &volume.name).map(|v| v.offline = true))?;
                let method = Attempt::accepted("take offline").with_detail(volume.name.as_str());
                Ok((StepOutcome::via(method), Some(Effect::TakenOffline)))
            }
        })
    }

    fn release_handles(&mut self) {
        self.world(|w| {
            if w.manner == Semantics::Windows {
                self.close(w);
            }
        });
    }

    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run(Op::LetGo, None, |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            fault => self.world(|w| self.apply_action(w, action, fault == Some(FaultKind::Lie))),
        })
    }

    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run(Op::Load, None, |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            Some(FaultKind::Lie) => {
                Ok((StepOutcome::via(Attempt::accepted("close the tray")), None))
            }
            _ => self.apply_load(deadline),
        })
    }

    fn unwritten(&self) -> Option<u64> {
        Some(self.machine.unwritten(self.id))
    }

    fn presence(&mut self, _wait: &mut Deadline<'_>) -> Result<Presence> {
        self.run(Op::Presence, None, |fault| match fault {
            Some(FaultKind::IoError) => Err(io_error()),
            _ => {
                let seen = self.world(|w| w.device(self.id).map(|d| d.presence()));
                Ok((seen.unwrap_or(Presence::Gone), None))
            }
        })
    }

    fn unlock(&mut self) -> Result<StepOutcome> {
        self.run(Op::Unlock, None, |fault| {
            let freed = self.world(|w| self.free(w));
            match fault {
                Some(FaultKind::IoError) => Err(io_error()),
                _ if freed => Ok((StepOutcome::default(), Some(Effect::Unlocked))),
                _ => Ok((StepOutcome::skipped("nothing was locked"), None)),
            }
        })
    }

    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        let found = self.run(Op::Blockers, None, |fault| {
            if fault == Some(FaultKind::Hang) {
                return Err(hang(deadline));
            }
            Ok((self.world(|w| w.blockers(self.id)), None))
        });
        found.unwrap_or_else(|error| BlockerScan {
            notes: vec![format!("the search was not finished: {error}")],
            ..BlockerScan::default()
        })
    }
}

impl Drop for SimSession<'_> {
    fn drop(&mut self) {
        self.world(|w| self.close(w));
    }
}
