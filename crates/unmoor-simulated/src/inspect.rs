//! The machine's true state, which tests compare with a report.

use crate::cache::{Contents, contents, total};
use crate::journal::JournalEntry;
use crate::machine::Simulated;
use unmoor::{Drive, DriveId, Medium, Presence};

impl Simulated {
    /// Returns every operation so far, in order.
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.with(|state| state.journal.clone())
    }

    /// Returns true if any volume of the drive is mounted, also in another mount namespace.
    pub fn is_mounted(&self, drive: DriveId) -> bool {
        self.with(|state| state.device(drive).is_some_and(|d| d.is_mounted()))
    }

    /// Returns true if the device is on its bus.
    pub fn is_attached(&self, drive: DriveId) -> bool {
        self.with(|state| state.device(drive).is_some_and(|d| d.attached))
    }

    /// Returns the state of the medium.
    pub fn medium(&self, drive: DriveId) -> Medium {
        self.with(|state| state.device(drive).map_or(Medium::Unknown, |d| d.medium))
    }

    /// Returns the presence that an honest drive would report.
    pub fn presence(&self, drive: DriveId) -> Presence {
        self.with(|state| {
            state.device_mut(drive).map_or(Presence::Gone, |d| {
                let silent = std::mem::replace(&mut d.silent, false);
                let seen = d.presence();
                d.silent = silent;
                seen
            })
        })
    }

    /// Returns true if the medium or the device left, by command or by hand.
    pub fn was_ejected(&self, drive: DriveId) -> bool {
        use Presence::{Absent, Gone, TrayOpen};
        matches!(self.presence(drive), Absent | Gone | TrayOpen)
    }

    /// Returns the number of locks and claims held on all drives.
    pub fn locks_held(&self) -> usize {
        self.with(|state| {
            let claims = state.devices.iter().filter(|d| d.claimed_by.is_some()).count();
            let volumes = state.devices.iter().flat_map(|d| &d.volumes);
            claims + volumes.filter(|v| v.locked_by.is_some()).count()
        })
    }

    /// Returns all data whose write a program saw succeed.
    pub fn written(&self, drive: DriveId) -> Contents {
        self.with(|state| state.device(drive).map(|d| contents(&d.written)).unwrap_or_default())
    }

    /// Returns the data on the medium itself.
    pub fn medium_contents(&self, drive: DriveId) -> Contents {
        self.with(|state| state.device(drive).map(|d| contents(&d.on_medium)).unwrap_or_default())
    }

    /// Returns the number of bytes in both caches that are not on the medium yet.
    pub fn unwritten(&self, drive: DriveId) -> u64 {
        self.with(|state| {
            state.device(drive).map_or(0, |d| {
                total(&d.cache) + d.volumes.iter().map(|v| total(&v.cache)).sum::<u64>()
            })
        })
    }

    /// Returns the drive as it is now, also after it left.
    pub fn describe(&self, drive: DriveId) -> Option<Drive> {
        self.with(|state| state.device(drive).map(|d| d.describe()))
    }
}
