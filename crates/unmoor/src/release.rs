//! The procedure: resolve, plan, flush, lock, dismount, let go, verify, unlock; and what is reported
//! of it. Which system it runs on is no business of this file.

use crate::drive::{Drive, DriveKind, Medium, Presence};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Goal, Options};
use crate::plan::{Action, Plan, PlannedStep, nothing_to_eject, plan};
use crate::platform::Platform;
use crate::refusals::refuse_system;
use crate::report::{Done, Event, Outcome, Report, Status, Step, StepReport};
use crate::stages::{Dismounted, Ejected, Halted, Opened, refuse_offline};
use crate::target::Target;
use std::cell::RefCell;
use std::time::Duration;

/// Who is told what happens while a procedure runs.
pub type Listener<'l> = &'l mut dyn FnMut(&Event<'_>);

/// Releases the drive that `target` means. Never fails without a report.
pub fn release(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: Listener<'_>,
) -> Report {
    carry_out(platform, target, options, listener, |run| run.release())
}

/// Makes the plan of a release and carries nothing out.
pub fn dry_run(platform: &dyn Platform, target: &Target, options: &Options) -> Report {
    carry_out(platform, target, options, &mut |_| {}, |run| {
        let drive = run.resolve()?;
        let plan = run.plan(&drive)?;
        run.report.steps.extend(plan.steps.iter().map(planned));
        Ok(Outcome::Planned)
    })
}

/// Takes the medium in, and looks whether there is one then.
pub fn load(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: Listener<'_>,
) -> Report {
    carry_out(platform, target, options, listener, |run| run.load())
}

/// Writes everything that is in the cache for this drive, and leaves it as it is.
pub fn flush(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: Listener<'_>,
) -> Report {
    carry_out(platform, target, options, listener, |run| {
        let drive = run.resolve()?;
        let mut opened = run.open(drive)?;
        run.step(Step::Flush, || opened.flush().map(|done| ((), done)))?;
        Ok(Outcome::Released)
    })
}

/// Has the system mount again what was dismounted and is still in the drive. Unlocks nothing: whoever
/// holds a lock keeps it.
pub fn remount(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: Listener<'_>,
) -> Report {
    carry_out(platform, target, options, listener, |run| {
        let drive = run.resolve()?;
        run.step(Step::Mount, || platform.remount(&drive).map(|done| ((), done)))
            .map_err(|e| e.at(Step::Mount))?;
        Ok(Outcome::Released)
    })
}

fn carry_out<'r>(
    platform: &'r dyn Platform,
    target: &'r Target,
    options: &'r Options,
    listener: Listener<'r>,
    procedure: impl FnOnce(&mut Run<'_, '_>) -> Result<Outcome>,
) -> Report {
    let ear = RefCell::new(listener);
    let mut run = Run {
        platform,
        target,
        options,
        ear: &ear,
        start: platform.now(),
        report: Report {
            target: target.to_string(),
            drive: None,
            action: None,
            steps: Vec::new(),
            medium_after: None,
            warnings: Vec::new(),
            outcome: Outcome::Planned,
        },
    };
    let outcome = procedure(&mut run);
    run.report.outcome = outcome.unwrap_or_else(Outcome::Stopped);
    run.report
}

/// One procedure under way: what it works on, and the report it writes.
struct Run<'r, 'e> {
    platform: &'r dyn Platform,
    target: &'r Target,
    options: &'r Options,
    ear: &'e RefCell<Listener<'r>>,
    start: Duration,
    report: Report,
}

impl<'r: 'e, 'e> Run<'r, 'e> {
    fn release(&mut self) -> Result<Outcome> {
        let drive = self.resolve()?;
        let action = match self.plan(&drive) {
            Ok(plan) => plan.action,
            Err(error) if self.wants_the_tray(&drive, &error) => {
                return self.open_empty_tray(drive, error);
            }
            Err(error) => return Err(error),
        };
        if action == Action::PowerOff {
            self.refuse_siblings_in_use(&drive)?;
        }
        self.tell(&Event::Resolved { drive: &drive, action });
        let mut opened = self.open(drive)?;
        self.flush_first(&mut opened)?;
        let dismounted = self.dismount(opened)?;
        let mut ejected = self.let_go(dismounted, action)?;
        let verified = self.verify(&mut ejected, action);
        let unlocked = self.unlock(ejected.into_opened());
        verified.and(unlocked)?;
        Ok(Outcome::Released)
    }

    fn load(&mut self) -> Result<Outcome> {
        let drive = self.resolve()?;
        let mut opened = self.open(drive)?;
        self.step(Step::Load, || opened.load().map(|done| ((), done)))?;
        let seen = self.step(Step::Verify, || {
            let seen = opened.presence()?;
            Ok((seen, Done::default().with_note(seen.sentence())))
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
                "said yes to loading, and the tray is still open",
            )),
            Presence::Gone => Err(Error::new(ErrorKind::Gone, name, "the drive is gone")),
            _ => return Ok(Outcome::Released),
        }
        .map_err(|e| e.at(Step::Verify))
    }

    fn resolve(&mut self) -> Result<Drive> {
        let (platform, target) = (self.platform, self.target);
        let drive = self.step(Step::Resolve, || {
            let drive = platform.resolve(target)?;
            let note = drive.path.display().to_string();
            Ok((drive, Done::default().with_note(note)))
        });
        let drive = drive.map_err(|e| e.at(Step::Resolve))?;
        self.report.drive = Some(drive.clone());
        Ok(drive)
    }

    fn plan(&mut self, drive: &Drive) -> Result<Plan> {
        let made = plan(drive, self.options, |action| self.platform.methods(drive, action))
            .and_then(|made| refuse_offline(self.platform, drive, self.options).map(|()| made))
            .map_err(|e| e.at(Step::Resolve))?;
        self.report.action = Some(made.action);
        Ok(made)
    }

    /// A power-off takes the other drives of the same device along: a card reader's other slots, the
    /// disk beside a "virtual CD". None of them may be in use.
    fn refuse_siblings_in_use(&mut self, drive: &Drive) -> Result<()> {
        let mut idle = Vec::new();
        for name in &drive.siblings {
            let sibling = match self.platform.resolve(&Target::parse(name)?) {
                Ok(sibling) => sibling,
                Err(error) if error.kind() == ErrorKind::NoSuchTarget => continue,
                Err(error) => return Err(error.at(Step::Resolve)),
            };
            refuse_system(&sibling, false).map_err(|e| e.at(Step::Resolve))?;
            if let Some(mount) = sibling.mounts().first() {
                return Err(Error::new(
                    ErrorKind::Busy,
                    &drive.name,
                    format!(
                        "powering it off would take {name} along, which is mounted on {}",
                        mount.path.display()
                    ),
                )
                .with_help(format!("release {name} first, or leave --power-off out"))
                .at(Step::Resolve));
            }
            idle.push(name.as_str());
        }
        if !idle.is_empty() {
            self.warn(format!("{} goes along: it is the same device", idle.join(", ")));
        }
        Ok(())
    }

    fn open(&mut self, drive: Drive) -> Result<Opened<'e>> {
        let ear = self.ear;
        let mut opened = Opened::with(self.platform, drive, self.options)?
            .since(self.start)
            .observed(Box::new(move |event| (ear.borrow_mut())(event)));
        // Whoever may not work on it is told before anything is begun.
        opened.check()?;
        Ok(opened)
    }

    /// What could not be written is not ejected, unless the user said to discard it. A user who may
    /// not flush (Windows, restricted) is warned: locking and dismounting flush too.
    fn flush_first(&mut self, opened: &mut Opened<'_>) -> Result<()> {
        let Err(error) = self.step(Step::Flush, || opened.flush().map(|done| ((), done))) else {
            return Ok(());
        };
        match error.kind() {
            ErrorKind::Unwritten if self.options.discard_unwritten => {
                self.warn(format!("{error}; discarded at your wish"));
                Ok(())
            }
            ErrorKind::NotPermitted => {
                self.warn(format!("{error}; dismounting flushes too"));
                Ok(())
            }
            ErrorKind::Unwritten => Err(error.with_help(
                "the medium stays in, because data would be lost; --discard-unwritten gives it up",
            )),
            _ => Err(error),
        }
    }

    fn dismount<'p>(&mut self, opened: Opened<'p>) -> Result<Dismounted<'p>> {
        let locked = self.stage(Step::Lock, || {
            opened.lock().map(|locked| {
                let done = locked.done().clone();
                (locked, done)
            })
        });
        let dismounted = match locked {
            Ok(locked) => self.stage(Step::Dismount, || with_done(locked.dismount())),
            Err(halted) => Err(halted),
        };
        // Something may also come in between the lock and the dismount.
        let dismounted = match dismounted {
            Err(halted) if self.options.force && halted.error.kind() == ErrorKind::Busy => {
                let Halted { error, opened } = halted;
                self.warn(format!("{error}; forced: what is still open there fails from now on"));
                self.stage(Step::Dismount, || with_done(opened.dismount_forced()))
            }
            other => other,
        };
        dismounted.map_err(|halted| self.unlock_halted(halted))
    }

    fn let_go<'p>(&mut self, dismounted: Dismounted<'p>, action: Action) -> Result<Ejected<'p>> {
        let step = if action == Action::PowerOff { Step::PowerOff } else { Step::Eject };
        let nothing = (action == Action::Nothing)
            .then(|| self.report.drive.as_ref().map(|d| nothing_to_eject(d, self.options)))
            .flatten();
        self.stage(step, || {
            let ejected = dismounted.let_go(action)?;
            let done = nothing.map_or_else(|| ejected.done().clone(), Done::skipped);
            Ok((ejected, done))
        })
        .map_err(|halted| self.unlock_halted(halted))
    }

    fn verify(&mut self, ejected: &mut Ejected<'_>, action: Action) -> Result<()> {
        if !self.options.verify {
            return self.step(Step::Verify, || Ok(((), Done::skipped("left out at your wish"))));
        }
        let nothing_done = action == Action::Nothing || ejected.done().skipped.is_some();
        let seen = self.step(Step::Verify, || match nothing_done {
            true => ejected.verify_dismounted(),
            false => ejected.verify(),
        });
        self.report.medium_after = match &seen {
            Ok(seen) => Some(*seen),
            Err(error) if error.kind() == ErrorKind::NotEjected => ejected.seen(),
            Err(_) => None,
        };
        seen.map(|_| ())
    }

    fn unlock(&mut self, mut opened: Opened<'_>) -> Result<()> {
        self.step(Step::Unlock, || opened.unlock().map(|done| ((), done)))
    }

    /// After a failure: lets go of what is held, and keeps the failure as the one to report.
    fn unlock_halted(&mut self, halted: Halted<'_>) -> Error {
        let Halted { error, opened } = halted;
        if let Err(unlock) = self.unlock(opened) {
            self.warn(unlock.to_string());
        }
        error
    }

    /// A drive with a closed tray and nothing in it: there is nothing to release, but whoever ejects
    /// it wants the tray.
    fn open_empty_tray(&mut self, drive: Drive, error: Error) -> Result<Outcome> {
        let mut opened = self.open(drive)?;
        let seen = self.step(Step::Eject, || opened.open_empty_tray())?;
        self.report.medium_after = Some(seen);
        match seen {
            Presence::TrayOpen => Err(error.and_detail("the tray is open now")),
            _ => Err(error),
        }
    }

    fn wants_the_tray(&self, drive: &Drive, error: &Error) -> bool {
        self.options.goal == Goal::Eject
            && error.kind() == ErrorKind::NoMedium
            && drive.kind == DriveKind::Optical
            && drive.medium == Medium::Absent
    }

    /// Carries out one step and writes it down.
    fn step<T>(&mut self, step: Step, run: impl FnOnce() -> Result<(T, Done)>) -> Result<T> {
        self.stage(step, run)
    }

    /// As [`Run::step`], for stages that give the drive back when they halt.
    fn stage<T, E: AsError>(
        &mut self,
        step: Step,
        run: impl FnOnce() -> Result<(T, Done), E>,
    ) -> Result<T, E> {
        self.tell(&Event::Started(step));
        let start = self.platform.now();
        let result = run();
        let took = self.platform.now().saturating_sub(start);
        let (result, written) = match result {
            Ok((value, done)) => {
                for warning in &done.warnings {
                    self.warn(warning.clone());
                }
                (Ok(value), finished(step, took, done))
            }
            Err(halted) => {
                let failed = failed(step, took, halted.as_error());
                (Err(halted), failed)
            }
        };
        self.tell(&Event::Finished(&written));
        self.report.steps.push(written);
        result
    }

    fn warn(&mut self, warning: String) {
        self.tell(&Event::Warning(&warning));
        self.report.warnings.push(warning);
    }

    fn tell(&self, event: &Event<'_>) {
        (self.ear.borrow_mut())(event);
    }
}

/// What a failed step holds its reason in.
trait AsError {
    fn as_error(&self) -> &Error;
}

impl AsError for Error {
    fn as_error(&self) -> &Error {
        self
    }
}

impl AsError for Halted<'_> {
    fn as_error(&self) -> &Error {
        &self.error
    }
}

fn with_done<'p>(
    dismounted: Result<Dismounted<'p>, Halted<'p>>,
) -> Result<(Dismounted<'p>, Done), Halted<'p>> {
    dismounted.map(|d| {
        let done = d.done().clone();
        (d, done)
    })
}

fn finished(step: Step, took: Duration, done: Done) -> StepReport {
    StepReport {
        step,
        status: if done.skipped.is_some() { Status::Skipped } else { Status::Done },
        took,
        reason: done.skipped.or(done.note),
        attempts: done.attempts,
    }
}

fn failed(step: Step, took: Duration, error: &Error) -> StepReport {
    StepReport {
        step,
        status: Status::Failed,
        took,
        reason: Some(error.to_string()),
        attempts: error.attempts().to_vec(),
    }
}

/// A planned step, as a report shows it.
fn planned(step: &PlannedStep) -> StepReport {
    let what = (!step.what.is_empty()).then(|| step.what.join(", "));
    let reason = match (what, &step.note) {
        (Some(what), Some(note)) => Some(format!("{what} ({note})")),
        (what, note) => what.or_else(|| note.clone()),
    };
    StepReport {
        step: step.step,
        status: if step.what.is_empty() { Status::Skipped } else { Status::Planned },
        took: Duration::ZERO,
        reason,
        attempts: Vec::new(),
    }
}
