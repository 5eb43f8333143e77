//! Decisions of the procedure that Windows alone calls for, with Linux beside them.

use crate::run::ms;
use unmoor::{ErrorKind, Goal, Options, Report, Status, Step, SystemUse, release};
use unmoor_simulated::{DriveSetup, Fault, FaultKind, Op, Semantics, Simulated, VolumeSetup};

fn machine(semantics: Semantics, drive: &DriveSetup) -> Simulated {
    let machine = Simulated::new(semantics);
    machine.plug(drive);
    machine
}

fn run(machine: &Simulated, options: &Options) -> Report {
    release(machine, &"sim:it".parse().unwrap(), options, &mut |_| {})
}

/// The drive with one mounted volume, which this user may not lock.
fn not_lockable(drive: DriveSetup) -> DriveSetup {
    drive
        .volume(VolumeSetup::partition("ntfs").mounted("/m"))
        .fault(Fault::new(Op::Lock, FaultKind::NotPermitted))
}

#[test]
fn a_device_removal_needs_no_lock_of_this_user_on_windows() {
    let drive = not_lockable(DriveSetup::disk("it"));
    let power_off = options!(goal: Goal::PowerOff);
    for options in [Options::default(), power_off] {
        let report = run(&machine(Semantics::Windows, &drive), &options);
        assert!(report.error().is_none(), "{report:?}");
        for step in [Step::Lock, Step::Dismount] {
            assert_eq!(report.step(step).unwrap().status, Status::Skipped);
        }
        let report = run(&machine(Semantics::Linux, &drive), &options);
        assert_eq!(report.error().unwrap().kind(), ErrorKind::NotPermitted);
    }
}

#[test]
fn an_ejection_without_a_lock_stays_not_permitted() {
    let drive = not_lockable(DriveSetup::stick("it"));
    let report = run(&machine(Semantics::Windows, &drive), &Options::default());
    assert_eq!(report.error().unwrap().kind(), ErrorKind::NotPermitted);
    let dismount = options!(goal: Goal::Dismount);
    let drive = not_lockable(DriveSetup::disk("it"));
    let report = run(&machine(Semantics::Windows, &drive), &dismount);
    assert_eq!(report.error().unwrap().kind(), ErrorKind::NotPermitted);
}

#[test]
fn force_dismounts_after_a_refusal_of_any_kind() {
    let options = options!(force: true);
    for kind in [FaultKind::NotPermitted, FaultKind::IoError] {
        let drive = DriveSetup::stick("it")
            .volume(VolumeSetup::partition("vfat").mounted("/m"))
            .fault(Fault::new(Op::Lock, kind));
        let report = run(&machine(Semantics::Windows, &drive), &options);
        assert!(report.error().is_none(), "{report:?}");
    }
}

#[test]
fn a_fixed_drive_that_is_named_is_asked_on_windows() {
    let drive = DriveSetup::disk("it").leaves(false, false);
    let windows = run(&machine(Semantics::Windows, &drive), &Options::default());
    assert!(windows.error().is_none(), "{windows:?}");
    let linux = run(&machine(Semantics::Linux, &drive), &Options::default());
    assert_eq!(linux.error().unwrap().kind(), ErrorKind::NotSupported);
    let force = options!(force: true);
    let system = run(&machine(Semantics::Windows, &drive.system(&[SystemUse::Windows])), &force);
    assert_eq!(system.error().unwrap().kind(), ErrorKind::Refused);
}

#[test]
fn a_refused_lock_is_retried_for_the_platforms_own_time() {
    for (retry, error) in [(0, Some(ErrorKind::Busy)), (10_000, None)] {
        let machine = Simulated::demo_in(Semantics::Windows).with_lock_retry(ms(retry));
        let target = "sim:slow".parse().unwrap();
        let report = release(&machine, &target, &Options::default(), &mut |_| {});
        assert_eq!(report.error().map(|e| e.kind()), error, "{retry}");
    }
}
