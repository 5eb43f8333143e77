//! Plans for each kind of drive.

use crate::run::target;
use unmoor::platform::Platform;
use unmoor::{
    Action, Bus, Drive, DriveKind, ErrorKind, Goal, Medium, Plan, Step, SystemUse, dry_run, plan,
    resolve,
};
use unmoor_simulated::{DriveSetup, Semantics, Simulated, VolumeSetup};

fn linux() -> Simulated {
    Simulated::new(Semantics::Linux)
}

fn drive(setup: &DriveSetup) -> Drive {
    let machine = linux();
    machine.plug(setup);
    resolve(&machine, &target()).unwrap()
}

fn planned(drive: &Drive, goal: Goal) -> Result<Plan, ErrorKind> {
    let options = options!(goal);
    plan(drive, &options, |action| Platform::methods(&linux(), drive, action)).map_err(|e| e.kind())
}

fn action(setup: &DriveSetup, goal: Goal) -> Result<Action, ErrorKind> {
    planned(&drive(setup), goal).map(|p| p.action)
}

#[test]
fn each_kind_of_drive_has_its_action() {
    for (setup, expected) in [
        (DriveSetup::stick("it"), Action::Eject),
        (DriveSetup::cd("it"), Action::Eject),
        (DriveSetup::card("it"), Action::Nothing),
        (DriveSetup::disk("it"), Action::Stop),
        (DriveSetup::image("it"), Action::Detach),
        (DriveSetup::new("it", DriveKind::Network, Bus::Virtual), Action::Detach),
        (DriveSetup::new("it", DriveKind::Floppy, Bus::Other), Action::Nothing),
        (DriveSetup::new("it", DriveKind::Tape, Bus::Scsi), Action::Eject),
    ] {
        assert_eq!(action(&setup, Goal::Eject), Ok(expected), "{setup:?}");
        assert_eq!(action(&setup, Goal::Dismount), Ok(Action::Nothing));
    }
}

#[test]
fn a_built_in_drive_can_be_dismounted_but_not_ejected() {
    let built_in = DriveSetup::new("it", DriveKind::Disk, Bus::Nvme).leaves(false, false);
    assert_eq!(action(&built_in, Goal::Eject), Err(ErrorKind::NotSupported));
    assert_eq!(action(&built_in, Goal::Dismount), Ok(Action::Nothing));
}

#[test]
fn only_a_drive_that_can_leave_its_bus_is_powered_off() {
    assert_eq!(action(&DriveSetup::disk("it"), Goal::PowerOff), Ok(Action::PowerOff));
    assert_eq!(action(&DriveSetup::image("it"), Goal::PowerOff), Err(ErrorKind::NotSupported));
    assert_eq!(action(&DriveSetup::card("it"), Goal::PowerOff), Err(ErrorKind::NotSupported));
}

#[test]
fn an_empty_drive_can_be_powered_off_and_nothing_else() {
    let empty = DriveSetup::stick("it").empty();
    assert_eq!(action(&empty, Goal::PowerOff), Ok(Action::PowerOff));
    assert_eq!(action(&empty, Goal::Eject), Err(ErrorKind::NoMedium));
    assert_eq!(action(&empty, Goal::Dismount), Err(ErrorKind::NoMedium));
}

#[test]
fn a_system_drive_is_refused_before_other_checks() {
    for goal in [Goal::Eject, Goal::Dismount, Goal::PowerOff] {
        let setup = DriveSetup::stick("it").system(&[SystemUse::Mount("/boot".into())]).empty();
        assert_eq!(action(&setup, goal), Err(ErrorKind::Refused));
    }
}

#[test]
fn a_drive_of_unknown_medium_is_tried() {
    let mut stick = drive(&DriveSetup::stick("it"));
    stick.medium = Medium::Unknown;
    assert_eq!(planned(&stick, Goal::Eject).map(|p| p.action), Ok(Action::Eject));
    stick.medium = Medium::Absent;
    assert_eq!(planned(&stick, Goal::Eject).map(|p| p.action), Err(ErrorKind::NoMedium));
}

#[test]
fn a_plan_has_its_steps_in_order_and_names_the_methods() {
    let made = planned(&drive(&DriveSetup::disk("it")), Goal::PowerOff).unwrap();
    let steps: Vec<Step> = made.steps.iter().map(|s| s.step).collect();
    let expected =
        [Step::Flush, Step::Lock, Step::Dismount, Step::PowerOff, Step::Verify, Step::Unlock];
    assert_eq!(steps, expected);
    assert_eq!(made.steps[3].what, ["stop", "remove the device"]);
}

#[test]
fn a_power_off_plan_names_siblings_and_those_in_use() {
    let reader = |mounted: bool| {
        let machine = Simulated::new(Semantics::Linux);
        let card = VolumeSetup::partition("vfat");
        let card = if mounted { card.mounted("/m") } else { card };
        machine.plug(&DriveSetup::stick("it").siblings(&["sim:two", "sim:three"]));
        machine.plug(&DriveSetup::stick("two").siblings(&["sim:it", "sim:three"]).volume(card));
        machine.plug(&DriveSetup::stick("three").siblings(&["sim:it", "sim:two"]).empty());
        let options = options!(goal: Goal::PowerOff);
        let report = dry_run(&machine, &target(), &options);
        assert!(machine.journal().is_empty(), "a plan touches nothing");
        report
    };
    let free = reader(false);
    let reason = free.step(Step::PowerOff).and_then(|step| step.reason.clone()).unwrap();
    assert!(reason.contains("sim:two, sim:three go along"), "{reason}");
    let mounted = reader(true);
    assert_eq!(mounted.error_kind(), Some(ErrorKind::Busy));
    assert!(mounted.error().unwrap().to_string().contains("/m"), "{mounted:#?}");
}
