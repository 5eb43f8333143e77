//! Batches: each drive is released as if it were the only one, and the drives of a group are released
//! together or not at all.

use crate::run::{Startled, catch_quietly, ms};
use crate::scenario::cases;
use proptest::option::weighted;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use unmoor::{
    BatchEvent, BatchItem, Cancel, Clock, DriveId, ErrorKind, Event, Goal, MAX_CONCURRENT,
    Operation, Options, Outcome, Report, Step, Target, VolumeKind, release, run_batch,
};
use unmoor_simulated::{
    DriveSetup, Effect, Fault, FaultKind, Op, ScheduledEvent, Semantics, Simulated, VolumeSetup,
};

/// A drive that is independent of others.
#[derive(Debug, Clone)]
struct One {
    sort: u8,
    motor: u64,
    mounts: usize,
    dirty_kib: u64,
    /// A file is open until this moment, or for good.
    held: Option<Option<u64>>,
    fault: Option<(Op, FaultKind)>,
    yanked_at: Option<u64>,
}

#[derive(Debug, Clone)]
struct Requested {
    force: bool,
    power_off: bool,
    wait: u64,
    timeout: Option<u64>,
}

fn one() -> impl Strategy<Value = One> {
    use FaultKind::{Hang, IoError, Lie, NoMedium, NotPermitted, Yank};
    let op = prop::sample::select(vec![
        Op::Open,
        Op::Flush,
        Op::FlushDrive,
        Op::Lock,
        Op::Unmount,
        Op::Claim,
        Op::Perform,
        Op::Presence,
        Op::Unlock,
    ]);
    let kind = prop::sample::select(vec![Hang, IoError, Lie, NoMedium, NotPermitted, Yank]);
    (
        0..4u8,
        0..2500u64,
        0..3usize,
        0..800u64,
        weighted(0.35, weighted(0.6, 1..2500u64)),
        weighted(0.3, (op, kind)),
        // Not at once: a thread that starts lets due events happen before it resolves its drive.
        weighted(0.15, 1..2000u64),
    )
        .prop_map(|(sort, motor, mounts, dirty_kib, held, fault, yanked_at)| One {
            sort,
            motor,
            mounts,
            dirty_kib,
            held,
            fault,
            yanked_at,
        })
}

fn requested() -> impl Strategy<Value = Requested> {
    let wait = prop_oneof![Just(0u64), 100..4000u64];
    (prop::bool::weighted(0.2), prop::bool::weighted(0.2), wait, weighted(0.3, 0..5000u64))
        .prop_map(|(force, power_off, wait, timeout)| Requested { force, power_off, wait, timeout })
}

impl Requested {
    fn options(&self) -> Options {
        options!(
            goal: if self.power_off { Goal::PowerOff } else { Goal::Eject },
            force: self.force,
            wait: ms(self.wait),
            timeout: self.timeout.map(ms),
        )
    }
}

/// Returns a name of a drive. The first partition of `d1` would have the name of the drive `d11`.
fn name(number: usize) -> String {
    format!("d{number}-")
}

/// Returns the same machine for the same arguments.
fn machine(semantics: Semantics, drives: &[One]) -> (Simulated, Vec<DriveId>) {
    let machine = Simulated::new(semantics);
    let ids: Vec<DriveId> = drives
        .iter()
        .enumerate()
        .map(|(number, one)| {
            let name = name(number);
            let mut drive = match one.sort {
                0 => DriveSetup::stick(&name),
                1 => DriveSetup::cd(&name),
                2 => DriveSetup::disk(&name),
                _ => DriveSetup::card(&name),
            };
            drive = drive.motor(ms(one.motor));
            for mount in 0..one.mounts {
                let volume = VolumeSetup::partition("ext4").mounted(format!("/m{number}-{mount}"));
                drive = drive.volume(match one.sort {
                    1 => volume,
                    _ => volume.dirty("/dirty", one.dirty_kib << 10),
                });
            }
            if let Some((at, kind)) = one.fault {
                drive = drive.fault(Fault::new(at, kind));
            }
            machine.plug(&drive)
        })
        .collect();
    for (number, (one, id)) in drives.iter().zip(&ids).enumerate() {
        if let (Some(held), true) = (one.held, one.mounts > 0) {
            let volume = format!("sim:{}1", name(number));
            let handle = machine.open_file(*id, &volume, 1000, "/held").expect("mounted");
            if let Some(until) = held {
                machine.at(ms(until), ScheduledEvent::Close(handle));
            }
        }
        if let Some(at) = one.yanked_at {
            machine.at(ms(at), ScheduledEvent::Yank(*id));
        }
    }
    (machine, ids)
}

fn targets(count: usize) -> Vec<Target> {
    (0..count).map(|number| Target::Simulated(name(number))).collect()
}

fn jobs<'j>(machine: &'j Simulated, targets: &'j [Target]) -> Vec<BatchItem<'j>> {
    targets.iter().map(|target| BatchItem::new(machine, target)).collect()
}

fn all(machine: &Simulated, targets: &[Target], options: &Options) -> Vec<Report> {
    run_batch(Operation::Release, &jobs(machine, targets), options, &mut |_, _| {})
}

fn semantics() -> impl Strategy<Value = Semantics> {
    prop_oneof![Just(Semantics::Linux), Just(Semantics::Windows)]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn each_report_is_that_of_the_drive_alone_and_no_drive_waits_for_another(
        semantics in semantics(),
        drives in prop::collection::vec(one(), 2..8),
        requested in requested(),
    ) {
        let targets = targets(drives.len());
        let (together, _) = machine(semantics, &drives);
        let reports = all(&together, &targets, &requested.options());
        let mut longest = Duration::ZERO;
        for (target, report) in targets.iter().zip(&reports) {
            let (alone, _) = machine(semantics, &drives);
            let wanted = release(&alone, target, &requested.options(), &mut |_| {});
            longest = longest.max(alone.now());
            prop_assert_eq!(report, &wanted);
        }
        // By the machine's clock, all together took the time of the slowest alone.
        prop_assert_eq!(together.now(), longest);
        prop_assert_eq!(together.locks_held(), 0);
    }

    #[test]
    fn the_events_of_each_target_match_its_report(
        drives in prop::collection::vec(one(), 2..8),
        requested in requested(),
    ) {
        let targets = targets(drives.len());
        let (machine, _) = machine(Semantics::Linux, &drives);
        let mut steps: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        let mut over = BTreeMap::new();
        let listener = &mut |number: usize, news: BatchEvent| match news {
            BatchEvent::Event(Event::Finished(step)) => {
                assert!(!over.contains_key(&number), "told of {number} after its end");
                steps.entry(number).or_default().push(step);
            }
            BatchEvent::Event(_) => {}
            BatchEvent::Finished(report) => {
                assert!(over.insert(number, *report).is_none(), "over twice");
            }
            _ => {}
        };
        let reports =
            run_batch(Operation::Release, &jobs(&machine, &targets), &requested.options(), listener);
        for (number, report) in reports.iter().enumerate() {
            prop_assert_eq!(Some(report), over.get(&number));
            prop_assert_eq!(Some(&report.steps), steps.get(&number));
            prop_assert_eq!(&report.target, &targets[number].to_string());
        }
    }

    #[test]
    fn cancelling_ends_all_targets(
        semantics in semantics(),
        drives in prop::collection::vec(one(), 2..8),
        requested in requested(),
        at in 0..3000u64,
    ) {
        let (machine, _) = machine(semantics, &drives);
        let options = requested.options();
        machine.at(ms(at), ScheduledEvent::Cancel(options.cancel.clone()));
        let reports = all(&machine, &targets(drives.len()), &options);
        prop_assert_eq!(reports.len(), drives.len());
        prop_assert_eq!(machine.locks_held(), 0);
        // An operation in progress may finish.
        prop_assert!(machine.now() <= ms(at) + ms(1500), "went on until {:?}", machine.now());
    }

    #[test]
    fn the_timeout_counts_for_all_targets_together(
        drives in prop::collection::vec(one(), 2..8),
        requested in requested(),
        timeout in 0..3000u64,
    ) {
        let requested = Requested { timeout: Some(timeout), ..requested };
        let (machine, _) = machine(Semantics::Linux, &drives);
        all(&machine, &targets(drives.len()), &requested.options());
        // A scan for blockers may run past the deadline.
        let most = ms(timeout) + ms(2500);
        prop_assert!(machine.now() <= most, "went on until {:?}", machine.now());
    }

    #[test]
    fn members_of_an_array_are_released_together_in_any_order(
        others in prop::collection::vec(one(), 0..3),
        order in Just(vec![0usize, 1, 2]).prop_shuffle(),
        held in weighted(0.5, weighted(0.5, 0..2500u64)),
        held_on in 0..4usize,
        fault in weighted(0.3, (0..3usize, prop::sample::select(vec![Op::Flush, Op::Lock, Op::Claim]))),
        requested in requested(),
    ) {
        let (machine, _) = machine(Semantics::Linux, &others);
        let setup = |name: &str| {
            let array = ["sim:a1", "sim:b1", "sim:c1"];
            let own = VolumeSetup::partition("raid").mounted(format!("/own-{name}"));
            let fault = fault.filter(|(at, _)| ["a", "b", "c"][*at] == name);
            let drive = DriveSetup::stick(name)
                .volume(own)
                .volume(VolumeSetup::stacked("sim:md0", VolumeKind::Raid, &array).mounted("/array"));
            match fault {
                Some((_, op)) => drive.fault(Fault::new(op, FaultKind::IoError)),
                None => drive,
            }
        };
        let ids: Vec<DriveId> = ["a", "b", "c"].map(|name| machine.plug(&setup(name))).to_vec();
        if let Some(until) = held {
            let (drive, volume) = match held_on {
                3 => (0, "sim:md0".to_string()),
                at => (at, format!("sim:{}1", ["a", "b", "c"][at])),
            };
            let handle = machine.open_file(ids[drive], &volume, 1000, "/held").expect("mounted");
            if let Some(until) = until {
                machine.at(ms(until), ScheduledEvent::Close(handle));
            }
        }
        let mut targets = targets(others.len());
        targets.extend(order.iter().map(|at| Target::Simulated(["a", "b", "c"][*at].into())));
        let reports = all(&machine, &targets, &requested.options());
        let members = &reports[others.len()..];
        let released = members.iter().filter(|r| r.outcome == Outcome::Completed).count();
        // From the ejection on each drive is on its own, also if the time runs out.
        let late = |report: &Report| {
            let step = report.error().filter(|e| e.kind() == ErrorKind::TimedOut)?.step();
            step.filter(|s| matches!(s, Step::Eject | Step::PowerOff | Step::Verify))
        };
        let too_late = members.iter().filter(|r| late(r).is_some()).count();
        prop_assert!(released == 0 || released + too_late == 3, "{members:#?}");
        prop_assert!(too_late == 0 || ids.iter().all(|id| !machine.is_mounted(*id)));
        for (report, at) in members.iter().zip(&order).filter(|(r, _)| late(r).is_none()) {
            prop_assert_eq!(machine.was_ejected(ids[*at]), report.outcome == Outcome::Completed);
            prop_assert!(report.step(Step::Unlock).is_some() || report.step(Step::Lock).is_none());
        }
        let refused = members.iter().any(|r| r.error().is_some_and(|e| e.kind() == ErrorKind::Busy));
        if refused && members.iter().all(|r| r.step(Step::Dismount).is_none()) {
            prop_assert!(ids.iter().all(|id| machine.is_mounted(*id)), "not all or nothing");
        }
        prop_assert_eq!(machine.locks_held(), 0);
        // The other drives are not affected.
        for (target, report) in targets.iter().zip(&reports).take(others.len()) {
            let (alone, _) = self::machine(Semantics::Linux, &others);
            let wanted = release(&alone, target, &requested.options(), &mut |_| {});
            prop_assert_eq!(report.error_kind(), wanted.error_kind());
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_drive_is_touched_if_any_target_does_not_resolve(
        drives in prop::collection::vec(one(), 1..6),
        requested in requested(),
        at in 0..6usize,
        operation in prop::sample::select(vec![Operation::Release, Operation::Load, Operation::Flush]),
    ) {
        let (machine, _) = machine(Semantics::Linux, &drives);
        let mut targets = targets(drives.len());
        let at = at.min(targets.len());
        targets.insert(at, Target::Simulated("nosuch".into()));
        let reports = run_batch(operation, &jobs(&machine, &targets), &requested.options(), &mut |_, _| {});
        prop_assert!(machine.journal().is_empty(), "{:#?}", machine.journal());
        for (number, report) in reports.iter().enumerate() {
            let wanted = if number == at { ErrorKind::NoSuchTarget } else { ErrorKind::NotStarted };
            prop_assert_eq!(report.error().map(|e| e.kind()), Some(wanted));
        }
    }
}

/// Two sticks under one array, `sim:a` and `sim:b`, the array mounted.
fn array() -> (Simulated, [DriveId; 2]) {
    let machine = Simulated::new(Semantics::Linux);
    let member = |name: &str| {
        let array = VolumeSetup::stacked("sim:md0", VolumeKind::Raid, &["sim:a1", "sim:b1"]);
        DriveSetup::stick(name)
            .volume(VolumeSetup::partition("raid"))
            .volume(array.mounted("/array"))
    };
    let ids = ["a", "b"].map(|name| machine.plug(&member(name)));
    (machine, ids)
}

fn named(names: &[&str]) -> Vec<Target> {
    names.iter().map(|name| Target::Simulated((*name).into())).collect()
}

#[test]
fn one_member_alone_is_refused_and_both_leave_in_either_order() {
    for names in [["a", "b"], ["b", "a"]] {
        for goal in [Goal::Eject, Goal::PowerOff] {
            let (machine, ids) = array();
            let options = options!(goal);
            let alone = release(&machine, &named(&names)[0], &options, &mut |_| {});
            assert_eq!(alone.error().map(|e| e.kind()), Some(ErrorKind::NotExclusive));
            assert!(machine.is_mounted(ids[0]));
            let reports = all(&machine, &named(&names), &options);
            assert!(reports.iter().all(|r| r.outcome == Outcome::Completed), "{reports:#?}");
            assert!(ids.iter().all(|id| machine.was_ejected(*id)));
            let array = |e: &&unmoor_simulated::JournalEntry| {
                e.volume.as_deref() == Some("sim:md0") && e.op == Op::Dismount
            };
            assert_eq!(machine.journal().iter().filter(array).count(), 1, "taken down once");
        }
    }
}

/// Two members of an array with a file system of their own each, all mounted.
pub fn array_beside_own() -> (Simulated, [DriveId; 2]) {
    let machine = Simulated::new(Semantics::Linux);
    let member = |name: &str| {
        let array = VolumeSetup::stacked("sim:md0", VolumeKind::Raid, &["sim:a1", "sim:b1"]);
        DriveSetup::stick(name)
            .volume(VolumeSetup::partition("ext4").mounted(format!("/{name}")))
            .volume(array.mounted("/array"))
    };
    let ids = ["a", "b"].map(|name| machine.plug(&member(name)));
    (machine, ids)
}

#[test]
fn members_are_idle_at_the_same_time_or_none_is_dismounted() {
    let (machine, [a, b]) = array_beside_own();
    // While the second one waits, a program opens a file on the first, which was idle before.
    let handle = machine.open_file(b, "sim:b1", 7, "/letter").expect("mounted");
    machine.at(ms(1000), ScheduledEvent::Close(handle));
    let path = "/late".into();
    let open = ScheduledEvent::Open { drive: a, volume: "sim:a1".into(), pid: 8, path };
    machine.at(ms(500), open);
    let options = options!(wait: ms(3000));
    let reports = all(&machine, &named(&["a", "b"]), &options);
    assert!(reports.iter().all(|r| r.error_kind() == Some(ErrorKind::Busy)), "{reports:#?}");
    assert!(machine.journal().iter().all(|e| !matches!(e.effect, Some(Effect::Dismounted { .. }))));
    assert!(machine.now() < ms(4500), "waited for longer than wished: {:?}", machine.now());
}

#[test]
fn several_members_wait_no_longer_than_one() {
    let (machine, [a, b]) = array_beside_own();
    let first = machine.open_file(a, "sim:a1", 7, "/letter").expect("mounted");
    machine.open_file(b, "sim:b1", 8, "/letter").expect("mounted");
    machine.at(ms(2500), ScheduledEvent::Close(first));
    let options = options!(wait: ms(3000));
    let reports = all(&machine, &named(&["a", "b"]), &options);
    assert!(reports.iter().all(|r| r.error_kind() == Some(ErrorKind::Busy)), "{reports:#?}");
    assert!(machine.now() < ms(4000), "{:?}", machine.now());
}

#[test]
fn nothing_is_dismounted_until_all_members_are_idle() {
    let (machine, [a, b]) = array_beside_own();
    // Only the own volume of the second one is in use.
    machine.open_file(b, "sim:b1", 7, "/letter").expect("mounted");
    let reports = all(&machine, &named(&["a", "b"]), &Options::default());
    assert!(reports.iter().all(|r| r.error_kind() == Some(ErrorKind::Busy)), "{reports:#?}");
    assert!(machine.journal().iter().all(|e| !matches!(e.effect, Some(Effect::Dismounted { .. }))));
    assert!(machine.is_mounted(a) && machine.is_mounted(b));
    assert!(reports[0].error().is_some_and(|e| e.to_string().contains("sim:b1")));
    assert!(reports[0].error().is_some_and(|e| e.scan().is_some()), "both name who it is");
}

#[test]
fn slots_of_one_device_are_powered_off_together() {
    let machine = Simulated::new(Semantics::Linux);
    let slot = |name: &str, other: &str| {
        DriveSetup::stick(name)
            .siblings(&[other])
            .volume(VolumeSetup::partition("vfat").mounted(format!("/{name}")))
    };
    let ids = [machine.plug(&slot("a", "sim:b")), machine.plug(&slot("b", "sim:a"))];
    let options = options!(goal: Goal::PowerOff);
    let reports = all(&machine, &named(&["b", "a"]), &options);
    assert!(reports.iter().all(|r| r.outcome == Outcome::Completed), "{reports:#?}");
    assert!(ids.iter().all(|id| !machine.is_attached(*id)));
    let off =
        |e: &unmoor_simulated::JournalEntry| matches!(e.effect, Some(Effect::PoweredOff { .. }));
    assert_eq!(machine.journal().iter().filter(|e| off(e)).count(), 1, "one device, once");
}

#[test]
fn a_drive_mounted_on_another_goes_first_in_either_order() {
    for names in [["low", "high"], ["high", "low"]] {
        let machine = Simulated::new(Semantics::Linux);
        let low = VolumeSetup::partition("ext4").mounted("/media");
        let high = VolumeSetup::partition("ext4").mounted("/media/inside");
        machine.plug(&DriveSetup::stick("low").volume(low));
        machine.plug(&DriveSetup::stick("high").volume(high));
        let reports = all(&machine, &named(&names), &Options::default());
        assert!(reports.iter().all(|r| r.outcome == Outcome::Completed), "{reports:#?}");
    }
}

#[test]
fn a_drive_named_several_times_is_released_once() {
    let machine = Simulated::new(Semantics::Linux);
    let volumes = ["/one", "/two"].map(|at| VolumeSetup::partition("ext4").mounted(at));
    let [one, two] = volumes;
    let drive = machine.plug(&DriveSetup::stick("it").volume(one).volume(two));
    let reports = all(&machine, &named(&["it1", "it", "it2"]), &Options::default());
    assert!(reports.iter().all(|r| r.outcome == Outcome::Completed));
    let names: Vec<&str> = reports.iter().map(|r| &*r.target).collect();
    assert_eq!(names, ["sim:it1", "sim:it", "sim:it2"]);
    let ejected =
        |e: &&unmoor_simulated::JournalEntry| e.effect.is_some_and(Effect::releases_medium);
    assert_eq!(machine.journal().iter().filter(ejected).count(), 1);
    assert!(machine.was_ejected(drive));
}

/// Returns the maximum number of drives that were at this step at the same moment.
fn most_at(step: Step, machine: &Simulated, targets: &[Target], options: &Options) -> usize {
    let (mut now, mut most) = (0usize, 0);
    run_batch(Operation::Release, &jobs(machine, targets), options, &mut |_, news| match news {
        BatchEvent::Event(Event::Started(started)) if started == step => {
            now += 1;
            most = most.max(now);
        }
        BatchEvent::Event(Event::Finished(finished)) if finished.step == step => now -= 1,
        _ => {}
    });
    most
}

fn slow(count: usize) -> Simulated {
    let machine = Simulated::new(Semantics::Linux);
    for number in 0..count {
        let volume = VolumeSetup::partition("ext4").mounted(format!("/m{number}"));
        machine.plug(&DriveSetup::stick(&name(number)).motor(ms(1000)).volume(volume));
    }
    machine
}

#[test]
fn thirty_two_drives_run_at_once_and_two_hundred_up_to_the_limit() {
    let machine = slow(32);
    assert_eq!(most_at(Step::Verify, &machine, &targets(32), &Options::default()), 32);
    let machine = slow(200);
    assert_eq!(most_at(Step::Verify, &machine, &targets(200), &Options::default()), MAX_CONCURRENT);
    assert!((0..200).all(|n| {
        let id = machine.find(&format!("sim:{}", name(n))).expect("a stick stays on its bus");
        machine.was_ejected(id)
    }));
}

#[test]
fn queued_targets_do_not_wait_past_the_timeout() {
    let machine = Simulated::new(Semantics::Linux);
    for number in 0..MAX_CONCURRENT + 10 {
        let volume = VolumeSetup::partition("ext4").mounted(format!("/m{number}"));
        let hangs = Fault::new(Op::Flush, FaultKind::Hang);
        machine.plug(&DriveSetup::stick(&name(number)).volume(volume).fault(hangs));
    }
    let options = options!(timeout: Some(ms(5000)));
    let reports = all(&machine, &targets(MAX_CONCURRENT + 10), &options);
    assert!(reports.iter().all(|r| r.error().is_some_and(|e| e.kind() == ErrorKind::TimedOut)));
    assert!(machine.now() < ms(6000), "{:?}", machine.now());
}

#[test]
fn targets_not_started_when_cancelled_are_not_touched() {
    let machine = slow(3);
    let cancel = Cancel::new();
    cancel.cancel();
    let options = options!(cancel);
    let reports = all(&machine, &targets(3), &options);
    assert!(reports.iter().all(|r| r.error_kind() == Some(ErrorKind::Interrupted)));
    assert!(machine.journal().is_empty());
}

#[test]
fn a_panicking_event_handler_cancels_all_and_leaves_no_lock() {
    for at in 0..60 {
        let machine = slow(4);
        let targets = targets(4);
        let mut told = 0;
        let options = Options::default();
        let end = catch_quietly(|| {
            run_batch(Operation::Release, &jobs(&machine, &targets), &options, &mut |_, _| {
                told += 1;
                if told == at {
                    std::panic::panic_any(Startled);
                }
            })
        });
        assert_eq!(options.cancel.is_cancelled(), end.is_none(), "at {at}");
        assert_eq!(machine.locks_held(), 0, "at {at}");
    }
}

#[test]
fn loading_and_flushing_run_at_once_too() {
    let machine = Simulated::new(Semantics::Linux);
    for number in 0..5 {
        machine.plug(&DriveSetup::cd(&name(number)).tray_open(true));
    }
    let targets = targets(5);
    let options = Options::default();
    let reports = run_batch(Operation::Load, &jobs(&machine, &targets), &options, &mut |_, _| {});
    assert!(reports.iter().all(|r| r.outcome == Outcome::Completed));
    assert!(machine.now() < ms(2000), "one after the other: {:?}", machine.now());
    let reports = run_batch(Operation::Flush, &jobs(&machine, &targets), &options, &mut |_, _| {});
    assert!(reports.iter().all(|r| r.outcome == Outcome::Completed));
}
