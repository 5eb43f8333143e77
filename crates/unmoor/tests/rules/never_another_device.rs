//! A target is bound to one device. A device that takes its name is left alone, and so is every other
//! drive. No option releases a drive that carries the running system.

use crate::run::{Ran, ms, target};
use crate::scenario::{Accident, anything, cases, peaceful};
use proptest::prelude::*;
use unmoor::{ErrorKind, Goal, Opened, Step, SystemUse, dry_run, release};
use unmoor_simulated::{
    DriveSetup, Effect, FaultKind, Op, ScheduledEvent, Semantics, Simulated, VolumeSetup,
};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_device_that_takes_the_name_is_left_alone(
        mut scenario in anything(),
        at in prop::option::of(0..2500u64),
        step in prop::option::of(prop::sample::select(vec![
            Step::Flush, Step::Lock, Step::Dismount, Step::Eject, Step::PowerOff, Step::Verify,
            Step::Unlock,
        ])),
        op in prop::sample::select(vec![
            Op::Flush, Op::FlushDrive, Op::Lock, Op::Unmount, Op::Dismount, Op::Claim, Op::Perform,
            Op::Presence, Op::Unlock,
        ]),
        after in 0..3u32,
    ) {
        scenario.replaced_at = step;
        match at {
            _ if step.is_some() => {}
            Some(at) => scenario.accidents.push((at, Accident::Replace)),
            None => scenario.faults.push(crate::scenario::FaultSpec {
                at: op, kind: FaultKind::Replaced, after, times: 1,
            }),
        }
        let ran = Ran::of(&scenario);
        for entry in ran.journal() {
            prop_assert_eq!(entry.device, ran.fixture.drive);
        }
        let machine = &ran.fixture.machine;
        if let Some(other) = machine.find("sim:it").filter(|id| *id != ran.fixture.drive) {
            prop_assert!(!machine.was_ejected(other));
            prop_assert!(machine.describe(other).unwrap().serial.as_deref() == Some("REPLACED"));
        }
    }

    #[test]
    fn other_drives_are_left_alone(scenario in anything()) {
        let ran = Ran::of(&scenario);
        let after = ran.fixture.machine.describe(ran.fixture.bystander).unwrap();
        prop_assert_eq!(&after, &ran.fixture.bystander_before);
    }

    #[test]
    fn a_sibling_in_use_is_never_taken_along(
        force in any::<bool>(),
        in_use in any::<bool>(),
        semantics in prop::sample::select(vec![Semantics::Linux, Semantics::Windows]),
    ) {
        let machine = Simulated::new(semantics);
        let volume = || VolumeSetup::partition("vfat").dirty("/f", 1000);
        let other = if in_use { volume().mounted("/other") } else { VolumeSetup::partition("vfat") };
        machine.plug(&DriveSetup::stick("it").siblings(&["sim:that"]).volume(volume().mounted("/m")));
        let that = machine.plug(&DriveSetup::stick("that").siblings(&["sim:it"]).volume(other));
        let options = options!(force, goal: Goal::PowerOff);
        let report = release(&machine, &target(), &options, &mut |_| {});
        prop_assert_eq!(machine.is_attached(that), in_use);
        prop_assert_eq!(report.error_kind(), in_use.then_some(ErrorKind::Busy));
        prop_assert_eq!(machine.medium_contents(that).is_empty(), true);
    }

    #[test]
    fn a_replaced_drive_is_never_reported_as_released(mut scenario in peaceful()) {
        let kind = FaultKind::Replaced;
        scenario.faults =
            vec![crate::scenario::FaultSpec { at: Op::Lock, kind, after: 0, times: 1 }];
        let ran = Ran::of(&scenario);
        let struck = ran.failed(Op::Lock).any(|e| e.answer == Err(ErrorKind::Replaced));
        if struck {
            let error = ran.report.as_ref().unwrap().error().unwrap().clone();
            prop_assert_eq!(error.kind(), ErrorKind::Replaced);
        }
    }

    #[test]
    fn a_system_drive_is_left_alone_by_every_option(
        force in any::<bool>(),
        discard_unwritten in any::<bool>(),
        goal in prop::sample::select(vec![Goal::Eject, Goal::Dismount, Goal::PowerOff]),
        semantics in prop::sample::select(vec![Semantics::Linux, Semantics::Windows]),
        carries in prop::sample::select(vec![
            SystemUse::Mount("/".into()),
            SystemUse::Mount("/boot".into()),
            SystemUse::PageFile,
            SystemUse::Windows,
        ]),
    ) {
        let machine = Simulated::new(semantics);
        let root = VolumeSetup::partition("ext4").mounted("/").dirty("/etc/motd", 100);
        let drive = machine.plug(&DriveSetup::stick("it").system(&[carries]).volume(root));
        let before = machine.describe(drive);
        let options = options!(force, discard_unwritten, goal);

        let report = release(&machine, &target(), &options, &mut |_| {});
        prop_assert_eq!(report.error().unwrap().kind(), ErrorKind::Refused);
        prop_assert_eq!(dry_run(&machine, &target(), &options).error_kind(), Some(ErrorKind::Refused));
        prop_assert!(machine.journal().is_empty());

        let open = || Opened::new(&machine, &target(), &options).unwrap();
        prop_assert_eq!(open().lock().err().unwrap().error.kind(), ErrorKind::Refused);
        prop_assert_eq!(open().force_dismount().err().unwrap().error.kind(), ErrorKind::Refused);
        prop_assert!(open().open_empty_tray().is_err());
        prop_assert_eq!(machine.describe(drive), before);
    }
}

#[test]
fn a_drive_replaced_during_the_wait_is_left_alone() {
    // Replaced in the middle of a wait for a lock: the wait ends with the truth, not with the new one.
    let machine = Simulated::new(Semantics::Linux);
    let volume = VolumeSetup::partition("ext4").mounted("/m");
    let drive = machine.plug(&DriveSetup::stick("it").volume(volume));
    machine.open_file(drive, "sim:it1", 1, "/f").unwrap();
    machine.at(ms(300), ScheduledEvent::Replace(drive));
    let options = options!(wait: ms(5000));
    let report = release(&machine, &target(), &options, &mut |_| {});
    assert_eq!(report.error().unwrap().kind(), ErrorKind::Replaced);
    assert!(machine.journal().iter().all(|e| !e.effect.is_some_and(Effect::releases_medium)));
    assert!(machine.is_mounted(machine.find("sim:it").unwrap()));
}
