//! Swap and volumes that span other drives block a release. They are named, waited for if requested, and
//! never forced.

use crate::run::{ms, target};
use crate::scenario::cases;
use proptest::prelude::*;
use unmoor::{
    BlockerKind, Clock, Confirm, DriveId, ErrorKind, Goal, Kill, Options, Outcome, Status, Step,
    SystemUse, VolumeKind, dry_run, release,
};
use unmoor_simulated::{DriveSetup, Effect, ScheduledEvent, Semantics, Simulated, VolumeSetup};

/// Returns a stick with a mounted volume, and with swap or an array that spans another drive.
fn held(by_swap: bool) -> (Simulated, DriveId) {
    let machine = Simulated::new(Semantics::Linux);
    let own = VolumeSetup::partition("ext4").mounted("/own").dirty("/letter", 1000);
    let mut setup = DriveSetup::stick("it").volume(own);
    setup = match by_swap {
        true => setup
            .volume(VolumeSetup::partition("swap"))
            .system(&[SystemUse::Swap("sim:it2".into())]),
        false => {
            let parts = ["sim:it2", "sim:other1"];
            let array = VolumeSetup::stacked("sim:md0", VolumeKind::Raid, &parts);
            setup.volume(VolumeSetup::partition("raid")).volume(array.mounted("/array"))
        }
    };
    let drive = machine.plug(&setup);
    (machine, drive)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn swap_and_shared_volumes_are_never_taken_down(
        by_swap: bool,
        force: bool,
        kill: bool,
        wait in 0u64..3000,
        goal in prop::sample::select(vec![Goal::Eject, Goal::Dismount, Goal::PowerOff]),
    ) {
        let (machine, drive) = held(by_swap);
        let kill = kill.then(|| Kill::new(ms(500), Confirm::Always));
        let options = options!(force, kill, goal, wait: ms(wait));
        let report = release(&machine, &target(), &options, &mut |_| {});
        let error = report.error().expect("it is not released");
        prop_assert_eq!(error.kind(), ErrorKind::NotExclusive);
        prop_assert_eq!(error.step(), Some(Step::Lock));
        prop_assert!(machine.is_mounted(drive) && machine.is_attached(drive));
        let touched = |e: Effect| e.releases_medium() || matches!(e, Effect::Dismounted { .. });
        prop_assert!(!machine.journal().iter().any(|e| e.effect.is_some_and(touched)));
        prop_assert_eq!(machine.locks_held(), 0);
        prop_assert!(report.warnings.is_empty(), "forced: {:?}", report.warnings);
        let scan = error.scan().expect("the error has a scan");
        prop_assert_eq!(by_swap, scan.blockers.iter().any(|b| b.kind == BlockerKind::Swap));
        prop_assert!(machine.now() < ms(wait + 2200), "{:?}", machine.now());
    }
}

#[test]
fn a_plan_reports_what_is_not_exclusive_and_touches_nothing() {
    for by_swap in [true, false] {
        let (machine, _) = held(by_swap);
        let report = dry_run(&machine, &target(), &Options::default());
        assert_eq!(report.error().map(unmoor::Error::kind), Some(ErrorKind::NotExclusive));
        assert!(machine.journal().is_empty());
    }
}

#[test]
fn a_release_waits_until_swap_is_switched_off() {
    let (machine, drive) = held(true);
    machine.at(ms(1500), ScheduledEvent::SwapOff(drive));
    let options = options!(wait: ms(5000));
    let report = release(&machine, &target(), &options, &mut |_| {});
    assert_eq!(report.outcome, Outcome::Completed, "{report:#?}");
    assert_eq!(report.step(Step::Lock).map(|s| &s.status), Some(&Status::Done));
    assert!(machine.was_ejected(drive) && machine.now() >= ms(1500));
}

#[test]
fn without_a_wait_swap_fails_at_once() {
    let (machine, drive) = held(true);
    machine.at(ms(300), ScheduledEvent::SwapOff(drive));
    let report = release(&machine, &target(), &Options::default(), &mut |_| {});
    assert_eq!(report.error_kind(), Some(ErrorKind::NotExclusive));
    assert!(machine.now() < ms(300), "{:?}", machine.now());
}

#[test]
fn force_does_not_take_along_a_drive_mounted_within() {
    let machine = Simulated::new(Semantics::Linux);
    let volume = |at: &str| VolumeSetup::partition("ext4").mounted(at);
    let low = machine.plug(&DriveSetup::stick("it").volume(volume("/m")));
    let high = machine.plug(&DriveSetup::stick("other").volume(volume("/m/inside")));
    machine.open_file(low, "sim:it1", 7, "/letter").unwrap();
    let options = options!(force: true);
    let report = release(&machine, &target(), &options, &mut |_| {});
    let error = report.error().expect("it is not released");
    assert_eq!((error.kind(), error.step()), (ErrorKind::NotExclusive, Some(Step::Lock)));
    assert!(error.to_string().contains("/m/inside"), "{error}");
    assert!(report.warnings.is_empty(), "force is not told of: {:?}", report.warnings);
    assert!(machine.is_mounted(low) && machine.is_mounted(high));
}

#[test]
fn a_sibling_in_use_is_named_and_retried() {
    let reader = || {
        let machine = Simulated::new(Semantics::Linux);
        machine.plug(&DriveSetup::stick("it").siblings(&["sim:two"]));
        let mounted = VolumeSetup::partition("vfat").mounted("/two");
        let two = machine.plug(&DriveSetup::stick("two").siblings(&["sim:it"]).volume(mounted));
        (machine, two)
    };
    let options = |wait| options!(goal: Goal::PowerOff, wait: ms(wait));
    let (machine, _) = reader();
    let report = release(&machine, &target(), &options(0), &mut |_| {});
    let scan = report.error().and_then(|e| e.scan()).expect("the sibling is named");
    assert_eq!(scan.blockers[0].kind, BlockerKind::Mount);
    assert!(machine.now() < ms(100), "{:?}", machine.now());
    let (machine, two) = reader();
    machine.at(ms(1500), ScheduledEvent::Yank(two));
    let report = release(&machine, &target(), &options(5000), &mut |_| {});
    assert_eq!(report.outcome, Outcome::Completed, "{report:#?}");
    assert!(machine.now() >= ms(1500));
}
