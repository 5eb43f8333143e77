//! Powering a device off takes its other drives along: none of them may be in use.

use unmoor::{Clock, ErrorKind, Goal, Presence, Status, Step, VolumeKind, release};
use unmoor_simulated::{DriveSetup, ScheduledEvent, Semantics, Simulated, VolumeSetup};

fn reader(second: VolumeSetup) -> Simulated {
    let machine = Simulated::new(Semantics::Linux);
    let first = VolumeSetup::partition("vfat").mounted("/media/one");
    machine.plug(&DriveSetup::stick("one").siblings(&["sim:two"]).volume(first));
    machine.plug(&DriveSetup::stick("two").siblings(&["sim:one"]).volume(second));
    machine
}

fn power_off(machine: &Simulated) -> unmoor::Report {
    let options = options!(goal: Goal::PowerOff);
    release(machine, &"sim:one".parse().unwrap(), &options, &mut |_| {})
}

#[test]
fn a_sibling_in_use_keeps_the_device_on() {
    let machine = reader(VolumeSetup::partition("vfat").mounted("/media/two"));
    let report = power_off(&machine);
    let error = report.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("sim:two"), "{error}");
    let one = machine.find("sim:one").unwrap();
    assert!(machine.is_mounted(one) && machine.is_attached(one), "nothing was touched");
}

#[test]
fn an_idle_sibling_is_powered_off_too_and_named() {
    let machine = reader(VolumeSetup::partition("vfat"));
    let report = power_off(&machine);
    assert_eq!(report.error_kind(), None, "{report:?}");
    assert_eq!(report.medium_after, Some(Presence::Gone));
    assert!(report.warnings.iter().any(|w| w.contains("sim:two")), "{:?}", report.warnings);
    assert_eq!(report.step(Step::PowerOff).unwrap().status, Status::Done);
}

#[test]
fn a_sibling_with_a_mapping_open_keeps_the_device_on() {
    let machine = Simulated::new(Semantics::Linux);
    let first = VolumeSetup::partition("vfat").mounted("/media/one");
    machine.plug(&DriveSetup::stick("one").siblings(&["sim:two"]).volume(first));
    let two = DriveSetup::stick("two").siblings(&["sim:one"]);
    let two = two.volume(VolumeSetup::partition("crypto_LUKS"));
    machine.plug(&two.volume(VolumeSetup::stacked("map", VolumeKind::Crypt, &["sim:two1"])));
    let report = power_off(&machine);
    let error = report.error().unwrap();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Busy, Some(Step::Resolve)));
    assert!(error.to_string().contains("sim:two"), "{error}");
    let one = machine.find("sim:one").unwrap();
    assert!(machine.is_mounted(one), "nothing was touched");
    assert_eq!(machine.locks_held(), 0);
}

#[test]
fn a_device_with_empty_slots_is_powered_off() {
    let machine = Simulated::new(Semantics::Linux);
    machine.plug(&DriveSetup::stick("one").siblings(&["sim:two"]).empty());
    machine.plug(&DriveSetup::stick("two").siblings(&["sim:one"]).empty());
    let report = power_off(&machine);
    assert_eq!(
        (report.error_kind(), report.medium_after),
        (None, Some(Presence::Gone)),
        "{report:?}"
    );
    assert!(machine.find("sim:two").is_none());
}

#[test]
fn nothing_can_mount_a_sibling_meanwhile() {
    let machine = reader(VolumeSetup::partition("vfat"));
    let two = machine.find("sim:two").unwrap();
    machine.at(
        machine.now() + std::time::Duration::from_millis(4),
        ScheduledEvent::Mount { drive: two, volume: "sim:two1".into(), path: "/media/late".into() },
    );
    let mut held = false;
    let options = options!(goal: Goal::PowerOff);
    let report = release(&machine, &"sim:one".parse().unwrap(), &options, &mut |_| {
        held |= machine.now() > std::time::Duration::from_millis(4) && !machine.is_mounted(two);
    });
    assert_eq!(report.error_kind(), None);
    assert!(held);
    assert!(machine.journal().iter().all(|e| e.effect.and_then(|e| e.mounted()) != Some(true)));
}
