//! No lock and no claim remains, whatever happens.

use crate::run::Ran;
use crate::scenario::{FaultSpec, anything, cases};
use proptest::prelude::*;
use unmoor::{Status, Step};
use unmoor_simulated::{FaultKind, Op};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_lock_remains_for_any_outcome(scenario in anything()) {
        let ran = Ran::of(&scenario);
        prop_assert_eq!(ran.fixture.machine.locks_held(), 0);
    }

    #[test]
    fn a_panic_in_the_event_handler_leaves_no_lock(mut scenario in anything(), event in 0..16usize) {
        scenario.panic_at = Some(event);
        let ran = Ran::of(&scenario);
        prop_assert_eq!(ran.fixture.machine.locks_held(), 0);
    }

    #[test]
    fn locks_are_released_before_a_failure_is_reported(scenario in anything()) {
        let ran = Ran::of(&scenario);
        // Not by dropping alone: a report that says "unlock" is only written once it is so.
        let unlock = ran.moment(Step::Unlock).filter(|m| m.report.status != Status::Failed);
        prop_assert!(unlock.is_none_or(|m| m.locks_held == 0));
        let locked = ran.moment(Step::Lock).is_some_and(|m| m.report.status == Status::Done);
        if locked && ran.report.is_some() {
            prop_assert!(ran.moment(Step::Unlock).is_some(), "no unlock step in the report");
        }
    }

    #[test]
    fn a_failing_unlock_is_reported_and_still_unlocks(mut scenario in anything()) {
        let kind = FaultKind::IoError;
        scenario.faults = vec![FaultSpec { at: Op::Unlock, kind, after: 0, times: u32::MAX }];
        let ran = Ran::of(&scenario);
        prop_assert_eq!(ran.fixture.machine.locks_held(), 0);
        prop_assert!(!(ran.is_released() && ran.failed(Op::Unlock).next().is_some()));
    }
}
