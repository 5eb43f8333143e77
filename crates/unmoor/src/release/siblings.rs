//! A power-off takes the other drives of the same device along: a card reader's other slots, the disk beside
//! a "virtual CD". None of them may be in use.

use crate::model::blocker::{Blocker, BlockerKind, BlockerScan, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::Event;
use crate::model::step::Step;
use crate::model::target::Target;
use crate::policy::preconditions::check_system;
use crate::release::opened::Opened;
use crate::release::operation::DriveOperation;
use std::collections::HashSet;
use std::time::Duration;

/// How often it is looked whether they are free.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

impl<'r> DriveOperation<'r> {
    /// A power-off takes the other drives of the same device along: a card reader's other slots, the
    /// disk beside a "virtual CD". None of them may be in use, nor come into use meanwhile: each that was
    /// not given too is taken for ourselves, which flushes it, until this run is over.
    ///
    /// Those in `held` another drive of the device has taken already, which leaves with this one. One that
    /// is in use is waited for as everything that is in the way.
    pub(crate) fn claim_siblings(
        &mut self,
        drive: &Drive,
        held: &mut HashSet<String>,
    ) -> Result<()> {
        let until = self.platform.now() + self.options.wait;
        let until = self.deadline().map_or(until, |deadline| deadline.min(until));
        let taken = loop {
            let error = match self.claim_siblings_once(drive, held) {
                Ok(taken) => break taken,
                Err(error) => error,
            };
            let left = until.saturating_sub(self.platform.now());
            if error.kind() != ErrorKind::Busy || left.is_zero() {
                return Err(error);
            }
            self.emit(&Event::Waiting { error: &error, remaining: left });
            if self.options.cancel.is_cancelled() {
                let why = "interrupted";
                return Err(
                    Error::new(ErrorKind::Interrupted, &drive.name, why).with_step(Step::Resolve)
                );
            }
            self.platform.sleep(RETRY_INTERVAL.min(left));
        };
        if let Some(words) = siblings_note(taken.iter().map(Opened::drive)) {
            self.warn(words);
        }
        held.extend(taken.iter().map(|opened| opened.drive().name.clone()));
        self.siblings = taken;
        Ok(())
    }

    fn claim_siblings_once(
        &self,
        drive: &Drive,
        held: &HashSet<String>,
    ) -> Result<Vec<Opened<'r>>> {
        let mut taken = Vec::new();
        for sibling in self.unrequested_siblings(drive)? {
            if held.contains(&sibling.name) {
                continue;
            }
            let name = sibling.name.clone();
            let mut opened = Opened::open(self.platform, sibling, &self.options)?;
            opened.check()?;
            match opened.claim() {
                Ok(_) => taken.push(opened),
                Err(error) if error.kind() == ErrorKind::Busy => {
                    let scan = opened.blockers();
                    return Err(self.sibling_in_use(drive, &name, "is in use").with_scan(scan));
                }
                Err(error) => return Err(error.with_step(Step::Resolve)),
            }
        }
        Ok(taken)
    }

    /// Right before the device leaves: what holds the drives taken along must not keep it there.
    pub(crate) fn release_sibling_handles(&mut self) {
        self.siblings.iter_mut().for_each(Opened::release_handles);
    }

    /// The drives that a power-off takes along without being asked to.
    ///
    /// # Errors
    /// `Busy` when one of them is mounted; `Refused` when it carries the running system.
    pub(crate) fn unrequested_siblings(&self, drive: &Drive) -> Result<Vec<Drive>> {
        let given = |name: &String| self.options.group.iter().any(|other| other.name == *name);
        let mut along = Vec::new();
        for name in drive.siblings.iter().filter(|name| !given(name)) {
            let sibling = match self.platform.resolve(&Target::parse(name)?) {
                Ok(sibling) => sibling,
                Err(error) if error.kind() == ErrorKind::NoSuchTarget => continue,
                Err(error) => return Err(error.with_step(Step::Resolve)),
            };
            check_system(&sibling).map_err(|e| e.with_step(Step::Resolve))?;
            if let Some(mount) = sibling.mounts().first() {
                let how = format!("is mounted on {}", mount.path.display());
                let used = Usage::new(UsageKind::MountPoint, &**name).at(&mount.path);
                let blocker = Blocker::new(BlockerKind::Mount, format!("{name} {how}"))
                    .with_usage(used)
                    .with_remedy("release it first", Some(format!("unmoor eject {name}")));
                let scan = BlockerScan {
                    blockers: vec![blocker],
                    complete: true,
                    ..BlockerScan::default()
                };
                return Err(self.sibling_in_use(drive, name, &how).with_scan(scan));
            }
            along.push(sibling);
        }
        Ok(along)
    }

    fn sibling_in_use(&self, drive: &Drive, name: &str, how: &str) -> Error {
        let what = format!("powering it off would take {name} along, which {how}");
        Error::new(ErrorKind::Busy, &drive.name, what)
            .with_help("or leave --power-off out, to eject the medium of this drive alone")
            .with_step(Step::Resolve)
    }
}

/// That these leave with the drive, in words.
pub(crate) fn siblings_note<'d>(along: impl IntoIterator<Item = &'d Drive>) -> Option<String> {
    let names: Vec<&str> = along.into_iter().map(|drive| drive.name.as_str()).collect();
    let (verb, what) = match names.len() {
        0 => return None,
        1 => ("goes", "it is"),
        _ => ("go", "they are"),
    };
    Some(format!("{} {verb} along: {what} the same device", names.join(", ")))
}
