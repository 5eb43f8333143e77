//! Attaching: a drive that was powered off comes back whole, and nothing else is reported as attached.

use crate::run::target;
use crate::scenario::cases;
use proptest::prelude::*;
use unmoor::{
    ErrorKind, Goal, Options, Outcome, attach, attach_dry_run, detached_ports, release, resolve,
};
use unmoor_simulated::{
    DriveSetup, Effect, Fault, FaultKind, Op, ScheduledEvent, Semantics, Simulated, VolumeSetup,
};

fn machine(fault: Option<FaultKind>) -> Simulated {
    let machine = Simulated::new(Semantics::native());
    let volume = VolumeSetup::partition("ext4").mounted("/media/it").dirty("/letter", 4096);
    let mut disk = DriveSetup::disk("it").siblings(&["sim:other"]).volume(volume);
    if let Some(kind) = fault {
        disk = disk.fault(Fault::new(Op::Attach, kind));
    }
    machine.plug(&disk);
    machine.plug(&DriveSetup::disk("other").siblings(&["sim:it"]).empty());
    machine
}

fn power_off(machine: &Simulated) {
    let options = options!(goal: Goal::PowerOff);
    let report = release(machine, &target(), &options, &mut |_| {});
    assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn attached_means_that_the_drive_is_present(
        fault in prop::option::of(prop::sample::select(vec![
            FaultKind::IoError, FaultKind::Hang, FaultKind::Lie, FaultKind::Yank,
            FaultKind::NotPermitted, FaultKind::NotSupported,
        ])),
        off in any::<bool>(),
    ) {
        let machine = machine(fault);
        if off {
            power_off(&machine);
        }
        let report = attach(&machine, &target(), &Options::default(), &mut |_| {});
        let there = resolve(&machine, &target());
        prop_assert_eq!(report.outcome == Outcome::Completed, there.is_ok(), "{:?}", report);
        prop_assert_eq!(report.drive, there.ok());
        // What was never powered off meets no fault of attaching.
        prop_assert_eq!(report.outcome == Outcome::Completed, !off || fault.is_none());
        prop_assert_eq!(machine.locks_held(), 0);
    }
}

#[test]
fn a_reattached_drive_is_a_new_device_with_the_same_data_and_siblings() {
    let machine = machine(None);
    let before = machine.find("sim:it").unwrap();
    let written = machine.written(before);
    power_off(&machine);
    let waiting: Vec<_> = detached_ports(&machine).unwrap().into_iter().map(|p| p.name).collect();
    assert_eq!(waiting, ["sim:it", "sim:other"]);
    let report = attach(&machine, &target(), &Options::default(), &mut |_| {});
    assert_eq!(report.outcome, Outcome::Completed);
    let now = machine.find("sim:it").unwrap();
    assert_ne!(now, before, "a session of the old one must not work on it");
    assert_eq!(machine.medium_contents(now), written);
    assert!(machine.find("sim:other").is_some(), "the same device");
    assert!(detached_ports(&machine).unwrap().is_empty());
    assert!(machine.journal().iter().any(|e| e.effect == Some(Effect::Attached)));
}

#[test]
fn an_unplugged_drive_is_not_reattached() {
    let machine = machine(None);
    let id = machine.find("sim:it").unwrap();
    power_off(&machine);
    machine.trigger(ScheduledEvent::Yank(id));
    let report = attach(&machine, &target(), &Options::default(), &mut |_| {});
    assert_eq!(report.error().unwrap().kind(), ErrorKind::NoMedium);
}

#[test]
fn a_dry_run_attaches_nothing() {
    let machine = machine(None);
    power_off(&machine);
    let before = machine.journal().len();
    let report = attach_dry_run(&machine, &target(), &Options::default());
    assert_eq!((report.outcome, report.steps.len()), (Outcome::Planned, 2));
    assert_eq!(machine.journal().len(), before);
    assert!(resolve(&machine, &target()).is_err());
}
