//! Releases of the demonstration drives, one promise each, with the semantics of both systems.

use crate::run::ms;
use unmoor::{
    Action, BlockerKind, Clock, ErrorKind, Event, Goal, Hint, Options, Outcome, Presence, Report,
    Status, Step, list, load, release, resolve,
};
use unmoor_simulated::{
    DriveSetup, Fault, FaultKind, FileError, Op, ScheduledEvent, Semantics, Simulated, VolumeSetup,
};

fn both(check: impl Fn(&Simulated)) {
    for semantics in [Semantics::Linux, Semantics::Windows] {
        check(&Simulated::demo_in(semantics));
    }
}

fn eject(machine: &Simulated, name: &str, options: &Options) -> Report {
    release(machine, &format!("sim:{name}").parse().unwrap(), options, &mut |_| {})
}

fn statuses(report: &Report) -> String {
    let steps = report.steps.iter().map(|s| format!("{} {}", s.step.name(), s.status.name()));
    steps.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_stick_goes_through_every_step() {
    both(|machine| {
        let report = eject(machine, "stick", &Options::default());
        assert_eq!(report.outcome, Outcome::Completed);
        assert_eq!(
            statuses(&report),
            "resolve done, flush done, lock done, dismount done, eject done, verify done, unlock done"
        );
        assert_eq!(report.medium_after, Some(Presence::Absent));
        let stick = machine.find("sim:stick").unwrap();
        assert_eq!(machine.medium_contents(stick), machine.written(stick));
    });
}

#[test]
fn a_volume_a_label_and_a_path_name_their_whole_drive() {
    let machine = Simulated::demo_in(Semantics::Linux);
    let names =
        ["sim:stick", "sim:stick2", "LABEL=photos", "UUID=1A2B-3C4D", "/media/letters/ada.txt"];
    for name in names {
        assert_eq!(resolve(&machine, &name.parse().unwrap()).unwrap().name, "sim:stick");
    }
    let error = resolve(&machine, &"sim:nothing".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSuchTarget);
}

#[test]
fn a_tray_opens_and_closes_again() {
    both(|machine| {
        let cd = machine.find("sim:cd").unwrap();
        let report = eject(machine, "cd", &Options::default());
        assert_eq!(report.medium_after, Some(Presence::TrayOpen));
        assert_eq!(report.step(Step::Flush).unwrap().status, Status::Skipped);
        let again = eject(machine, "cd", &Options::default());
        assert_eq!(again.error_kind(), Some(ErrorKind::NoMedium));
        let loaded = load(machine, &"sim:cd".parse().unwrap(), &Options::default(), &mut |_| {});
        assert_eq!(loaded.error_kind(), None);
        assert_eq!(machine.presence(cd), Presence::Present);
    });
}

#[test]
fn a_card_is_released_with_nothing_to_eject() {
    both(|machine| {
        let report = eject(machine, "card", &Options::default());
        assert_eq!((report.error_kind(), report.action), (None, Some(Action::Nothing)));
        let eject = report.step(Step::Eject).unwrap();
        assert_eq!(eject.status, Status::Skipped);
        assert!(eject.reason.as_ref().unwrap().contains("nothing to eject"));
        assert!(!machine.is_mounted(machine.find("sim:card").unwrap()));
    });
}

#[test]
fn a_disk_is_stopped_or_powered_off() {
    both(|machine| {
        let report = eject(machine, "disk", &Options::default());
        assert_eq!(
            (report.action, report.medium_after),
            (Some(Action::Stop), Some(Presence::Stopped))
        );
        let off = options!(goal: Goal::PowerOff);
        let report = eject(machine, "disk", &off);
        assert_eq!((report.error_kind(), report.medium_after), (None, Some(Presence::Gone)));
        assert_eq!(eject(machine, "disk", &off).error_kind(), Some(ErrorKind::NoSuchTarget));
    });
}

#[test]
fn a_file_on_the_second_partition_keeps_both_mounted_and_is_named() {
    both(|machine| {
        let report = eject(machine, "busy", &Options::default());
        assert_eq!(report.error_kind(), Some(ErrorKind::Busy));
        let blocker = &report.error().unwrap().scan().unwrap().blockers[0];
        assert_eq!(blocker.kind, BlockerKind::Process);
        assert_eq!(blocker.process.as_ref().unwrap().pid, 4312);
        assert_eq!(blocker.uses[0].volume, "sim:busy2");
        assert!(blocker.remedy.is_some());
        let now = resolve(machine, &"sim:busy".parse().unwrap()).unwrap();
        assert!(now.volumes.iter().all(|v| !v.mounts.is_empty()));
        assert_eq!(machine.locks_held(), 0);
    });
}

#[test]
fn force_cuts_off_the_open_file() {
    both(|machine| {
        let report = eject(machine, "busy", &options!(force: true));
        assert_eq!(report.error_kind(), None, "{report:?}");
        assert!(report.warnings.iter().any(|w| w.contains("fails from now on")));
    });
}

#[test]
fn a_drive_that_is_busy_for_seconds_is_released_within_the_wait() {
    both(|machine| {
        assert_eq!(eject(machine, "slow", &Options::default()).error_kind(), Some(ErrorKind::Busy));
        let report = eject(machine, "slow", &options!(wait: ms(10_000)));
        assert_eq!(report.error_kind(), None);
        assert!(machine.now() >= ms(6000));
    });
}

#[test]
fn progress_of_a_long_flush_is_reported_down_to_zero() {
    let machine = Simulated::demo();
    let mut told = Vec::new();
    release(&machine, &"sim:slow".parse().unwrap(), &Options::default(), &mut |event| {
        if let unmoor::Event::Flushing { remaining, .. } = event {
            told.push(remaining);
        }
    });
    assert!(told.len() > 20);
    assert!(told.is_sorted_by(|a, b| a >= b));
    assert_eq!(told.last(), Some(&0));
}

#[test]
fn firmware_that_accepts_the_eject_and_keeps_the_medium_fails_verification() {
    both(|machine| {
        let report = eject(machine, "liar", &Options::default());
        assert_eq!(report.error().unwrap().kind(), ErrorKind::NotVerified);
        assert_eq!(report.medium_after, Some(Presence::Present));
        let unlooked = options!(verify: false);
        assert_eq!(eject(machine, "liar", &unlooked).medium_after, None);
    });
}

#[test]
fn a_drive_that_reports_no_state_is_released_with_a_warning() {
    both(|machine| {
        let report = eject(machine, "silent", &Options::default());
        assert_eq!((report.error_kind(), report.medium_after), (None, Some(Presence::Unknown)));
        assert_eq!(report.step(Step::Verify).unwrap().status, Status::Skipped);
        assert!(report.warnings.iter().any(|w| w.contains("not verified")));
    });
}

#[test]
fn a_medium_with_unwritten_data_stays_in_unless_the_data_is_discarded() {
    both(|machine| {
        let broken = machine.find("sim:broken").unwrap();
        for force in [false, true] {
            let report = eject(machine, "broken", &options!(force));
            assert_eq!(report.error().unwrap().kind(), ErrorKind::Unwritten);
            assert_eq!(report.error().unwrap().hint(), Some(&Hint::DiscardUnwritten));
            assert!(machine.is_mounted(broken));
        }
        let discard = options!(discard_unwritten: true);
        assert_eq!(eject(machine, "broken", &discard).error_kind(), None);
        assert!(machine.was_ejected(broken));
    });
}

#[test]
fn a_drive_pulled_out_meanwhile_is_reported_as_gone() {
    both(|machine| {
        let report = eject(machine, "yanked", &Options::default());
        assert_eq!(report.error().unwrap().kind(), ErrorKind::Gone);
        assert_eq!(machine.locks_held(), 0);
    });
}

#[test]
fn an_empty_drive_opens_its_tray_and_an_open_tray_is_reported() {
    both(|machine| {
        let report = eject(machine, "empty", &Options::default());
        assert_eq!(
            (report.error_kind(), report.medium_after),
            (Some(ErrorKind::NoMedium), Some(Presence::TrayOpen))
        );
        let report = eject(machine, "tray", &Options::default());
        assert_eq!(report.error_kind(), Some(ErrorKind::NoMedium));
        assert!(report.error().unwrap().to_string().contains("open already"));
    });
}

#[test]
fn prevented_removal_is_allowed_first() {
    both(|machine| {
        let report = eject(machine, "kept", &Options::default());
        assert_eq!(report.error_kind(), None);
        assert_eq!(report.step(Step::Eject).unwrap().attempts[0].method, "allow removal");
    });
}

#[test]
fn powering_off_takes_idle_siblings_along_and_refuses_while_one_is_in_use() {
    both(|machine| {
        let sibling = machine.find("sim:reader2").unwrap();
        let off = options!(goal: Goal::PowerOff);
        assert_eq!(eject(machine, "reader", &off).error_kind(), Some(ErrorKind::Busy));
        assert!(machine.is_attached(sibling) && machine.is_mounted(sibling));
        eject(machine, "reader2", &options!(goal: Goal::Dismount));
        let report = eject(machine, "reader", &off);
        assert_eq!(report.error_kind(), None);
        assert!(report.warnings.iter().any(|w| w.contains("sim:reader2 goes along")));
        assert!(!machine.is_attached(sibling));
    });
}

/// One mounted partition.
fn one_stick(semantics: Semantics) -> (Simulated, unmoor::DriveId) {
    let machine = Simulated::new(semantics);
    let volume = VolumeSetup::partition("ext4").mounted("/m").dirty("/f", 1 << 20);
    let stick = machine.plug(&DriveSetup::stick("it").volume(volume));
    (machine, stick)
}

#[test]
fn a_mount_made_during_the_wait_is_unmounted_too() {
    let (machine, stick) = one_stick(Semantics::Linux);
    let file = machine.open_file(stick, "sim:it1", 7, "/f").unwrap();
    let mount =
        ScheduledEvent::Mount { drive: stick, volume: "sim:it1".into(), path: "/again".into() };
    machine.at(ms(500), mount);
    machine.at(ms(1500), ScheduledEvent::Close(file));
    let report = eject(&machine, "it", &options!(wait: ms(5000)));
    assert_eq!(report.error_kind(), None, "{:?}", report.error());
}

#[test]
fn force_cuts_off_files_opened_between_the_lock_and_the_dismount() {
    for force in [false, true] {
        let (machine, stick) = one_stick(Semantics::Linux);
        let options = options!(force);
        let report = release(&machine, &"sim:it".parse().unwrap(), &options, &mut |event| {
            if let Event::Started(Step::Dismount) = event {
                // At the second start it is open already, and one more changes nothing.
                let _ = machine.open_file(stick, "sim:it1", 7, "/late");
            }
        });
        assert_eq!(report.error_kind(), (!force).then_some(ErrorKind::Busy), "{report:?}");
        assert_eq!(machine.is_mounted(stick), !force);
    }
}

#[test]
fn on_windows_no_file_can_be_opened_between_the_lock_and_the_dismount() {
    let (machine, stick) = one_stick(Semantics::Windows);
    let mut answers = Vec::new();
    let report = release(&machine, &"sim:it".parse().unwrap(), &Options::default(), &mut |event| {
        if let Event::Started(Step::Dismount | Step::Eject) = event {
            answers.push(machine.open_file(stick, "sim:it1", 7, "/late"));
        }
    });
    assert_eq!(report.error_kind(), None);
    assert_eq!(answers, [Err(FileError::Locked), Err(FileError::Locked)]);
}

#[test]
fn windows_mounts_a_volume_again_when_a_file_is_opened() {
    let (machine, stick) = one_stick(Semantics::Windows);
    let only = options!(goal: Goal::Dismount);
    assert_eq!(eject(&machine, "it", &only).error_kind(), None);
    assert!(!machine.is_mounted(stick));
    assert!(machine.open_file(stick, "sim:it1", 7, "/f").is_ok());
    assert!(machine.is_mounted(stick));
}

#[test]
fn an_offline_volume_stays_dismounted_and_others_can_be_remounted() {
    for offline in [false, true] {
        let (machine, stick) = one_stick(Semantics::Windows);
        let options = options!(goal: Goal::Dismount, offline);
        assert_eq!(eject(&machine, "it", &options).error_kind(), None);
        let target = "sim:it".parse().unwrap();
        let again = unmoor::remount(&machine, &target, &Options::default(), &mut |_| {});
        assert_eq!(again.error_kind(), offline.then_some(ErrorKind::Failed));
        assert_eq!(machine.is_mounted(stick), !offline);
        assert_eq!(machine.open_file(stick, "sim:it1", 7, "/f").is_ok(), !offline);
    }
    let (machine, _) = one_stick(Semantics::Linux);
    let options = options!(offline: true);
    assert_eq!(eject(&machine, "it", &options).error_kind(), Some(ErrorKind::NotSupported));
}

#[test]
fn a_mount_in_another_namespace_is_found_by_the_claim_and_named() {
    let (machine, stick) = one_stick(Semantics::Linux);
    machine.mount_elsewhere(stick, "sim:it1", "a container");
    let report = eject(&machine, "it", &Options::default());
    assert_eq!(report.error_kind(), Some(ErrorKind::Busy));
    let error = report.error().unwrap();
    assert_eq!(error.step(), Some(Step::Dismount));
    assert!(error.detail().contains("dismounted by then: /m"), "{error}");
    assert_eq!(error.scan().unwrap().blockers[0].kind, BlockerKind::Namespace);
    assert!(!machine.was_ejected(stick));
}

#[test]
fn a_lock_without_an_answer_after_a_refused_dismount_reports_the_refusal() {
    for after in 1..4 {
        let (machine, stick) = one_stick(Semantics::Linux);
        machine.mount_elsewhere(stick, "sim:it1", "a container");
        machine.fault(stick, Fault::new(Op::Lock, FaultKind::Hang).after(after));
        let options = options!(wait: crate::run::ms(3000));
        let report = eject(&machine, "it", &options);
        assert_eq!(report.error_kind(), Some(ErrorKind::Busy), "{:?}", report.error());
        let error = report.error().unwrap();
        assert_eq!(error.scan().unwrap().blockers[0].kind, BlockerKind::Namespace);
        assert!(machine.is_mounted(stick) && !machine.was_ejected(stick));
    }
}

#[test]
fn nothing_is_on_the_medium_before_the_flush_reaches_it() {
    let (machine, stick) = one_stick(Semantics::native());
    assert!(machine.medium_contents(stick).is_empty());
    assert_eq!(machine.unwritten(stick), 1 << 20);
    let flushed =
        unmoor::flush(&machine, &"sim:it".parse().unwrap(), &Options::default(), &mut |_| {});
    assert_eq!(flushed.error_kind(), None);
    assert_eq!(machine.medium_contents(stick), machine.written(stick));
    assert!(machine.is_mounted(stick));
}

#[test]
fn an_interrupted_flush_reports_what_is_not_written() {
    let machine = Simulated::new(Semantics::native());
    let volume = VolumeSetup::partition("ext4").mounted("/m").dirty("/f", 3_100_000);
    let fault = Fault::new(Op::Flush, FaultKind::Hang);
    machine.plug(&DriveSetup::stick("it").volume(volume).fault(fault));
    let error = eject(&machine, "it", &Options::default()).error().cloned().unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.detail().contains("not written to the end: sim:it1"), "{error}");
    assert!(error.detail().contains("3.1 MB are not on the drive yet"), "{error}");
}

#[test]
fn only_removable_drives_are_listed_unless_all_are_requested() {
    let machine = Simulated::demo();
    let names =
        |all| -> Vec<String> { list(&machine, all).unwrap().into_iter().map(|d| d.name).collect() };
    assert!(!names(false).contains(&"sim:system".to_string()));
    assert!(names(true).contains(&"sim:system".to_string()));
    for name in names(true) {
        assert!(machine.find(&name).is_some());
    }
}

#[test]
fn every_search_for_blockers_follows_a_refusal() {
    both(|machine| {
        eject(machine, "busy", &Options::default());
        eject(machine, "stick", &Options::default());
        let searches = machine.journal().iter().filter(|e| e.op == Op::Blockers).count();
        assert_eq!(searches, 1);
    });
}
