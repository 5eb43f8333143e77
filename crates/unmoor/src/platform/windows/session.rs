//! Session of one drive: the seam's calls, passed to its open handles.

use crate::deadline::Deadline;
use crate::model::blocker::BlockerScan;
use crate::model::drive::{Drive, DriveKind, Presence};
use crate::model::error::{ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::volume::{Mount, Volume};
use crate::platform::Session;
use crate::platform::windows::blockers::scan;
use crate::platform::windows::inventory::snapshot::DriveKey;
use crate::platform::windows::release::handles::DriveHandles;

/// Session of one drive. Dropping it closes the handles, and with them unlocks the volumes.
#[derive(Debug)]
pub(crate) struct WindowsSession(DriveHandles);

impl WindowsSession {
    /// Opens the drive for queries.
    pub(crate) fn open(drive: &Drive, waiting_process: Option<u32>) -> Result<WindowsSession> {
        DriveHandles::open(drive, waiting_process).map(WindowsSession)
    }
}

impl Session for WindowsSession {
    fn refresh(&mut self) -> Result<Drive> {
        self.0.refresh()
    }

    fn set_offline(&mut self, offline: bool) {
        self.0.keep_offline = offline;
    }

    fn check(&mut self) -> Result<()> {
        self.0.check()
    }

    fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.0.flush_volume(volume, deadline)
    }

    fn flush_drive(&mut self, _deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("flushing a volume reaches the drive's own cache as well"))
    }

    fn try_lock(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.0.lock_volume(volume, deadline)
    }

    fn check_raw_users(&mut self, stays: bool, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        match stays {
            true => Ok(StepOutcome::skipped("a lock keeps them out")),
            false => self.0.exclude_writers(deadline),
        }
    }

    fn unmount(
        &mut self,
        _volume: &Volume,
        _mount: &Mount,
        _force: bool,
        _deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        Ok(StepOutcome::skipped("Windows dismounts a volume from all its places at once"))
    }

    fn dismount(
        &mut self,
        volume: &Volume,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        self.0.dismount_volume(volume, force, deadline)
    }

    fn claim(&mut self, _force: bool, _deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        // The locks are the claim: Windows has none for a whole drive that needs no administrator.
        let done = StepOutcome::default();
        Ok(match (&self.0.key, self.0.drive.kind) {
            (DriveKey::Alone(_), kind) if !matches!(kind, DriveKind::Optical | DriveKind::Floppy) => done.with_warning(format!(
                "{}'s driver does not tell which drive it lies on: other volumes of the same drive, \
                 if there are any, were left alone",
                self.0.drive.name
            )),
            _ => done,
        })
    }

    fn offline(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.0.take_offline(volume, deadline)
    }

    fn release_handles(&mut self) {
        self.0.close_all();
    }

    fn perform(&mut self, action: Action, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.0.performed = true;
        let performed = match (action, self.0.drive.kind) {
            (Action::PowerOff, _) => self.0.remove_device(deadline),
            (Action::Stop, _) => self.0.stop(deadline),
            (Action::Detach, _) => self.0.detach(deadline),
            (_, DriveKind::Card | DriveKind::Floppy) => self.0.eject_by_hand(deadline),
            _ => self.0.eject(deadline),
        };
        performed.map_err(|error| match error.kind() {
            // The veto names a device or one program; the scan names every process and its files.
            ErrorKind::Vetoed => {
                let scan = scan::search(&self.0.drive, deadline);
                if scan.blockers.is_empty() { error } else { error.with_scan(scan) }
            }
            _ => error,
        })
    }

    fn load(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        self.0.load_medium(deadline)
    }

    fn presence(&mut self, _deadline: &mut Deadline<'_>) -> Result<Presence> {
        Ok(self.0.presence())
    }

    fn unlock(&mut self) -> Result<StepOutcome> {
        Ok(self.0.unlock_all())
    }

    fn blockers(&mut self, deadline: &mut Deadline<'_>) -> BlockerScan {
        scan::search(&self.0.drive, deadline)
    }
}
