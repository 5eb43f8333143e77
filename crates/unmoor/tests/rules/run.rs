//! Runs a scenario: sets it up on a simulated machine, carries a release out, and records the state of the
//! machine at every step.

use crate::scenario::{Accident, KillSpec, Scenario, Sort, anything};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unmoor::{
    Cancel, Confirm, Drive, DriveId, Event, Kill, Options, Outcome, Presence, PromptFn, Report,
    Step, StepReport, Target, VolumeKind, release,
};
use unmoor_simulated::{
    DriveSetup, Fault, HandleId, JournalEntry, Op, ScheduledEvent, Semantics, Simulated,
    VolumeSetup,
};

/// The processes that each prompt listed (process ID and start time), and the answer.
pub type Asked = Arc<Mutex<Vec<(Vec<(u32, u64)>, bool)>>>;

/// A machine with the drive to release, and a bystander.
pub struct Fixture {
    pub machine: Simulated,
    pub asked: Asked,
    pub drive: DriveId,
    pub bystander: DriveId,
    pub options: Options,
    pub handles: Vec<HandleId>,
    pub before: Drive,
    pub bystander_before: Drive,
}

/// The state of the machine at the end of a step.
#[derive(Debug, Clone)]
pub struct Moment {
    pub report: StepReport,
    /// The operations of the session during the step.
    pub journal: Vec<JournalEntry>,
    pub from: Duration,
    pub to: Duration,
    pub mounted: bool,
    pub presence: Presence,
    pub locks_held: usize,
}

/// A finished release.
pub struct Ran {
    pub fixture: Fixture,
    /// `None` if the event handler panicked.
    pub report: Option<Report>,
    pub moments: Vec<Moment>,
    pub warnings: Vec<String>,
}

pub fn target() -> Target {
    "sim:it".parse().expect("a good name")
}

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl Fixture {
    pub fn set(scenario: &Scenario) -> Fixture {
        let machine = Simulated::new(scenario.semantics);
        let asked = Arc::default();
        let other = VolumeSetup::partition("ext4").mounted("/other").dirty("/kept", 4 << 10);
        let bystander = machine.plug(&DriveSetup::stick("other").volume(other));
        let drive = machine.plug(&setup(scenario));
        let handles = open_files(&machine, drive, scenario);
        if let Some(until) = scenario.busy_until {
            machine.busy_until(drive, &first_volume(&machine, drive), ms(until), "a probe");
        }
        if scenario.elsewhere {
            machine.mount_elsewhere(drive, &first_volume(&machine, drive), "a container");
        }
        if let Some(writing) = scenario.raw {
            machine.open_device(drive, 3000, writing);
        }
        let cancel = Cancel::new();
        if let Some(at) = scenario.cancel_at {
            machine.at(ms(at), ScheduledEvent::Cancel(cancel.clone()));
        }
        for (at, accident) in &scenario.accidents {
            machine.at(ms(*at), happening(&machine, drive, *accident));
        }
        let requested = &scenario.requested;
        let options = options!(
            kill: requested.kill.as_ref().map(|spec| kill(spec, &asked)),
            goal: requested.goal,
            force: requested.force,
            discard_unwritten: requested.discard,
            wait: ms(requested.wait),
            timeout: requested.timeout.map(ms),
            verify: requested.verify,
            cancel,
            offline: requested.offline && scenario.semantics == Semantics::Windows,
        );
        let before = machine.describe(drive).expect("plugged in");
        let bystander_before = machine.describe(bystander).expect("plugged in");
        Fixture { machine, asked, drive, bystander, options, handles, before, bystander_before }
    }
}

/// Returns the confirmation with its answer. The machine continues while the user thinks.
fn kill(spec: &KillSpec, asked: &Asked) -> Kill {
    let consent = match spec.answer {
        None => Confirm::Always,
        Some((says, after)) => {
            let asked = asked.clone();
            let ask: PromptFn = Arc::new(move |_, blockers, wait| {
                let until = wait.now() + ms(after);
                while wait.now() < until {
                    if wait.sleep(ms(20)).is_err() {
                        return false;
                    }
                }
                let shown = blockers.iter().filter_map(|b| b.process.as_ref());
                let shown = shown.map(|p| (p.pid, p.started)).collect();
                asked.lock().expect("no prompt panics").push((shown, says));
                says
            });
            Confirm::Prompt(ask)
        }
    };
    let mut kill = Kill::new(ms(spec.grace), consent);
    kill.services = spec.services;
    kill
}

fn setup(scenario: &Scenario) -> DriveSetup {
    let spec = &scenario.drive;
    let mut drive = match spec.sort {
        Sort::Stick => DriveSetup::stick("it"),
        Sort::Cd => DriveSetup::cd("it"),
        Sort::Card => DriveSetup::card("it"),
        Sort::Disk => DriveSetup::disk("it"),
        Sort::Image => DriveSetup::image("it"),
    };
    drive = drive
        .motor(ms(spec.motor))
        .prevention(spec.prevention)
        .bytes_per_second(spec.mib_per_second << 20);
    if spec.silent {
        drive = drive.silent();
    }
    for fault in &scenario.faults {
        drive = drive.fault(Fault::new(fault.at, fault.kind).after(fault.after).times(fault.times));
    }
    let writable = spec.sort != Sort::Cd;
    for index in 0..scenario.volumes.len() {
        drive = drive.volume(volume(scenario, index, writable));
    }
    drive
}

fn volume(scenario: &Scenario, index: usize, writable: bool) -> VolumeSetup {
    let spec = &scenario.volumes[index];
    let below = index.checked_sub(1).map(|i| &scenario.volumes[i]);
    let stacked = spec.stacked && below.is_some() && scenario.semantics == Semantics::Linux;
    let mut volume = if stacked {
        let kind =
            if below.is_some_and(|b| b.mounts > 0) { VolumeKind::Loop } else { VolumeKind::Crypt };
        VolumeSetup::stacked(&name(scenario, index), kind, &[&name(scenario, index - 1)])
    } else {
        VolumeSetup::partition("ext4")
    };
    for mount in 0..spec.mounts {
        let nested = spec.nested && mount == 0 && below.is_some_and(|b| b.mounts > 0);
        let parent = if nested { format!("/m{}-0", index - 1) } else { String::new() };
        volume = volume.mounted(format!("{parent}/m{index}-{mount}"));
    }
    match writable && spec.mounts > 0 && spec.dirty_kib > 0 {
        true => volume.dirty("/dirty", spec.dirty_kib << 10),
        false => volume,
    }
}

fn name(scenario: &Scenario, index: usize) -> String {
    match scenario.volumes[index].stacked && index > 0 && scenario.semantics == Semantics::Linux {
        true => format!("sim:stacked{}", index + 1),
        false => format!("sim:it{}", index + 1),
    }
}

fn first_volume(machine: &Simulated, drive: DriveId) -> String {
    let picture = machine.describe(drive).expect("plugged in");
    picture.volumes.first().map_or_else(|| "none".into(), |v| v.name.clone())
}

fn open_files(machine: &Simulated, drive: DriveId, scenario: &Scenario) -> Vec<HandleId> {
    let volumes = machine.describe(drive).expect("plugged in").volumes;
    let mut handles = Vec::new();
    for (holder, pid) in scenario.holders.iter().zip(1000..) {
        if volumes.is_empty() {
            continue;
        }
        machine.set_signal_behavior(pid, holder.role, holder.behavior);
        let volume = volumes[holder.volume.index(volumes.len())].name.clone();
        let path = format!("/held-by-{pid}");
        if holder.from > 0 {
            let open = ScheduledEvent::Open { drive, volume, pid, path: path.into() };
            machine.at(ms(holder.from), open);
        } else if let Ok(handle) = machine.open_file(drive, &volume, pid, path) {
            // A read-only medium refuses, as it should.
            let _ = machine.write(handle, b"written before the release");
            if let Some(at) = holder.writes_at {
                machine.at(ms(at), ScheduledEvent::Write(handle, b", and meanwhile".to_vec()));
            }
            if let Some(until) = holder.until {
                machine.at(ms(until), ScheduledEvent::Close(handle));
            }
            handles.push(handle);
        }
    }
    handles
}

/// Opens a file on every volume that allows it.
fn come_late(fixture: &Fixture) {
    for volume in &fixture.before.volumes {
        // A locked (Windows) or unmounted volume refuses.
        let _ = fixture.machine.open_file(fixture.drive, &volume.name, 2000, "/late");
    }
}

fn happening(machine: &Simulated, drive: DriveId, accident: Accident) -> ScheduledEvent {
    match accident {
        Accident::Yank => ScheduledEvent::Yank(drive),
        Accident::TakeMedium => ScheduledEvent::TakeMedium(drive),
        Accident::Replace => ScheduledEvent::Replace(drive),
        Accident::MountAgain => ScheduledEvent::Mount {
            drive,
            volume: first_volume(machine, drive),
            path: "/again".into(),
        },
    }
}

impl Ran {
    /// Carries out the release of the scenario.
    pub fn of(scenario: &Scenario) -> Ran {
        let fixture = Fixture::set(scenario);
        let mut moments = Vec::new();
        let mut warnings = Vec::new();
        let mut started: BTreeMap<Step, (usize, Duration)> = BTreeMap::new();
        let mut events = 0;
        let machine = &fixture.machine;
        let report = catch_quietly(|| {
            release(machine, &target(), &fixture.options, &mut |event| {
                if scenario.panic_at == Some(events) {
                    std::panic::panic_any(Startled);
                }
                events += 1;
                match event {
                    Event::Started(step) => {
                        if scenario.replaced_at == Some(step) {
                            machine.trigger(ScheduledEvent::Replace(fixture.drive));
                        }
                        if step == Step::Dismount && scenario.comes_late {
                            come_late(&fixture);
                        }
                        started
                            .insert(step, (machine.journal().len(), unmoor::Clock::now(machine)));
                    }
                    Event::Finished(report) => {
                        let (first, from) = started[&report.step];
                        moments.push(moment(machine, fixture.drive, &report, first, from));
                    }
                    Event::Warning(warning) => warnings.push(warning.to_string()),
                    _ => {}
                }
            })
        });
        Ran { fixture, report, moments, warnings }
    }

    pub fn journal(&self) -> Vec<JournalEntry> {
        self.fixture.machine.journal()
    }

    pub fn is_released(&self) -> bool {
        self.report.as_ref().is_some_and(|r| r.outcome == Outcome::Completed)
    }

    pub fn moment(&self, step: Step) -> Option<&Moment> {
        self.moments.iter().rfind(|m| m.report.step == step)
    }

    /// Returns the entries of operations that failed.
    pub fn failed(&self, op: Op) -> impl Iterator<Item = JournalEntry> {
        self.journal().into_iter().filter(move |e| e.op == op && e.answer.is_err())
    }
}

/// Payload of the panic of the event handler.
pub struct Startled;

/// Returns `None` after the planned panic. Any other panic continues.
pub fn catch_quietly<T>(run: impl FnOnce() -> T) -> Option<T> {
    // `panic_any` with a value of our own prints nothing useful: keep the test's output readable.
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Startled>() {
                usual(info);
            }
        }));
    });
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Startled>() => None,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

fn moment(
    machine: &Simulated,
    drive: DriveId,
    report: &StepReport,
    first: usize,
    from: Duration,
) -> Moment {
    Moment {
        report: report.clone(),
        journal: machine.journal().split_off(first),
        from,
        to: unmoor::Clock::now(machine),
        mounted: machine.is_mounted(drive),
        presence: machine.presence(drive),
        locks_held: machine.locks_held(),
    }
}

/// A property that no scenario reaches proves nothing, so the scenarios must reach every outcome.
#[test]
fn scenarios_reach_every_outcome() {
    let mut runner = TestRunner::deterministic();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..1500 {
        let scenario = anything().new_tree(&mut runner).expect("generates").current();
        let ran = Ran::of(&scenario);
        let end = match ran.report.as_ref().map(|r| (&r.outcome, r.error())) {
            None => "panicked".into(),
            Some((_, Some(error))) => format!("{:?}", error.kind()),
            Some((outcome, None)) => format!("{outcome:?}"),
        };
        *ends.entry(end).or_default() += 1;
    }
    for (end, least) in [
        ("Completed", 300),
        ("Busy", 80),
        ("Unwritten", 10),
        ("TimedOut", 10),
        ("Interrupted", 20),
        ("Gone", 20),
        ("Replaced", 20),
        ("NotPermitted", 5),
        ("NotSupported", 20),
        ("NotVerified", 10),
        ("NoMedium", 5),
        ("Failed", 20),
        ("panicked", 50),
    ] {
        assert!(
            ends.get(end).is_some_and(|n| *n >= least),
            "{end}: fewer than {least} in {ends:?}"
        );
    }
}
