//! The procedure: resolve, plan, flush, lock, dismount, let go, verify, unlock; and what is reported
//! of it. Which system it runs on is no business of this file.

use crate::drive::{Drive, DriveKind, Medium, Presence};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Goal, Options};
use crate::plan::{Action, Plan, PlannedStep, nothing_to_eject, plan, plan_once_idle};
use crate::platform::Platform;
use crate::refusals::refuse_system;
use crate::report::{Done, Event, Outcome, Report, Status, Step, StepReport};
use crate::stages::{Dismounted, Ejected, Halted, Locked, Opened, refuse_kill, refuse_offline};
use crate::target::Target;
use crate::together;
use crate::wait::Wait;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
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
    alone(Procedure::Release, platform, target, options, listener)
}

/// Makes the plan of a release and carries nothing out.
pub fn dry_run(platform: &dyn Platform, target: &Target, options: &Options) -> Report {
    alone(Procedure::DryRun, platform, target, options, &mut |_| {})
}

/// Takes the medium in, and looks whether there is one then.
pub fn load(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: Listener<'_>,
) -> Report {
    alone(Procedure::Load, platform, target, options, listener)
}

/// Writes everything that is in the cache for this drive, and leaves it as it is.
pub fn flush(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: Listener<'_>,
) -> Report {
    alone(Procedure::Flush, platform, target, options, listener)
}

/// Has the system mount again what was dismounted and is still in the drive. Unlocks nothing: whoever
/// holds a lock keeps it.
pub fn remount(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: Listener<'_>,
) -> Report {
    alone(Procedure::Remount, platform, target, options, listener)
}

/// Brings back what a power-off took off its bus and nobody has unplugged since. `target` is a
/// [`Target::Port`]; the report's drive is the one that came back.
pub fn attach(
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: Listener<'_>,
) -> Report {
    let ear = Rc::new(RefCell::new(|event: &Event<'_>| listener(event)));
    let mut run = Run::new(platform, target, options, ear, platform.now());
    let outcome = run.attach();
    run.over(outcome)
}

/// Names what [`attach`] would try, and carries nothing out.
pub fn attach_dry_run(platform: &dyn Platform, target: &Target, options: &Options) -> Report {
    let ear = Rc::new(RefCell::new(|_: &Event<'_>| {}));
    let mut run = Run::new(platform, target, options, ear, platform.now());
    let methods = match platform.attach_methods(target) {
        Ok(methods) => methods,
        Err(error) => return run.stopped(error.at(Step::Attach)),
    };
    for (step, what) in [(Step::Attach, methods), (Step::Verify, vec![target.to_string()])] {
        run.report.steps.push(planned(&PlannedStep { step, what, note: None }));
    }
    run.over(Ok(Outcome::Planned))
}

/// What is done with a drive; [`many()`](crate::many()) does it with several at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Procedure {
    /// [`release()`]
    Release,
    /// [`dry_run()`]
    DryRun,
    /// [`load()`]
    Load,
    /// [`flush()`]
    Flush,
    /// [`remount()`]
    Remount,
}

/// One target on the caller's own thread.
pub(crate) fn alone(
    procedure: Procedure,
    platform: &dyn Platform,
    target: &Target,
    options: &Options,
    listener: Listener<'_>,
) -> Report {
    let ear = Rc::new(RefCell::new(|event: &Event<'_>| listener(event)));
    let mut run = Run::new(platform, target, options, ear, platform.now());
    match run.resolve() {
        Ok(drive) => together::carry_out(procedure, vec![(run, drive)]).remove(0),
        Err(error) => run.stopped(error),
    }
}

/// One procedure under way: what it works on, and the report it writes.
pub(crate) struct Run<'r> {
    pub(crate) platform: &'r dyn Platform,
    pub(crate) target: &'r Target,
    pub(crate) options: Options,
    ear: Ear<'r>,
    /// When the whole call began: its timeout counts from there.
    start: Duration,
    /// It had to wait for something that was in the way.
    pub(crate) waited: Rc<Cell<bool>>,
    /// Drives of the same device, which a power-off takes along: held as long as this run.
    siblings: Vec<Opened<'r>>,
    pub(crate) report: Report,
}

/// Who is told, shared by a run and the drive that it has open.
pub(crate) type Ear<'r> = Rc<RefCell<dyn FnMut(&Event<'_>) + 'r>>;

impl<'r> Run<'r> {
    pub(crate) fn new(
        platform: &'r dyn Platform,
        target: &'r Target,
        options: &Options,
        ear: Ear<'r>,
        start: Duration,
    ) -> Self {
        Run {
            platform,
            target,
            options: options.clone(),
            ear,
            start,
            waited: Rc::default(),
            siblings: Vec::new(),
            report: Report {
                target: target.to_string(),
                drive: None,
                action: None,
                steps: Vec::new(),
                medium_after: None,
                ended: Vec::new(),
                warnings: Vec::new(),
                lost: Vec::new(),
                outcome: Outcome::Planned,
            },
        }
    }

    /// The report of a run that is over.
    pub(crate) fn over(mut self, outcome: Result<Outcome>) -> Report {
        self.report.outcome = outcome.unwrap_or_else(Outcome::Stopped);
        self.report
    }

    /// The report of a run that came to this.
    pub(crate) fn stopped(self, error: Error) -> Report {
        self.over(Err(error))
    }

    pub(crate) fn flush(&mut self, drive: Drive) -> Result<Outcome> {
        let mut opened = self.open(drive)?;
        self.step(Step::Flush, || opened.flush().map(|done| ((), done)))?;
        Ok(Outcome::Released)
    }

    pub(crate) fn remount(&mut self, drive: &Drive) -> Result<Outcome> {
        let platform = self.platform;
        self.step(Step::Mount, || platform.remount(drive).map(|done| ((), done)))
            .map_err(|e| e.at(Step::Mount))?;
        Ok(Outcome::Released)
    }

    pub(crate) fn load(&mut self, drive: Drive) -> Result<Outcome> {
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

    fn attach(&mut self) -> Result<Outcome> {
        let (platform, target, options) = (self.platform, self.target, self.options.clone());
        let deadline = self.start + options.timeout.unwrap_or(Options::STEP_TIME);
        let ear = self.ear.clone();
        let attached = self.step(Step::Attach, || {
            let mut watch = |left| (ear.borrow_mut())(&Event::Flushing { left });
            let mut wait = Wait::until(platform, deadline, &options.cancel, &mut watch);
            platform.attach(target, &mut wait).map(|done| ((), done))
        });
        attached.map_err(|e| e.about(&target.to_string()).at(Step::Attach))?;
        let drive = self.step(Step::Verify, || {
            let drive = platform.resolve(target).map_err(|error| match error.kind() {
                ErrorKind::NoSuchTarget => {
                    let why = "said yes to attaching, and no drive came of it";
                    Error::new(ErrorKind::Failed, target.to_string(), why)
                        .with_help("unplug it and plug it in again")
                }
                _ => error,
            })?;
            let note = drive.path.display().to_string();
            Ok((drive, Done::default().with_note(note)))
        });
        self.report.drive = Some(drive.map_err(|e| e.at(Step::Verify))?);
        Ok(Outcome::Released)
    }

    pub(crate) fn resolve(&mut self) -> Result<Drive> {
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

    /// The plan. What is in the way counts against one that is not carried out; a release waits for it.
    pub(crate) fn plan(&mut self, drive: &Drive, carried_out: bool) -> Result<Plan> {
        let methods = |action| self.platform.methods(drive, action);
        let made = match carried_out {
            true => plan_once_idle(drive, &self.options, methods),
            false => plan(drive, &self.options, methods),
        };
        let mut made = made
            .and_then(|made| refuse_offline(self.platform, drive, &self.options).map(|()| made))
            .and_then(|made| refuse_kill(self.platform, drive, &self.options).map(|()| made))
            .map_err(|e| e.at(Step::Resolve))?;
        if !carried_out && made.action == Action::PowerOff {
            let along = self.siblings_along(drive)?;
            let off = made.steps.iter_mut().find(|step| step.step == Step::PowerOff);
            off.into_iter().for_each(|step| step.note = go_along(&along));
        }
        self.report.action = Some(made.action);
        Ok(made)
    }

    /// A power-off takes the other drives of the same device along: a card reader's other slots, the
    /// disk beside a "virtual CD". None of them may be in use, nor come into use meanwhile: each that was
    /// not given too is taken for ourselves, which flushes it, until this run is over.
    pub(crate) fn take_siblings(&mut self, drive: &Drive) -> Result<()> {
        let mut taken = Vec::new();
        for sibling in self.siblings_along(drive)? {
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
        if let Some(words) = go_along(taken.iter().map(Opened::drive)) {
            self.warn(words);
        }
        self.siblings = taken;
        Ok(())
    }

    /// The drives that a power-off takes along without being asked to.
    ///
    /// # Errors
    /// `Busy` when one of them is mounted; `Refused` when it carries the running system.
    fn siblings_along(&self, drive: &Drive) -> Result<Vec<Drive>> {
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
                return Err(self.sibling_in_use(drive, name, &how));
            }
            along.push(sibling);
        }
        Ok(along)
    }

    fn sibling_in_use(&self, drive: &Drive, name: &str, how: &str) -> Error {
        let what = format!("powering it off would take {name} along, which {how}");
        Error::new(ErrorKind::Busy, &drive.name, what)
            .with_help(format!("release {name} first, or leave --power-off out"))
            .at(Step::Resolve)
    }

    pub(crate) fn open(&mut self, drive: Drive) -> Result<Opened<'r>> {
        let (ear, waited) = (self.ear.clone(), self.waited.clone());
        let mut opened = Opened::with(self.platform, drive, &self.options)?
            .since(self.start)
            .observed(Box::new(move |event| {
                waited.set(waited.get() || matches!(event, Event::Waiting { .. }));
                (ear.borrow_mut())(event);
            }));
        // Whoever may not work on it is told before anything is begun.
        opened.check()?;
        Ok(opened)
    }

    /// What could not be written is not ejected, unless the user said to discard it. A user who may
    /// not flush (Windows, restricted) is warned: locking and dismounting flush too.
    pub(crate) fn flush_first(&mut self, opened: &mut Opened<'_>) -> Result<()> {
        let Err(error) = self.step(Step::Flush, || opened.flush().map(|done| ((), done))) else {
            return Ok(());
        };
        match error.kind() {
            ErrorKind::Unwritten if self.options.discard_unwritten => {
                self.give_up(error);
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

    /// Finds everything idle. What is in use is no obstacle to force.
    pub(crate) fn lock<'p>(&mut self, opened: Opened<'p>) -> Result<Ready<'p>, Halted<'p>> {
        match self.lock_or_make_room(opened) {
            Ok(locked) => Ok(Ready::Locked(locked)),
            Err(halted) => self.force_it(halted).map(Ready::ByForce),
        }
    }

    /// One try to find everything idle.
    pub(crate) fn lock_once<'p>(&mut self, opened: Opened<'p>) -> Result<Locked<'p>, Halted<'p>> {
        self.stage(Step::Lock, || {
            opened.lock().map(|locked| {
                let done = locked.done().clone();
                (locked, done)
            })
        })
    }

    pub(crate) fn dismount<'p>(&mut self, ready: Ready<'p>) -> Result<Dismounted<'p>, Halted<'p>> {
        let opened = match ready {
            Ready::ByForce(opened) => opened,
            Ready::Locked(locked) => {
                match self.stage(Step::Dismount, || with_done(locked.dismount())) {
                    Ok(dismounted) => return Ok(dismounted),
                    // Something may also come in between the lock and the dismount.
                    Err(halted) => self.force_it(halted)?,
                }
            }
        };
        self.stage(Step::Dismount, || with_done(opened.dismount_forced()))
    }

    /// Where force was wished and something is in the way, that is told; else it is halted.
    fn force_it<'p>(&mut self, halted: Halted<'p>) -> Result<Opened<'p>, Halted<'p>> {
        if !self.options.force || halted.error.kind() != ErrorKind::Busy {
            return Err(halted);
        }
        let Halted { error, opened } = halted;
        self.warn(format!("{error}; forced: what is still open there fails from now on"));
        Ok(opened)
    }

    pub(crate) fn let_go<'p>(
        &mut self,
        dismounted: Dismounted<'p>,
        action: Action,
    ) -> Result<Ejected<'p>, Halted<'p>> {
        let step = if action == Action::PowerOff { Step::PowerOff } else { Step::Eject };
        let nothing = (action == Action::Nothing)
            .then(|| self.report.drive.as_ref().map(|d| nothing_to_eject(d, &self.options)))
            .flatten();
        self.stage(step, || {
            let ejected = dismounted.let_go(action)?;
            let done = nothing.map_or_else(|| ejected.done().clone(), Done::skipped);
            Ok((ejected, done))
        })
    }

    /// The device left its bus with another drive of it.
    pub(crate) fn left_with<'p>(
        &mut self,
        dismounted: Dismounted<'p>,
        other: &str,
    ) -> Result<Ejected<'p>, Halted<'p>> {
        self.stage(Step::PowerOff, || {
            let ejected = dismounted.left();
            Ok((
                ejected,
                Done::skipped(format!("it is the same device as {other}, and left with it")),
            ))
        })
    }

    pub(crate) fn verify(&mut self, ejected: &mut Ejected<'_>, action: Action) -> Result<()> {
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

    pub(crate) fn unlock(&mut self, mut opened: Opened<'_>) -> Result<()> {
        self.step(Step::Unlock, || opened.unlock().map(|done| ((), done)))
    }

    /// After a failure: lets go of what is held, and keeps the failure as the one to report.
    pub(crate) fn unlock_halted(&mut self, halted: Halted<'_>) -> Error {
        let Halted { error, opened } = halted;
        if let Err(unlock) = self.unlock(opened) {
            self.warn(unlock.to_string());
        }
        error
    }

    /// A drive with a closed tray and nothing in it: there is nothing to release, but whoever ejects
    /// it wants the tray.
    pub(crate) fn open_empty_tray(&mut self, drive: Drive, error: Error) -> Error {
        let seen = self.open(drive).and_then(|mut opened| {
            let seen = self.step(Step::Eject, || opened.open_empty_tray());
            drop(opened);
            seen
        });
        self.report.medium_after = seen.as_ref().ok().copied();
        match seen {
            Ok(Presence::TrayOpen) => error.and_detail("the tray is open now"),
            Ok(_) => error,
            Err(other) => other,
        }
    }

    pub(crate) fn wants_the_tray(&self, drive: &Drive, error: &Error) -> bool {
        self.options.goal == Goal::Eject
            && error.kind() == ErrorKind::NoMedium
            && drive.kind == DriveKind::Optical
            && drive.medium == Medium::Absent
    }

    /// Carries out one step and writes it down.
    pub(crate) fn step<T>(
        &mut self,
        step: Step,
        run: impl FnOnce() -> Result<(T, Done)>,
    ) -> Result<T> {
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
                for lost in &done.lost {
                    self.give_up(lost.clone());
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

    pub(crate) fn warn(&mut self, warning: String) {
        self.tell(&Event::Warning(&warning));
        self.report.warnings.push(warning);
    }

    /// What this error says is lost, at the user's wish.
    fn give_up(&mut self, error: Error) {
        self.warn(format!("{error}; discarded at your wish"));
        self.report.lost.push(error);
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        (self.ear.borrow_mut())(event);
    }
}

/// A drive that may be dismounted.
pub(crate) enum Ready<'p> {
    /// It was found idle.
    Locked(Locked<'p>),
    /// It is in use, and is dismounted all the same.
    ByForce(Opened<'p>),
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

/// That these leave with the drive, in words.
fn go_along<'d>(along: impl IntoIterator<Item = &'d Drive>) -> Option<String> {
    let names: Vec<&str> = along.into_iter().map(|drive| drive.name.as_str()).collect();
    let (verb, what) = match names.len() {
        0 => return None,
        1 => ("goes", "it is"),
        _ => ("go", "they are"),
    };
    Some(format!("{} {verb} along: {what} the same device", names.join(", ")))
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
pub(crate) fn planned(step: &PlannedStep) -> StepReport {
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
