//! A power-off takes the other drives of the same device along: a card reader's other slots, the disk beside
//! a "virtual CD". None of them may be in use.

use super::Run;
use crate::blocker::{Blocker, BlockerKind, Scan, Use, UseKind};
use crate::drive::Drive;
use crate::error::{Error, ErrorKind, Result};
use crate::refusals::refuse_system;
use crate::report::{Event, Step};
use crate::stages::Opened;
use crate::target::Target;
use std::collections::HashSet;
use std::time::Duration;

/// How often it is looked whether they are free.
const PAUSE: Duration = Duration::from_millis(250);

impl<'r> Run<'r> {
    /// A power-off takes the other drives of the same device along: a card reader's other slots, the
    /// disk beside a "virtual CD". None of them may be in use, nor come into use meanwhile: each that was
    /// not given too is taken for ourselves, which flushes it, until this run is over.
    ///
    /// Those in `held` another drive of the device has taken already, which leaves with this one. One that
    /// is in use is waited for as everything that is in the way.
    pub(crate) fn take_siblings(
        &mut self,
        drive: &Drive,
        held: &mut HashSet<String>,
    ) -> Result<()> {
        let until = self.platform.now() + self.options.wait;
        let until = self.deadline().map_or(until, |deadline| deadline.min(until));
        let taken = loop {
            let error = match self.try_siblings(drive, held) {
                Ok(taken) => break taken,
                Err(error) => error,
            };
            let left = until.saturating_sub(self.platform.now());
            if error.kind() != ErrorKind::Busy || left.is_zero() {
                return Err(error);
            }
            self.tell(&Event::Waiting { error: &error, left });
            if self.options.cancel.is_cancelled() {
                let why = "stopped at your wish";
                return Err(Error::new(ErrorKind::Interrupted, &drive.name, why).at(Step::Resolve));
            }
            self.platform.sleep(PAUSE.min(left));
        };
        if let Some(words) = go_along(taken.iter().map(Opened::drive)) {
            self.warn(words);
        }
        held.extend(taken.iter().map(|opened| opened.drive().name.clone()));
        self.siblings = taken;
        Ok(())
    }

    fn try_siblings(&self, drive: &Drive, held: &HashSet<String>) -> Result<Vec<Opened<'r>>> {
        let mut taken = Vec::new();
        for sibling in self.siblings_along(drive)? {
            if held.contains(&sibling.name) {
                continue;
            }
            let name = sibling.name.clone();
            let mut opened = Opened::with(self.platform, sibling, &self.options)?;
            opened.check()?;
            match opened.claim() {
                Ok(_) => taken.push(opened),
                Err(error) if error.kind() == ErrorKind::Busy => {
                    let scan = opened.blockers();
                    return Err(self.sibling_in_use(drive, &name, "is in use").with_scan(scan));
                }
                Err(error) => return Err(error.at(Step::Resolve)),
            }
        }
        Ok(taken)
    }

    /// Right before the device leaves: what holds the drives taken along must not keep it there.
    pub(crate) fn siblings_stand_back(&mut self) {
        self.siblings.iter_mut().for_each(Opened::stand_back);
    }

    /// The drives that a power-off takes along without being asked to.
    ///
    /// # Errors
    /// `Busy` when one of them is mounted; `Refused` when it carries the running system.
    pub(super) fn siblings_along(&self, drive: &Drive) -> Result<Vec<Drive>> {
        let given = |name: &String| self.options.together.iter().any(|other| other.name == *name);
        let mut along = Vec::new();
        for name in drive.siblings.iter().filter(|name| !given(name)) {
            let sibling = match self.platform.resolve(&Target::parse(name)?) {
                Ok(sibling) => sibling,
                Err(error) if error.kind() == ErrorKind::NoSuchTarget => continue,
                Err(error) => return Err(error.at(Step::Resolve)),
            };
            refuse_system(&sibling).map_err(|e| e.at(Step::Resolve))?;
            if let Some(mount) = sibling.mounts().first() {
                let how = format!("is mounted on {}", mount.path.display());
                let used = Use::new(UseKind::MountPoint, &**name).at(&mount.path);
                let blocker = Blocker::new(BlockerKind::Mount, format!("{name} {how}"))
                    .with_use(used)
                    .with_remedy("release it first", Some(format!("unmoor eject {name}")));
                let scan = Scan { blockers: vec![blocker], complete: true, ..Scan::default() };
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
            .at(Step::Resolve)
    }
}

/// That these leave with the drive, in words.
pub(super) fn go_along<'d>(along: impl IntoIterator<Item = &'d Drive>) -> Option<String> {
    let names: Vec<&str> = along.into_iter().map(|drive| drive.name.as_str()).collect();
    let (verb, what) = match names.len() {
        0 => return None,
        1 => ("goes", "it is"),
        _ => ("go", "they are"),
    };
    Some(format!("{} {verb} along: {what} the same device", names.join(", ")))
}
