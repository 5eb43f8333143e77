//! Trays: an eject opens an empty drive, and loading is verified.

use crate::run::{ms, target};
use crate::scenario::cases;
use proptest::prelude::*;
use unmoor::{ErrorKind, Goal, Medium, Options, Outcome, Presence, load, release};
use unmoor_simulated::{
    DriveSetup, Effect, Fault, FaultKind, Op, Semantics, Simulated, VolumeSetup,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tray {
    Closed,
    ClosedEmpty,
    Open,
    OpenEmpty,
}

fn drive(tray: Tray, motor: u64, fault: Option<(Op, FaultKind)>) -> DriveSetup {
    let disc = VolumeSetup::whole("iso9660").label("MUSIC");
    let cd = DriveSetup::cd("it").motor(ms(motor)).volume(disc);
    let cd = match tray {
        Tray::Closed => cd,
        Tray::ClosedEmpty => cd.empty(),
        Tray::Open => cd.tray_open(true),
        Tray::OpenEmpty => cd.tray_open(false),
    };
    match fault {
        Some((op, kind)) => cd.fault(Fault::new(op, kind)),
        None => cd,
    }
}

fn any_tray() -> impl Strategy<Value = Tray> {
    prop::sample::select(vec![Tray::Closed, Tray::ClosedEmpty, Tray::Open, Tray::OpenEmpty])
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn loaded_means_that_the_medium_is_in(
        tray in any_tray(),
        motor in 0..4000u64,
        fault in prop::option::of((
            prop::sample::select(vec![Op::Load, Op::Presence, Op::Open]),
            prop::sample::select(vec![
                FaultKind::IoError, FaultKind::Hang, FaultKind::Lie, FaultKind::Yank,
                FaultKind::Replaced, FaultKind::NotPermitted, FaultKind::NotSupported,
            ]),
        )),
    ) {
        let machine = Simulated::new(Semantics::native());
        let id = machine.plug(&drive(tray, motor, fault));
        let report = load(&machine, &target(), &Options::default(), &mut |_| {});
        if report.outcome == Outcome::Completed {
            prop_assert_eq!(machine.presence(id), Presence::Present);
        }
        if let Some(seen) = report.medium_after {
            prop_assert_eq!(seen, machine.presence(id));
        }
        if fault.is_none() {
            let empty = matches!(tray, Tray::ClosedEmpty | Tray::OpenEmpty);
            prop_assert_eq!(report.error_kind(), empty.then_some(ErrorKind::NoMedium));
        }
        prop_assert_eq!(machine.locks_held(), 0);
    }

    #[test]
    fn only_an_eject_opens_an_empty_drive(
        tray in any_tray(),
        goal in prop::sample::select(vec![Goal::Eject, Goal::Dismount, Goal::PowerOff]),
        lie in any::<bool>(),
    ) {
        let machine = Simulated::new(Semantics::native());
        let id = machine.plug(&drive(tray, 0, lie.then_some((Op::Perform, FaultKind::Lie))));
        let options = options!(goal);
        let report = release(&machine, &target(), &options, &mut |_| {});
        match tray {
            Tray::Closed => {}
            // The drive itself can go, whatever is in it.
            _ if goal == Goal::PowerOff => prop_assert_eq!(report.error_kind(), lie.then_some(ErrorKind::NotVerified)),
            _ => prop_assert_eq!(report.error().unwrap().kind(), ErrorKind::NoMedium),
        }
        if tray == Tray::ClosedEmpty {
            let opened = machine.medium(id) == Medium::TrayOpen;
            prop_assert_eq!(opened, goal == Goal::Eject && !lie);
            let told = machine.journal().iter().any(|e| e.op == Op::Perform);
            prop_assert_eq!(told, goal != Goal::Dismount);
        }
        if tray != Tray::Closed && goal == Goal::Dismount {
            prop_assert!(!machine.journal().iter().any(|e| e.effect.is_some_and(Effect::releases_medium)));
        }
    }
}
