//! The report says exactly what happened: every step is compared with the journal of the machine.

use crate::run::{Moment, Ran};
use crate::scenario::{FaultSpec, Scenario, Sort, anything, cases, peaceful};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use unmoor::{Action, ErrorKind, Goal, Medium, Outcome, Presence, Report, Status, Step};
use unmoor_simulated::{Effect, FaultKind, Op, Prevention};

fn lets_go(moment: &Moment) -> bool {
    moment.journal.iter().any(|e| e.effect.is_some_and(Effect::releases_medium))
}

fn asked(moment: &Moment, op: Op) -> impl Iterator<Item = &unmoor_simulated::JournalEntry> {
    moment.journal.iter().filter(move |e| e.op == op)
}

fn flush_is_true(ran: &Ran, moment: &Moment) -> TestCaseResult {
    let tried = asked(moment, Op::Flush).count();
    match moment.report.status {
        Status::Done => {
            prop_assert_eq!(tried, ran.fixture.before.volumes.len());
            prop_assert_eq!(asked(moment, Op::FlushDrive).count(), 1);
            prop_assert!(moment.journal.iter().all(|e| e.answer.is_ok()));
        }
        Status::Skipped => {
            prop_assert!(ran.fixture.before.read_only);
            prop_assert!(moment.journal.is_empty());
        }
        _ => {}
    }
    Ok(())
}

fn lock_is_true(ran: &Ran, moment: &Moment) -> TestCaseResult {
    match moment.report.status {
        Status::Failed => {
            let stuck = asked(moment, Op::Unlock).any(|e| e.answer.is_err());
            prop_assert!(stuck || moment.locks_held == 0);
        }
        // Skipped: nothing was mounted, and so every volume was found idle too.
        _ => {
            let since =
                moment.journal.iter().rposition(|e| e.op == Op::Unlock).map_or(0, |i| i + 1);
            let idle = moment.journal[since..].iter().filter(|e| e.effect == Some(Effect::Locked));
            let (idle, before) = (idle.count(), ran.fixture.before.volumes.len());
            // A mapping that a dismount has closed before it was refused is closed for good.
            let again = ran.moments.iter().any(|m| {
                m.report.step == Step::Dismount && m.to <= moment.from && m.from < moment.from
            });
            prop_assert!(idle == before || again && idle < before);
        }
    }
    Ok(())
}

fn dismount_is_true(scenario: &Scenario, moment: &Moment) -> TestCaseResult {
    let claimed = asked(moment, Op::Claim).any(|e| e.answer.is_ok() || scenario.requested.discard);
    if moment.report.status != Status::Failed {
        prop_assert!(claimed);
        prop_assert!(!moment.mounted);
    }
    Ok(())
}

fn eject_is_true(moment: &Moment) -> TestCaseResult {
    let told = asked(moment, Op::Perform).next();
    match moment.report.status {
        Status::Done => prop_assert!(told.is_some_and(|e| e.answer.is_ok())),
        Status::Skipped | Status::NotRequested => prop_assert!(told.is_none()),
        _ => prop_assert!(told.is_none_or(|e| e.answer.is_err())),
    }
    Ok(())
}

fn verify_is_true(ran: &Ran, scenario: &Scenario, moment: &Moment) -> TestCaseResult {
    let Some(report) = &ran.report else { return Ok(()) };
    let out = matches!(moment.presence, Presence::Absent | Presence::TrayOpen | Presence::Gone);
    let stopped = moment.presence == Presence::Stopped;
    match moment.report.status {
        Status::Done => match report.action {
            Some(Action::Nothing) => prop_assert!(!moment.mounted),
            Some(Action::PowerOff) => prop_assert_eq!(moment.presence, Presence::Gone),
            Some(Action::Eject) => {
                prop_assert!(
                    out || (stopped && ran.fixture.before.kind == unmoor::DriveKind::Disk)
                );
            }
            _ => prop_assert!(out || stopped),
        },
        Status::Skipped => prop_assert!(scenario.drive.silent),
        Status::NotRequested => prop_assert!(!scenario.requested.verify),
        _ => {}
    }
    if let (Some(seen), false) = (report.medium_after, scenario.drive.silent) {
        prop_assert_eq!(seen, moment.presence);
    }
    Ok(())
}

/// A failed step that the user's wishes or his rights make bearable.
fn tolerated(step: &unmoor::StepReport, scenario: &Scenario) -> bool {
    match step.step {
        Step::Flush => true,
        Step::Lock | Step::Dismount => {
            scenario.requested.force || scenario.requested.kill.is_some()
        }
        _ => false,
    }
}

/// Returns true if a lock or a dismount was tried again, and done at last: a user that comes in between may leave.
fn is_done_at_last(failed: &unmoor::StepReport, report: &Report) -> bool {
    let last = report.steps.iter().rfind(|report| report.step == failed.step);
    matches!(failed.step, Step::Lock | Step::Dismount)
        && last.is_some_and(|last| last.status == Status::Done)
}

fn outcome_is_true(report: &Report, scenario: &Scenario) -> TestCaseResult {
    let failed: Vec<_> = report.steps.iter().filter(|s| s.status == Status::Failed).collect();
    match &report.outcome {
        Outcome::Completed => {
            prop_assert_eq!(report.error_kind(), None);
            let is_allowed = |s: &_| tolerated(s, scenario) || is_done_at_last(s, report);
            prop_assert!(failed.iter().all(|s| is_allowed(s)), "{:?}", report.steps);
            let last = report.steps.last().map(|s| s.step);
            prop_assert_eq!(last, Some(Step::Unlock));
        }
        Outcome::Failed(error) => {
            prop_assert_eq!(report.error_kind(), Some(error.kind()));
            let step = error.step();
            prop_assert!(step.is_some());
            // Refusals of the plan and of opening the drive have no step of their own.
            if step != Some(Step::Resolve) {
                prop_assert!(failed.iter().any(|s| Some(s.step) == step), "{:?}", error);
            }
            prop_assert!(error.kind() != ErrorKind::Busy || error.scan().is_some());
            prop_assert!(!error.to_string().is_empty());
        }
        Outcome::Planned => prop_assert!(false, "a release plans only"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn every_step_report_matches_the_machine(scenario in anything()) {
        let ran = Ran::of(&scenario);
        for moment in &ran.moments {
            match moment.report.step {
                Step::Flush => flush_is_true(&ran, moment)?,
                Step::Lock => lock_is_true(&ran, moment)?,
                Step::Dismount => dismount_is_true(&scenario, moment)?,
                Step::Eject | Step::PowerOff => eject_is_true(moment)?,
                Step::Verify => verify_is_true(&ran, &scenario, moment)?,
                Step::Unlock => {
                    let failed = moment.report.status == Status::Failed;
                    prop_assert!(failed || moment.locks_held == 0);
                }
                _ => {}
            }
            let letting_go = matches!(moment.report.step, Step::Eject | Step::PowerOff)
                && moment.report.status == Status::Done;
            prop_assert!(letting_go || !lets_go(moment), "{:?} ejected", moment.report.step);
            prop_assert_eq!(moment.report.took, moment.to - moment.from);
        }
    }

    #[test]
    fn the_report_has_the_steps_of_the_events(scenario in anything()) {
        let ran = Ran::of(&scenario);
        if let Some(report) = &ran.report {
            let told: Vec<_> = ran.moments.iter().map(|m| m.report.clone()).collect();
            prop_assert_eq!(&told, &report.steps);
            prop_assert_eq!(&ran.warnings, &report.warnings);
        }
    }

    #[test]
    fn outcome_and_steps_agree(scenario in anything()) {
        let ran = Ran::of(&scenario);
        if let Some(report) = &ran.report {
            outcome_is_true(report, &scenario)?;
        }
    }

    #[test]
    fn released_means_that_the_medium_is_out(mut scenario in anything()) {
        scenario.requested.verify = true;
        scenario.drive.silent = false;
        let ran = Ran::of(&scenario);
        if ran.is_released() {
            let verify = ran.moment(Step::Verify);
            prop_assert!(verify.is_some_and(|m| m.report.status == Status::Done));
            let (machine, drive) = (&ran.fixture.machine, ran.fixture.drive);
            match ran.report.as_ref().unwrap().action.unwrap() {
                Action::PowerOff => prop_assert!(!machine.is_attached(drive)),
                Action::Nothing => prop_assert!(!verify.unwrap().mounted),
                Action::Stop => prop_assert_ne!(machine.presence(drive), Presence::Present),
                _ => {
                    let gone = machine.was_ejected(drive);
                    prop_assert!(gone || machine.presence(drive) == Presence::Stopped);
                }
            }
        }
    }

    #[test]
    fn a_drive_that_lies_fails_verification(mut scenario in peaceful()) {
        scenario.drive.silent = false;
        scenario.drive.prevention = Prevention::None;
        scenario.requested.verify = true;
        scenario.requested.timeout = None;
        let kind = FaultKind::Lie;
        scenario.faults = vec![FaultSpec { at: Op::Perform, kind, after: 0, times: u32::MAX }];
        let ran = Ran::of(&scenario);
        let report = ran.report.as_ref().unwrap();
        let told = ran.moments.iter().any(|m| asked(m, Op::Perform).any(|e| e.answer.is_ok()));
        if told {
            prop_assert_eq!(report.error().map(|e| e.kind()), Some(ErrorKind::NotVerified));
            prop_assert_eq!(report.medium_after, Some(Presence::Present));
            prop_assert_eq!(ran.fixture.machine.medium(ran.fixture.drive), Medium::Present);
        }
    }

    #[test]
    fn an_honest_idle_drive_is_always_released(mut scenario in peaceful()) {
        scenario.holders.clear();
        scenario.busy_until = None;
        scenario.elsewhere = false;
        scenario.comes_late = false;
        scenario.requested.timeout = None;
        if scenario.drive.prevention == Prevention::Stuck {
            scenario.drive.prevention = Prevention::Set;
        }
        let hotplug = matches!(scenario.drive.sort, Sort::Stick | Sort::Disk);
        if scenario.requested.goal == Goal::PowerOff && !hotplug {
            scenario.requested.goal = Goal::Eject;
        }
        let ran = Ran::of(&scenario);
        prop_assert!(ran.is_released(), "{:?}", ran.report);
    }
}
