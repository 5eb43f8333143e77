//! Drives of the same device, which a power-off takes along: a card reader's other slots, the disk
//! beside a "virtual CD".

use crate::model::blocker::{Blocker, BlockerKind, BlockerScan, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::event::Event;
use crate::model::hint::Hint;
use crate::model::step::Step;
use crate::model::target::Target;
use crate::policy::plan::siblings_note;
use crate::policy::preconditions::check_system;
use crate::release::open_drive::OpenDrive;
use crate::release::operation::DriveOperation;
use std::collections::HashSet;
use std::time::Duration;

/// Interval between attempts to claim siblings that are in use.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

impl<'p> DriveOperation<'p> {
    /// Claims and flushes the siblings that were not requested, and waits for those in use.
    ///
    /// Another drive of the group has claimed those in `claimed`, which gains the new ones. The
    /// claims hold as long as the returned drives.
    pub(crate) fn claim_siblings(
        &mut self,
        drive: &Drive,
        claimed: &mut HashSet<String>,
    ) -> Result<Vec<OpenDrive<'p>>> {
        let give_up = self.platform.now() + self.options.wait;
        let give_up = self.end().map_or(give_up, |end| end.min(give_up));
        let siblings = loop {
            let error = match self.try_claim_siblings(drive, claimed) {
                Ok(siblings) => break siblings,
                Err(error) => error,
            };
            let remaining = give_up.saturating_sub(self.platform.now());
            if error.kind() != ErrorKind::Busy || remaining.is_zero() {
                return Err(error);
            }
            self.emit(Event::Waiting { error, remaining });
            self.check_cancelled()
                .map_err(|e| e.with_subject(&drive.name).with_step(Step::Resolve))?;
            self.platform.sleep(RETRY_INTERVAL.min(remaining));
        };
        if let Some(note) = siblings_note(siblings.iter().map(|sibling| &sibling.drive)) {
            self.warn(note);
        }
        claimed.extend(siblings.iter().map(|sibling| sibling.drive.name.clone()));
        Ok(siblings)
    }

    fn try_claim_siblings(
        &self,
        drive: &Drive,
        claimed: &HashSet<String>,
    ) -> Result<Vec<OpenDrive<'p>>> {
        let mut siblings = Vec::new();
        for sibling in self.unrequested_siblings(drive)? {
            if claimed.contains(&sibling.name) {
                continue;
            }
            let mut open = OpenDrive::open(self.for_sibling(&sibling), sibling)?;
            open.check()?;
            match open.claim() {
                Ok(_) => siblings.push(open),
                Err(error) if error.kind() == ErrorKind::Busy => {
                    let scan = open.blockers_or_unknown();
                    return Err(in_use(drive, &open.drive.name, "is in use").with_scan(scan));
                }
                Err(error) => {
                    return Err(error.with_subject(&open.drive.name).with_step(Step::Resolve));
                }
            }
        }
        Ok(siblings)
    }

    /// Returns the drives that a power-off takes along without being requested.
    ///
    /// # Errors
    /// `Busy` if one of them is mounted; `Refused` if one carries the running system.
    pub(crate) fn unrequested_siblings(&self, drive: &Drive) -> Result<Vec<Drive>> {
        let requested = |name: &String| self.options.group.iter().any(|other| other.name == *name);
        let mut siblings = Vec::new();
        for name in drive.siblings.iter().filter(|name| !requested(name)) {
            let sibling = match self.platform.resolve(&Target::parse(name)?) {
                Ok(sibling) => sibling,
                Err(error) if error.kind() == ErrorKind::NoSuchTarget => continue,
                Err(error) => return Err(error.with_step(Step::Resolve)),
            };
            check_system(&sibling).map_err(|e| e.with_step(Step::Resolve))?;
            if let Some(mount) = sibling.mounts().first() {
                let how = format!("is mounted on {}", mount.path.display());
                let usage = Usage::new(UsageKind::MountPoint, &**name).at(&mount.path);
                let blocker = Blocker::new(BlockerKind::Mount, format!("{name} {how}"))
                    .with_usage(usage)
                    .with_remedy("release it first", Some(format!("unmoor eject {name}")));
                let scan = BlockerScan {
                    blockers: vec![blocker],
                    complete: true,
                    ..BlockerScan::default()
                };
                return Err(in_use(drive, name, &how).with_scan(scan));
            }
            siblings.push(sibling);
        }
        Ok(siblings)
    }
}

fn in_use(drive: &Drive, name: &str, how: &str) -> Error {
    let what = format!("powering it off would take {name} along, which {how}");
    Error::new(ErrorKind::Busy, &drive.name, what)
        .with_hint(Hint::EjectThisDriveOnly)
        .with_step(Step::Resolve)
}
