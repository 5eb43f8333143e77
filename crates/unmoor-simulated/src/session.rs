//! A session: the seam's operations, each with its fault, its duration and its journal entry.

use crate::fault::{FaultKind, Op};
use crate::journal::{Effect, JournalEntry};
use crate::machine::Simulated;
use crate::semantics::Semantics;
use crate::state::MachineState;
use unmoor::platform::Session;
use unmoor::{
    Action, Attempt, Blocker, BlockerScan, Deadline, Drive, DriveId, Error, ErrorKind, Medium,
    Mount, Presence, Result, StepOutcome, UsageKind, Volume,
};

pub(crate) struct SimSession<'m> {
    pub machine: &'m Simulated,
    pub id: DriveId,
    /// Identifies the locks of this session.
    pub token: u64,
    /// True if the drive had no medium when the session was opened.
    pub empty: bool,
    /// Name of the volume that alone is dismounted.
    pub only_volume: Option<String>,
    /// Volumes and mounts that were unmounted while idle, in that order.
    pub unmounted: Vec<(String, Mount)>,
}

/// Reported result of an operation, and its true effect.
pub(crate) type OpResult<T> = Result<(T, Option<Effect>)>;

impl<'m> SimSession<'m> {
    /// Opens a session on the device.
    pub fn open(machine: &'m Simulated, drive: &Drive, token: u64) -> Result<Self> {
        let id = drive.id;
        let empty =
            machine.with(|state| state.device(id).is_some_and(|d| d.medium != Medium::Present));
        let only_volume = drive.selection.as_ref().map(|one| one.volume.clone());
        let session = SimSession { machine, id, token, empty, only_volume, unmounted: Vec::new() };
        machine.with(|state| state.own_handles.push((id, token)));
        session.run_op(Op::Open, None, |fault| match fault {
            Some(FaultKind::IoError) => Err(io_error()),
            _ => Ok(((), None)),
        })?;
        Ok(session)
    }

    /// Returns the drive with the volume alone that this session dismounts.
    fn selected(&self, drive: Drive) -> Drive {
        match &self.only_volume {
            Some(name) => drive.only_volume(name),
            None => drive,
        }
    }

    /// Carries out one operation and writes its journal entry. Time passes, the fault applies, and the
    /// device must still be the one that was opened.
    fn run_op<T>(
        &self,
        op: Op,
        volume: Option<&str>,
        body: impl FnOnce(Option<FaultKind>) -> OpResult<T>,
    ) -> Result<T> {
        let result = self.begin_op(op, volume).and_then(|fault| match fault {
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
        self.machine.with(|state| {
            state.journal.push(JournalEntry {
                at: state.now,
                op,
                device: self.id,
                volume: volume.map(Into::into),
                answer: result.as_ref().map(|_| ()).map_err(Error::kind),
                effect,
            });
        });
        result
    }

    fn begin_op(&self, op: Op, volume: Option<&str>) -> Result<Option<FaultKind>> {
        let time = self.machine.with(|state| state.device(self.id).map(|d| d.timing.operation));
        self.machine.spend(time.unwrap_or_default());
        self.machine.with(|state| {
            let fault = state.device_mut(self.id).and_then(|d| d.fault_for(op, volume));
            match fault {
                Some(FaultKind::Yank) => state.yank(self.id),
                Some(FaultKind::NoMedium) => state.take_medium(self.id),
                Some(FaultKind::Replaced) => state.replace(self.id),
                _ => {}
            }
            // A drive that is gone is a valid result of `presence`, and releasing locks is always
            // harmless.
            if !matches!(op, Op::Presence | Op::Unlock | Op::Blockers) {
                state.attached_device(self.id)?;
            }
            Ok(fault)
        })
    }

    pub fn with_state<T>(&self, look: impl FnOnce(&mut MachineState) -> T) -> T {
        self.machine.with(look)
    }
}

/// Waits until the deadline or a cancellation, and returns its error.
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
        self.run_op(Op::Refresh, None, |fault| match fault {
            Some(FaultKind::IoError) => Err(io_error()),
            _ => Ok((
                self.selected(
                    self.with_state(|state| state.attached_device(self.id).map(|d| d.describe()))?,
                ),
                None,
            )),
        })
    }

    fn check(&mut self) -> Result<()> {
        self.with_state(|state| state.attached_device(self.id).map(|_| ()))
    }

    fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run_op(Op::Flush, Some(&volume.name), |fault| {
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
        self.run_op(Op::FlushDrive, None, |fault| {
            let bytes = match fault {
                Some(FaultKind::Hang) => return Err(hang(deadline)),
                Some(FaultKind::IoError) => return Err(self.discard_drive_cache()),
                Some(FaultKind::Lie) => 0,
                _ => self.with_state(|state| self.drain(state))?,
            };
            Ok((
                StepOutcome::via(Attempt::accepted("flush the drive")),
                Some(Effect::Flushed { bytes }),
            ))
        })
    }

    fn try_lock(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run_op(Op::Lock, Some(&volume.name), |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            _ => self.with_state(|state| self.lock_idle(state, &volume.name)),
        })
    }

    fn check_raw_users(&mut self, stays: bool, _wait: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run_op(Op::CheckRawUsers, None, |_| {
            let scan = self.with_state(|state| state.blockers(self.id));
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
        match self.with_state(|state| state.mounted_within(self.id)) {
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
        if self.with_state(|state| state.semantics) == Semantics::Windows {
            return Ok(StepOutcome::skipped("dismounted with its volume"));
        }
        let done = self.run_op(Op::Unmount, Some(&volume.name), |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            _ => self.apply_unmount(&volume.name, mount, force, deadline),
        })?;
        if done.skipped.is_none() && !force {
            self.unmounted.push((volume.name.clone(), mount.clone()));
        }
        Ok(done)
    }

    fn mount_again(&mut self, _deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let unmounted = std::mem::take(&mut self.unmounted);
        self.run_op(Op::MountAgain, None, |_| {
            let mut done = StepOutcome::default();
            self.with_state(|state| {
                self.release_locks(state);
                for (volume, mount) in unmounted.iter().rev() {
                    done.merge(self.apply_mount_again(state, volume, mount));
                }
            });
            Ok((done, Some(Effect::MountedAgain)))
        })
    }

    fn dismount(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        self.run_op(Op::Dismount, Some(&volume.name), |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            _ => self.apply_dismount(&volume.name, force, deadline),
        })
    }

    fn claim(&mut self, force: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run_op(Op::Claim, None, |fault| {
            if fault == Some(FaultKind::Hang) {
                return Err(hang(deadline));
            }
            self.with_state(|state| self.apply_claim(state, force))?;
            match fault {
                Some(FaultKind::IoError) => Err(self.discard_drive_cache()),
                _ => {
                    self.with_state(|state| self.drain(state))?;
                    Ok((StepOutcome::via(Attempt::accepted("claim")), Some(Effect::Claimed)))
                }
            }
        })
    }

    fn offline(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run_op(Op::Offline, Some(&volume.name), |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            _ => {
                self.with_state(|state| {
                    state.volume(self.id, &volume.name).map(|v| v.offline = true)
                })?;
                let method = Attempt::accepted("take offline").with_detail(volume.name.as_str());
                Ok((StepOutcome::via(method), Some(Effect::TakenOffline)))
            }
        })
    }

    fn release_handles(&mut self) {
        self.with_state(|state| {
            if state.semantics == Semantics::Windows {
                self.close(state);
            }
        });
    }

    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run_op(Op::Perform, None, |fault| match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            fault => self.with_state(|state| {
                self.apply_action(state, action, fault == Some(FaultKind::Lie))
            }),
        })
    }

    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.run_op(Op::Load, None, |fault| match fault {
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
        self.run_op(Op::Presence, None, |fault| match fault {
            Some(FaultKind::IoError) => Err(io_error()),
            _ => {
                let seen = self.with_state(|state| state.device(self.id).map(|d| d.presence()));
                Ok((seen.unwrap_or(Presence::Gone), None))
            }
        })
    }

    fn unlock(&mut self) -> Result<StepOutcome> {
        self.run_op(Op::Unlock, None, |fault| {
            let freed = self.with_state(|state| self.release_locks(state));
            match fault {
                Some(FaultKind::IoError) => Err(io_error()),
                _ if freed => Ok((StepOutcome::default(), Some(Effect::Unlocked))),
                _ => Ok((StepOutcome::skipped("nothing was locked"), None)),
            }
        })
    }

    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        let found = self.run_op(Op::Blockers, None, |fault| {
            if fault == Some(FaultKind::Hang) {
                return Err(hang(deadline));
            }
            let mut scan = self.with_state(|state| state.blockers(self.id));
            if let Some(name) = &self.only_volume {
                let drive = self.with_state(|state| state.device(self.id).map(|d| d.describe()));
                let drive = drive.map(|drive| drive.only_volume(name));
                let on_it =
                    |volume: &str| drive.as_ref().is_some_and(|d| d.volume(volume).is_some());
                scan.blockers
                    .retain(|b| b.uses.is_empty() || b.uses.iter().any(|u| on_it(&u.volume)));
            }
            Ok((scan, None))
        });
        found.unwrap_or_else(|error| {
            let mut scan = BlockerScan::default();
            scan.notes.push(format!("the search was not finished: {error}"));
            scan
        })
    }
}

impl Drop for SimSession<'_> {
    fn drop(&mut self) {
        self.with_state(|state| self.close(state));
    }
}
