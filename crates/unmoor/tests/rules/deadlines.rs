//! Every wait has a deadline, and ends at once at the user's wish: on the simulated clock.

use crate::run::{Ran, ms};
use crate::scenario::{FaultSpec, anything, cases};
use proptest::prelude::*;
use std::time::Duration;
use unmoor::{ErrorKind, Options, Outcome};
use unmoor_simulated::{Effect, FaultKind, Op};

/// Past a deadline: the search for what is in the way, which is the answer the user waits for (2 s),
/// and what the operations that never wait take themselves.
const SLACK: Duration = Duration::from_millis(2200);

/// Past a wish to stop: the pause or the piece of a flush under way.
const AT_ONCE: Duration = Duration::from_millis(700);

fn took(ran: &Ran) -> Duration {
    unmoor::Clock::now(&ran.stage.machine)
}

/// Where a drive may give no answer at all.
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
    fn a_timeout_is_kept(mut scenario in anything(), hang in hang(), timeout in 0..8000u64) {
        scenario.faults.push(hang);
        scenario.wish.timeout = Some(timeout);
        let ran = Ran::of(&scenario);
        prop_assert!(took(&ran) <= ms(timeout) + SLACK, "{:?}", took(&ran));
    }

    #[test]
    fn without_a_timeout_every_step_still_ends(mut scenario in anything(), hang in hang()) {
        scenario.faults.push(hang);
        scenario.wish.timeout = None;
        let ran = Ran::of(&scenario);
        let wait = ms(scenario.wish.wait).max(Options::MIN_RETRY);
        for moment in &ran.moments {
            let took = moment.to - moment.from;
            // What moves may take its time: all there is to write, at 1 MiB/s or more.
            let least = match moment.report.step {
                unmoor::Step::Lock => wait + Options::DEFAULT_STEP_TIMEOUT,
                unmoor::Step::Dismount => ms(4500) + Options::DEFAULT_STEP_TIMEOUT * 2,
                _ => ms(4500) + Options::DEFAULT_STEP_TIMEOUT,
            };
            prop_assert!(took <= least + ms(200), "{:?}: {:?}", moment.report.step, took);
        }
    }

    #[test]
    fn a_wish_to_stop_is_followed_at_once(
        mut scenario in anything(),
        hang in prop::option::weighted(0.7, hang()),
        at in 0..4000u64,
    ) {
        scenario.cancel_at = Some(at);
        scenario.panic_at = None;
        scenario.faults.extend(hang);
        let ran = Ran::of(&scenario);
        prop_assert!(took(&ran) <= ms(at) + AT_ONCE, "{:?}", took(&ran));
        for entry in ran.journal() {
            // What was asked of the drive before the wish may still be answered.
            let late = entry.at > ms(at + 1) && entry.effect.is_some_and(Effect::releases_medium);
            prop_assert!(!late, "{:?} after the wish to stop", entry);
        }
    }

    #[test]
    fn a_locked_volume_is_waited_for_as_long_as_wished_and_no_longer(
        mut scenario in crate::scenario::peaceful(),
        free_at in 0..5000u64,
        wait in 0..5000u64,
    ) {
        scenario.holders.clear();
        scenario.elsewhere = false;
        scenario.comes_late = false;
        scenario.busy_until = Some(free_at);
        scenario.wish.wait = wait;
        scenario.wish.timeout = None;
        scenario.wish.force = false;
        let ran = Ran::of(&scenario);
        let Some(lock) = ran.moment(unmoor::Step::Lock) else { return Ok(()) };
        let wait = ms(wait).max(Options::MIN_RETRY);
        let mounted = ran.stage.before.volumes.first().is_some_and(|v| !v.mounts.is_empty());
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
    fn a_lock_that_gets_no_answer_is_given_up_and_says_what_was_in_the_way_before(
        mut scenario in crate::scenario::peaceful(),
        after in 0..6u32,
        wait in 0..8000u64,
    ) {
        scenario.busy_until = Some(60_000);
        // One lock is looked at; ending programs tries another.
        scenario.wish.kill = None;
        scenario.wish.wait = wait;
        scenario.wish.timeout = None;
        scenario.wish.force = false;
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
