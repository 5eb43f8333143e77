//! What is truly so: for tests to hold a report against.

use crate::Simulated;
use crate::cache::{Contents, contents, total};
use crate::journal::JournalEntry;
use unmoor::{Drive, DriveId, Medium, Presence};

impl Simulated {
    /// Every operation so far, in order.
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.with(|w| w.journal.clone())
    }

    /// Does anything of the drive show in the machine's file tree, or in another namespace.
    pub fn is_mounted(&self, drive: DriveId) -> bool {
        self.with(|w| w.device(drive).is_some_and(|d| d.is_mounted()))
    }

    /// Is the device on its bus.
    pub fn is_attached(&self, drive: DriveId) -> bool {
        self.with(|w| w.device(drive).is_some_and(|d| d.attached))
    }

    /// Where the medium is.
    pub fn medium(&self, drive: DriveId) -> Medium {
        self.with(|w| w.device(drive).map_or(Medium::Unknown, |d| d.medium))
    }

    /// What an honest drive would answer.
    pub fn presence(&self, drive: DriveId) -> Presence {
        self.with(|w| {
            w.device_mut(drive).map_or(Presence::Gone, |d| {
                let silent = std::mem::replace(&mut d.silent, false);
                let seen = d.presence();
                d.silent = silent;
                seen
            })
        })
    }

    /// Has the medium, or the device, left at somebody's command or hand.
    pub fn was_ejected(&self, drive: DriveId) -> bool {
        use Presence::{Absent, Gone, TrayOpen};
        matches!(self.presence(drive), Absent | Gone | TrayOpen)
    }

    /// How many locks and claims are held, on all drives.
    pub fn locks_held(&self) -> usize {
        self.with(|w| {
            let claims = w.devices.iter().filter(|d| d.claimed_by.is_some()).count();
            let volumes = w.devices.iter().flat_map(|d| &d.volumes);
            claims + volumes.filter(|v| v.locked_by.is_some()).count()
        })
    }

    /// Everything that programs were told is written.
    pub fn written(&self, drive: DriveId) -> Contents {
        self.with(|w| w.device(drive).map(|d| contents(&d.written)).unwrap_or_default())
    }

    /// What is on the medium itself.
    pub fn medium_contents(&self, drive: DriveId) -> Contents {
        self.with(|w| w.device(drive).map(|d| contents(&d.on_medium)).unwrap_or_default())
    }

    /// Bytes still on their way to the medium, in both caches.
    pub fn unwritten(&self, drive: DriveId) -> u64 {
        self.with(|w| {
            w.device(drive).map_or(0, |d| {
                total(&d.cache) + d.volumes.iter().map(|v| total(&v.cache)).sum::<u64>()
            })
        })
    }

    /// The drive as it looks now, also after it left.
    pub fn describe(&self, drive: DriveId) -> Option<Drive> {
        self.with(|w| w.device(drive).map(|d| d.describe()))
    }
}
