//! What is done with a drive besides releasing it.

use crate::deadline::Deadline;
use crate::model::drive::{Drive, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::Event;
use crate::model::report::Outcome;
use crate::model::report::StepOutcome;
use crate::model::step::Step;
use crate::options::Options;
use crate::release::operation::DriveOperation;

impl DriveOperation<'_> {
    pub(crate) fn flush(&mut self, drive: Drive) -> Result<Outcome> {
        let mut opened = self.open(drive)?;
        self.step(Step::Flush, || opened.flush().map(|done| ((), done)))?;
        Ok(Outcome::Completed)
    }

    pub(crate) fn remount(&mut self, drive: &Drive) -> Result<Outcome> {
        let platform = self.platform;
        self.step(Step::Mount, || platform.remount(drive).map(|done| ((), done)))
            .map_err(|e| e.with_step(Step::Mount))?;
        Ok(Outcome::Completed)
    }

    pub(crate) fn load(&mut self, drive: Drive) -> Result<Outcome> {
        let mut opened = self.open(drive)?;
        self.step(Step::Load, || opened.load().map(|done| ((), done)))?;
        let seen = self.step(Step::Verify, || {
            let seen = opened.presence()?;
            Ok((seen, StepOutcome::default().with_note(seen.description())))
        })?;
        self.report.medium_after = Some(seen);
        let name = &opened.drive().name;
        match seen {
            Presence::Absent => Err(Error::new(
                ErrorKind::NoMedium,
                name,
                "the drive is closed, and there is no medium in it",
            )),
            Presence::TrayOpen => Err(Error::new(
                ErrorKind::Failed,
                name,
                "reported success, but the tray is still open",
            )),
            Presence::Gone => Err(Error::new(ErrorKind::Gone, name, "the drive is gone")),
            _ => return Ok(Outcome::Completed),
        }
        .map_err(|e| e.with_step(Step::Verify))
    }

    pub(crate) fn attach(&mut self) -> Result<Outcome> {
        let (platform, target, options) = (self.platform, self.target, self.options.clone());
        let deadline = self.start + options.timeout.unwrap_or(Options::DEFAULT_STEP_TIMEOUT);
        let ear = self.ear.clone();
        let attached = self.step(Step::Attach, || {
            let mut watch = |left| (ear.borrow_mut())(&Event::Flushing { remaining: left });
            let mut wait = Deadline::until(platform, deadline, &options.cancel, &mut watch);
            platform.attach(target, &mut wait).map(|done| ((), done))
        });
        attached.map_err(|e| e.with_subject(&target.to_string()).with_step(Step::Attach))?;
        let drive = self.step(Step::Verify, || {
            let drive = platform.resolve(target).map_err(|error| match error.kind() {
                ErrorKind::NoSuchTarget => {
                    let why = "reported success, but no drive appeared";
                    Error::new(ErrorKind::Failed, target.to_string(), why)
                        .with_help("unplug it and plug it in again")
                }
                _ => error,
            })?;
            let note = drive.path.display().to_string();
            Ok((drive, StepOutcome::default().with_note(note)))
        });
        self.report.drive = Some(drive.map_err(|e| e.with_step(Step::Verify))?);
        Ok(Outcome::Completed)
    }
}
