//! Every wait has a deadline and ends at once when cancelled, on the simulated clock.

use crate::run::{Ran, ms};
use crate::scenario::{FaultSpec, anything, cases};
use proptest::prelude::*;
use std::time::Duration;
use unmoor::{ErrorKind, Options, Outcome};
use unmoor_simulated::{Effect, FaultKind, Op};

/// Time after a deadline: the scan for blockers (2 s), which is the answer the user waits for, and the
/// operations that never wait.
const SLACK: Duration = Duration::from_millis(2200);

/// Time after cancelling: the pause, or the part of a flush in progress.
const CANCEL_TIME: Duration = Duration::from_millis(700);

fn took(ran: &Ran) -> Duration {
    unmoor::Clock::now(&ran.fixture.machine)
}

/// Returns a fault at an operation that a drive may not answer.
fn hang() -> impl Strategy<Value = FaultSpec> {
    let at = prop::sample::select(vec![
        Op::Flush,
        Op::FlushDrive,
        Op::Lock,
        Op::Unmount,
        Op::Dismount,
        Op::Claim,
        Op::Perform,
        Op::Blockers,
    ]);
    (at, 0..3u32).prop_map(|(at, after)| FaultSpec {
        at,
        kind: FaultKind::Hang,
        after,
        times: u32::MAX,
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_timeout_is_respected(mut scenario in anything(), hang in hang(), timeout in 0..8000u64) {
        scenario.faults.push(hang);
        scenario.requested.timeout = Some(timeout);
        let ran = Ran::of(&scenario);
        prop_assert!(took(&ran) <= ms(timeout) + SLACK, "{:?}", took(&ran));
    }

    #[test]
    fn without_a_timeout_every_step_still_ends(mut scenario in anything(), hang in hang()) {
        scenario.faults.push(hang);
        scenario.requested.timeout = None;
        let ran = Ran::of(&scenario);
        // The first attempt to lock has a time of its own. A scan for blockers may follow it.
        let wait = ms(scenario.requested.wait).max(Options::FIRST_LOCK_TIMEOUT);
        for moment in &ran.moments {
            let took = moment.to - moment.from;
            // A flush that makes progress may take its time: all dirty data, at 1 MiB/s or more.
            let least = match moment.report.step {
                unmoor::Step::Lock => wait + Options::DEFAULT_STEP_TIMEOUT,
                unmoor::Step::Dismount => ms(4500) + Options::DEFAULT_STEP_TIMEOUT * 2,
                _ => ms(4500) + Options::DEFAULT_STEP_TIMEOUT,
            };
            prop_assert!(took <= least + ms(200), "{:?}: {:?}", moment.report.step, took);
        }
    }

    #[test]
    fn cancelling_takes_effect_at_once(
        mut scenario in anything(),
        hang in prop::option::weighted(0.7, hang()),
        at in 0..4000u64,
    ) {
        scenario.cancel_at = Some(at);
        scenario.panic_at = None;
        scenario.faults.extend(hang);
        let ran = Ran::of(&scenario);
        prop_assert!(took(&ran) <= ms(at) + CANCEL_TIME, "{:?}", took(&ran));
        for entry in ran.journal() {
            // An operation in progress may still be answered.
            let late = entry.at > ms(at + 1) && entry.effect.is_some_and(Effect::releases_medium);
            prop_assert!(!late, "{:?} after the requested to stop", entry);
        }
    }

    #[test]
    fn a_busy_volume_is_retried_for_the_wait_and_no_longer(
        mut scenario in crate::scenario::peaceful(),
        free_at in 0..5000u64,
        wait in 0..5000u64,
    ) {
        scenario.holders.clear();
        scenario.elsewhere = false;
        scenario.comes_late = false;
        scenario.busy_until = Some(free_at);
        scenario.requested.wait = wait;
        scenario.requested.timeout = None;
        scenario.requested.force = false;
        let ran = Ran::of(&scenario);
        let Some(lock) = ran.moment(unmoor::Step::Lock) else { return Ok(()) };
        let wait = ms(wait).max(Options::MIN_RETRY);
        let mounted = ran.fixture.before.volumes.first().is_some_and(|v| !v.mounts.is_empty());
        let outcome = &ran.report.as_ref().unwrap().outcome;
        let busy = matches!(outcome, Outcome::Failed(e) if e.kind() == ErrorKind::Busy);
        if mounted && lock.from + wait + ms(50) < ms(free_at) {
            prop_assert!(busy, "{:?}", outcome);
            prop_assert!(lock.to - lock.from <= wait + ms(50), "{:?}", lock.to - lock.from);
        }
        if lock.from + wait > ms(free_at + 50) {
            prop_assert!(!busy, "{:?}", outcome);
        }
    }

    #[test]
    fn a_lock_without_an_answer_times_out_and_reports_the_earlier_blocker(
        mut scenario in crate::scenario::peaceful(),
        after in 0..6u32,
        wait in 0..8000u64,
    ) {
        scenario.busy_until = Some(60_000);
        // One lock is examined; terminating programs would try another.
        scenario.requested.kill = None;
        scenario.requested.wait = wait;
        scenario.requested.timeout = None;
        scenario.requested.force = false;
        scenario.faults = vec![FaultSpec {
            at: Op::Lock,
            kind: FaultKind::Hang,
            after,
            times: u32::MAX,
        }];
        let ran = Ran::of(&scenario);
        let Some(lock) = ran.moment(unmoor::Step::Lock) else { return Ok(()) };
        let most = ms(wait).max(Options::FIRST_LOCK_TIMEOUT) + ms(50);
        prop_assert!(lock.to - lock.from <= most, "{:?}", lock.to - lock.from);
        let journal = ran.journal();
        let mut locks = journal.iter().filter(|e| e.op == Op::Lock).map(|e| e.answer);
        let was_busy = locks.any(|answer| answer == Err(ErrorKind::Busy));
        let outcome = &ran.report.as_ref().unwrap().outcome;
        let Outcome::Failed(error) = outcome else { return Ok(()) };
        if error.step() == Some(unmoor::Step::Lock) {
            prop_assert_eq!(error.kind() == ErrorKind::Busy, was_busy, "{}", error);
        }
    }
}
