//! Powering a device off takes its other drives along: none of them may be in use.

use unmoor::platform::simulated::{DriveSetup, Manner, Simulated, VolumeSetup};
use unmoor::{ErrorKind, Goal, Options, Presence, Status, Step, release};

fn reader(second: VolumeSetup) -> Simulated {
    let machine = Simulated::new(Manner::Linux);
    let first = VolumeSetup::partition("vfat").mounted("/media/one");
    machine.plug(&DriveSetup::stick("one").siblings(&["sim:two"]).volume(first));
    machine.plug(&DriveSetup::stick("two").siblings(&["sim:one"]).volume(second));
    machine
}

fn power_off(machine: &Simulated) -> unmoor::Report {
    let options = Options { goal: Goal::PowerOff, ..Options::default() };
    release(machine, &"sim:one".parse().unwrap(), &options, &mut |_| {})
}

#[test]
fn a_sibling_in_use_keeps_the_device_on() {
    let machine = reader(VolumeSetup::partition("vfat").mounted("/media/two"));
    let report = power_off(&machine);
    let error = report.error().unwrap();
    assert_eq!((error.kind(), report.exit_code()), (ErrorKind::Busy, 3));
    assert!(error.to_string().contains("sim:two"), "{error}");
    let one = machine.find("sim:one").unwrap();
    assert!(machine.is_mounted(one) && machine.is_attached(one), "nothing was touched");
}

#[test]
fn an_idle_sibling_goes_along_and_is_named() {
    let machine = reader(VolumeSetup::partition("vfat"));
    let report = power_off(&machine);
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(report.medium_after, Some(Presence::Gone));
    assert!(report.warnings.iter().any(|w| w.contains("sim:two")), "{:?}", report.warnings);
    assert_eq!(report.step(Step::PowerOff).unwrap().status, Status::Done);
}
