//! Termination: only programs that block the drive and that the user confirmed are terminated, each is
//! asked to exit first, and none is terminated in vain.

use crate::batch::array_beside_own;
use crate::run::{Ran, ms, target};
use crate::scenario::{KillSpec, Scenario, anything, cases, peaceful};
use proptest::prelude::*;
use std::collections::BTreeSet;
use unmoor::{
    BatchItem, Confirm, ErrorKind, Kill, Operation, Outcome, Role, Status, Step, SystemUse, Target,
    TerminationResult, release, run_batch,
};
use unmoor_simulated::{
    DriveSetup, Semantics, SignalBehavior, SignalRecord, Simulated, VolumeSetup,
};

/// Returns the options of a termination.
fn requested() -> impl Strategy<Value = KillSpec> {
    (0..3000u64, prop::option::of((any::<bool>(), 0..2000u64)))
        .prop_map(|(grace, answer)| KillSpec { grace, answer, services: false })
}

/// Returns a release that may terminate programs with open files, early and late ones.
fn killing(scenario: impl Strategy<Value = Scenario>) -> impl Strategy<Value = Scenario> {
    (scenario, requested()).prop_map(|(mut scenario, requested)| {
        scenario.requested.kill = Some(requested);
        scenario
    })
}

fn told(ran: &Ran) -> Vec<SignalRecord> {
    ran.fixture.machine.signals_received()
}

/// Returns the role of the process with this number. Those of the scenario start at 1000; a respawned
/// process has 10,000 more.
fn role(scenario: &Scenario, pid: u32) -> Role {
    let index = pid as usize % 10_000;
    index.checked_sub(1000).and_then(|i| scenario.holders.get(i)).map_or(Role::Program, |h| h.role)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn only_programs_are_signaled(scenario in killing(anything())) {
        for one in told(&Ran::of(&scenario)) {
            prop_assert_eq!(role(&scenario, one.pid), Role::Program, "{:?}", one);
        }
    }

    #[test]
    fn a_service_that_was_stopped_is_started_again_once(mut scenario in killing(anything())) {
        scenario.semantics = Semantics::Windows;
        scenario.requested.kill.as_mut().unwrap().services = true;
        for holder in &mut scenario.holders {
            (holder.role, holder.behavior) = (Role::Service, SignalBehavior::Obeys(ms(10)));
        }
        let ran = Ran::of(&scenario);
        let asked: BTreeSet<u32> = told(&ran).iter().map(|one| one.pid).collect();
        let restarted = ran.fixture.machine.restarted_services();
        prop_assert!(told(&ran).iter().all(|one| !one.forced), "{:?}", told(&ran));
        prop_assert_eq!(restarted.iter().copied().collect::<BTreeSet<_>>().len(), restarted.len());
        if let Some(report) = &ran.report {
            let exited = report.ended.iter().filter(|one| one.result == TerminationResult::Exited);
            let exited: BTreeSet<u32> = exited.map(|one| one.process.pid).collect();
            let restarted = restarted.iter().copied().collect();
            prop_assert!(exited.is_subset(&restarted), "{:?} {:?}", exited, restarted);
            prop_assert!(restarted.is_subset(&asked), "{:?} {:?}", restarted, asked);
        }
    }

    #[test]
    fn no_process_is_signaled_without_the_option(mut scenario in anything()) {
        scenario.requested.kill = None;
        prop_assert_eq!(told(&Ran::of(&scenario)), []);
    }

    #[test]
    fn only_confirmed_processes_are_signaled(scenario in killing(anything())) {
        let ran = Ran::of(&scenario);
        if scenario.requested.kill.as_ref().is_some_and(|kill| kill.answer.is_some()) {
            let asked = ran.fixture.asked.lock().unwrap();
            let agreed: BTreeSet<(u32, u64)> =
                asked.iter().filter(|(_, yes)| *yes).flat_map(|(shown, _)| shown.clone()).collect();
            for one in told(&ran) {
                prop_assert!(agreed.contains(&(one.pid, one.started)), "{:?} of {:?}", one, agreed);
            }
        }
    }

    #[test]
    fn a_process_that_reuses_a_pid_is_not_signaled(mut scenario in killing(peaceful())) {
        for holder in &mut scenario.holders {
            (holder.role, holder.behavior) = (Role::Program, SignalBehavior::Replaced);
        }
        for one in told(&Ran::of(&scenario)) {
            prop_assert!(role(&scenario, one.pid) == Role::Program && one.started == 0, "{:?}", one);
        }
    }

    #[test]
    fn no_process_is_killed_before_its_grace_period(scenario in killing(anything())) {
        let ran = Ran::of(&scenario);
        let grace = ms(scenario.requested.kill.as_ref().unwrap().grace);
        let told = told(&ran);
        for made in told.iter().filter(|t| t.forced) {
            let asked = told.iter().rfind(|t| !t.forced && t.pid == made.pid && t.at <= made.at);
            prop_assert!(asked.is_some_and(|asked| made.at >= asked.at + grace), "{:?}", told);
        }
    }

    #[test]
    fn a_process_that_exits_in_time_is_not_killed(mut scenario in killing(peaceful())) {
        let grace = ms(scenario.requested.kill.as_ref().unwrap().grace);
        for holder in &mut scenario.holders {
            holder.behavior = SignalBehavior::Obeys(grace / 2);
        }
        prop_assert!(told(&Ran::of(&scenario)).iter().all(|t| !t.forced));
    }

    #[test]
    fn no_process_is_terminated_in_vain(mut scenario in killing(peaceful())) {
        scenario.requested.force = false;
        scenario.comes_late = false;
        // One service blocks the drive all the time.
        if let Some(first) = scenario.holders.first_mut() {
            (first.role, first.from, first.until) = (Role::Service, 0, None);
            let volume = first.volume;
            scenario.holders.iter_mut().for_each(|holder| holder.volume = volume);
        }
        let ran = Ran::of(&scenario);
        let service_is_in_the_way = !ran.fixture.handles.is_empty();
        if service_is_in_the_way {
            prop_assert_eq!(told(&ran), []);
        }
    }

    #[test]
    fn programs_alone_never_block_a_release(mut scenario in killing(peaceful())) {
        scenario.requested.kill.as_mut().unwrap().answer = None;
        scenario.requested.timeout = None;
        scenario.busy_until = None;
        scenario.elsewhere = false;
        scenario.comes_late = false;
        for holder in &mut scenario.holders {
            holder.from = 0;
            holder.role = Role::Program;
            if !matches!(holder.behavior, SignalBehavior::Obeys(_) | SignalBehavior::Stubborn | SignalBehavior::Replaced) {
                holder.behavior = SignalBehavior::Stubborn;
            }
        }
        let ran = Ran::of(&scenario);
        let error = ran.report.as_ref().unwrap().error().map(|e| e.kind());
        prop_assert_ne!(error, Some(ErrorKind::Busy), "{:?}", ran.report);
    }

    #[test]
    fn the_report_lists_every_signaled_process_and_its_result(scenario in killing(anything())) {
        let ran = Ran::of(&scenario);
        if let Some(report) = &ran.report {
            let told = told(&ran);
            let mut truth: Vec<(u32, u64)> =
                told.iter().filter(|t| !t.forced).map(|t| (t.pid, t.started)).collect();
            let mut said: Vec<_> =
                report.ended.iter().map(|e| (e.process.pid, e.process.started)).collect();
            truth.sort_unstable();
            said.sort_unstable();
            prop_assert_eq!(said, truth);
            for ended in &report.ended {
                let made = told.iter().any(|t| t.forced && t.pid == ended.process.pid);
                match ended.result {
                    TerminationResult::Killed | TerminationResult::Unkillable => prop_assert!(made, "{:?}", ended),
                    TerminationResult::Exited => prop_assert!(!made, "{:?}", ended),
                    // The time ran out, or the release was cancelled.
                    _ => prop_assert!(report.error().is_some() && !made, "{:?}", ended),
                }
            }
            let told_to = ran.moments.iter().any(|m| {
                m.report.step == Step::Kill && m.report.status != Status::Skipped
            });
            prop_assert!(told.is_empty() || told_to);
        }
    }

    #[test]
    fn a_respawning_process_is_not_terminated_forever(mut scenario in killing(peaceful())) {
        scenario.requested.kill.as_mut().unwrap().answer = None;
        scenario.comes_late = false;
        for holder in &mut scenario.holders {
            (holder.role, holder.behavior) = (Role::Program, SignalBehavior::Respawns);
        }
        let ran = Ran::of(&scenario);
        prop_assert!(told(&ran).len() <= 3 * scenario.holders.len(), "{:?}", told(&ran));
    }
}

#[test]
fn scenarios_reach_every_termination_result() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut ends: Vec<TerminationResult> = Vec::new();
    for number in 0..600 {
        let scenario = killing(anything()).new_tree(&mut runner).expect("generates");
        let mut scenario = scenario.current();
        match number % 6 {
            // The release is cancelled during the grace period.
            0 => {
                scenario.requested.kill =
                    Some(KillSpec { grace: 3000, answer: None, services: false });
                scenario.cancel_at = Some(1500);
            }
            1 => scenario.holders.iter_mut().for_each(|h| h.behavior = SignalBehavior::Stuck),
            2 => scenario.holders.iter_mut().for_each(|h| h.behavior = SignalBehavior::Stubborn),
            _ => {}
        }
        let ran = Ran::of(&scenario);
        ends.extend(ran.report.iter().flat_map(|r| r.ended.iter().map(|e| e.result)));
    }
    for (how, least) in [
        (TerminationResult::Exited, 15),
        (TerminationResult::Killed, 5),
        (TerminationResult::Signaled, 2),
        (TerminationResult::Unkillable, 2),
    ] {
        let seen = ends.iter().filter(|e| **e == how).count();
        assert!(seen >= least, "{how:?}: {seen}");
    }
}

#[test]
fn swap_that_is_switched_off_does_not_prevent_termination() {
    let machine = Simulated::new(Semantics::Linux);
    let volume = VolumeSetup::partition("ext4").mounted("/m");
    let drive = machine
        .plug(&DriveSetup::stick("it").system(&[SystemUse::Swap("sim:it2".into())]).volume(volume));
    machine.open_file(drive, "sim:it1", 1000, "/letter").unwrap();
    let kill = Kill::new(ms(500), Confirm::Always);
    let options = options!(kill: Some(kill), swapoff: true);
    let report = release(&machine, &target(), &options, &mut |_| {});
    assert_eq!(report.outcome, Outcome::Completed, "{report:#?}");
    assert_eq!(report.ended.len(), 1);
}

/// Two members of an array: one is used by a program, the other by something else.
#[test]
fn no_process_is_terminated_while_another_member_stays_blocked() {
    let (machine, [a, b]) = array_beside_own();
    machine.open_file(a, "sim:a1", 1000, "/letter").unwrap();
    machine.mount_elsewhere(b, "sim:b1", "a container");
    let kill = Kill::new(ms(500), Confirm::Always);
    let options = options!(kill: Some(kill));
    let targets = ["a", "b"].map(|name| Target::Simulated(name.into()));
    let jobs: Vec<BatchItem<'_>> =
        targets.iter().map(|target| BatchItem::new(&machine, target)).collect();
    let reports = run_batch(Operation::Release, &jobs, &options, &mut |_, _| {});
    assert!(reports.iter().all(|r| r.error_kind() == Some(ErrorKind::Busy)), "{reports:#?}");
    assert!(reports.iter().all(|r| r.ended.is_empty()), "ended in vain: {reports:#?}");
}
