//! Nothing is dismounted until every volume on the drive has been found idle, unless forced; and a dismount that is
//! refused on the way is taken back.

use crate::batch::array_beside_own;
use crate::run::{Fixture, Ran, ms, target};
use crate::scenario::{anything, cases, peaceful};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unmoor::{
    BatchItem, Clock, Drive, Error, ErrorKind, Event, Opened, Operation, Options, Outcome, Report,
    Status, Step, Target, release, resolve, run_batch,
};
use unmoor_simulated::{
    DriveSetup, Effect, JournalEntry, Op, ScheduledEvent, Semantics, Simulated, VolumeSetup,
};

/// Returns a dismount that came although some volume had not been found idle since the last unlock.
fn too_early(journal: &[JournalEntry], before: &Drive) -> Option<JournalEntry> {
    let mut idle = BTreeSet::new();
    // A mapping that was closed before something else was found in use stays closed.
    let mut closed = BTreeSet::new();
    for entry in journal {
        match (entry.op, entry.effect) {
            (Op::Unlock, _) => idle.clear(),
            (_, Some(Effect::Locked)) => {
                idle.insert(entry.volume.clone().unwrap_or_default());
            }
            (_, Some(Effect::Dismounted { .. }))
                if !before
                    .volumes
                    .iter()
                    .all(|v| idle.contains(&v.name) || closed.contains(&v.name)) =>
            {
                return Some(entry.clone());
            }
            (Op::Dismount, Some(Effect::Dismounted { .. })) => {
                closed.insert(entry.volume.clone().unwrap_or_default());
            }
            _ => {}
        }
    }
    None
}

/// Returns the mount points.
fn mount_points(drive: &Drive) -> BTreeSet<PathBuf> {
    drive.volumes.iter().flat_map(|v| &v.mounts).map(|m| m.path.clone()).collect()
}

/// Returns a stick with two partitions, of which the second is unmounted first. A program opens a file on the first
/// one when the dismount begins, and closes it after `open`.
fn opened_for_a_moment(open: Duration, options: &Options) -> (Simulated, Report) {
    let machine = Simulated::new(Semantics::Linux);
    let volume = |path| VolumeSetup::partition("ext4").mounted(path);
    let stick = DriveSetup::stick("it").volume(volume("/first")).volume(volume("/second"));
    let stick = machine.plug(&stick);
    let mut late = Some(());
    let report = release(&machine, &target(), options, &mut |event| {
        if matches!(event, Event::Started(Step::Dismount)) && late.take().is_some() {
            let file = machine.open_file(stick, "sim:it1", 2000, "/late").unwrap();
            machine.at(machine.now() + open, ScheduledEvent::Close(file));
        }
    });
    (machine, report)
}

#[test]
fn unmounted_volumes_are_mounted_again_if_the_rest_is_in_use() {
    let (machine, report) = opened_for_a_moment(ms(5000), &Options::default());
    assert_eq!(report.error_kind(), Some(ErrorKind::Busy));
    let after = resolve(&machine, &target()).unwrap();
    assert_eq!(mount_points(&after).len(), 2);
    assert_eq!(machine.locks_held(), 0);
}

#[test]
fn the_time_to_wait_applies_to_the_dismount_too() {
    for open in [100, 3000, 15_000] {
        let (machine, report) = opened_for_a_moment(ms(open), &options!(wait: ms(20_000)));
        assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
        assert!(machine.now() >= ms(open));
        let last = report.step(Step::Dismount).unwrap();
        assert_eq!(last.status, Status::Done, "of a step that was repeated, the last one counts");
    }
}

#[test]
fn the_time_to_wait_is_not_counted_anew_for_the_dismount() {
    let (machine, report) = opened_for_a_moment(ms(60_000), &options!(wait: ms(4000)));
    assert_eq!(report.error_kind(), Some(ErrorKind::Busy));
    assert!(machine.now() < ms(8000), "{:?}", machine.now());
    assert!(resolve(&machine, &target()).unwrap().volumes.iter().all(|v| !v.mounts.is_empty()));
}

#[test]
fn a_file_that_is_open_for_a_moment_needs_no_time_to_wait() {
    let (_, report) = opened_for_a_moment(ms(50), &Options::default());
    assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
}

/// Releases two members of an array together. A program opens a file on the second one's own partition after `at`.
fn two_with_a_file_opened(at: Duration) -> (Simulated, Vec<Report>) {
    let (machine, [_, second]) = array_beside_own();
    let (volume, path) = ("sim:b1".to_owned(), PathBuf::from("/late"));
    machine.at(at, ScheduledEvent::Open { drive: second, volume, pid: 2000, path });
    let targets: [Target; 2] = ["sim:a", "sim:b"].map(|name| name.parse().unwrap());
    let items = targets.each_ref().map(|target| BatchItem::new(&machine, target));
    let reports = run_batch(Operation::Release, &items, &Options::default(), &mut |_, _| {});
    (machine, reports)
}

#[test]
fn drives_that_are_released_together_are_mounted_again_together() {
    let mut taken_back = 0;
    for at in (0..80).map(ms) {
        let (machine, reports) = two_with_a_file_opened(at);
        let busy = |report: &Report| report.error_kind() == Some(ErrorKind::Busy);
        if !reports.iter().all(busy) {
            continue;
        }
        for (name, own) in [("sim:a", "/a"), ("sim:b", "/b")] {
            let drive = resolve(&machine, &name.parse().unwrap()).unwrap();
            assert!(mount_points(&drive).contains(Path::new(own)), "{name} at {at:?}");
        }
        taken_back += usize::from(machine.journal().iter().any(|entry| entry.op == Op::MountAgain));
    }
    assert!(taken_back > 0, "no file came between the lock and the dismount");
}

#[test]
fn a_stage_that_fails_to_dismount_mounts_again_and_says_so() {
    let machine = Simulated::demo_in(Semantics::Linux);
    let target = "sim:stick".parse().unwrap();
    let before = resolve(&machine, &target).unwrap();
    let locked = Opened::new(&machine, &target, &Options::default()).unwrap().lock().unwrap();
    machine.open_file(before.id, &before.volumes[0].name, 2000, "/late").unwrap();
    let error = Error::from(locked.dismount().err().unwrap());
    assert!(error.to_string().contains("mounted again: "), "{error}");
    assert_eq!(mount_points(&resolve(&machine, &target).unwrap()), mount_points(&before));
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_dismounted_before_every_volume_was_found_idle(scenario in anything()) {
        let ran = Ran::of(&scenario);
        if !scenario.requested.force {
            prop_assert_eq!(too_early(&ran.journal(), &ran.fixture.before), None);
        }
    }

    #[test]
    fn a_refused_lock_leaves_everything_mounted_and_usable(mut scenario in peaceful()) {
        scenario.requested.force = false;
        let ran = Ran::of(&scenario);
        let error = ran.report.as_ref().and_then(|r| r.error());
        // After a dismount that was refused, a mapping that it had closed is gone for good.
        let locked_once = ran.moment(Step::Dismount).is_none();
        let refused =
            |e: &Error| e.kind() == ErrorKind::Busy && e.step() == Some(Step::Lock) && locked_once;
        if error.is_some_and(refused) {
            let Fixture { machine, drive, handles, before, .. } = &ran.fixture;
            let after = machine.describe(*drive).unwrap();
            prop_assert_eq!(mount_points(&after), mount_points(before));
            for handle in handles {
                let answer = machine.read(*handle);
                let closed = answer == Err(unmoor_simulated::FileError::Closed);
                prop_assert!(answer.is_ok() || closed, "{:?}", answer);
            }
        }
    }

    #[test]
    fn a_release_that_is_refused_on_the_way_leaves_everything_mounted(mut scenario in peaceful()) {
        scenario.semantics = Semantics::Linux;
        scenario.requested.force = false;
        scenario.comes_late = true;
        // What was set up with a key or a file cannot be set up again.
        scenario.volumes.iter_mut().for_each(|volume| volume.stacked = false);
        let ran = Ran::of(&scenario);
        if ran.report.as_ref().and_then(|r| r.error_kind()) == Some(ErrorKind::Busy) {
            let Fixture { machine, drive, before, .. } = &ran.fixture;
            let after = machine.describe(*drive).unwrap();
            prop_assert_eq!(mount_points(&after), mount_points(before));
        }
    }

    #[test]
    fn without_force_no_open_file_is_cut_off(mut scenario in anything()) {
        scenario.requested.force = false;
        scenario.comes_late = true;
        let ran = Ran::of(&scenario);
        for entry in ran.journal() {
            prop_assert_ne!(entry.effect, Some(Effect::Dismounted { forced: true }));
        }
    }
}
