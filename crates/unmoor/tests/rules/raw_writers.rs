//! While a program writes to the device itself, past its file systems, the medium stays in: the write
//! would be torn. A program that only reads the device does not block.

use crate::run::Ran;
use crate::scenario::{Scenario, cases, peaceful};
use proptest::prelude::*;
use unmoor::{ErrorKind, Goal, Step};
use unmoor_simulated::Effect;

/// Nothing but this program uses the drive.
fn alone(mut scenario: Scenario, raw: Option<bool>) -> Ran {
    scenario.raw = raw;
    scenario.holders.clear();
    scenario.busy_until = None;
    scenario.elsewhere = false;
    scenario.comes_late = false;
    scenario.requested.force = false;
    scenario.requested.kill = None;
    Ran::of(&scenario)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_ejected_while_a_program_writes_to_the_device(
        mut scenario in peaceful(),
        power_off: bool,
    ) {
        scenario.requested.goal = if power_off { Goal::PowerOff } else { Goal::Eject };
        let ran = alone(scenario, Some(true));
        let touched = |e: Effect| e.releases_medium() || matches!(e, Effect::Dismounted { .. });
        prop_assert!(!ran.journal().iter().any(|e| e.effect.is_some_and(touched)));
        let error = ran.report.as_ref().unwrap().error().expect("it is not released");
        if error.step() == Some(Step::Lock) && error.kind() == ErrorKind::Busy {
            let blockers = &error.scan().unwrap().blockers;
            prop_assert_eq!(blockers[0].process.as_ref().map(|p| p.pid), Some(3000));
        }
    }

    #[test]
    fn a_reader_of_the_device_changes_nothing(scenario in peaceful()) {
        let with = alone(scenario.clone(), Some(false));
        let without = alone(scenario, None);
        let outcome = |ran: &Ran| ran.report.as_ref().unwrap().error_kind();
        prop_assert_eq!(outcome(&with), outcome(&without));
    }

    #[test]
    fn a_dismount_only_allows_writers_of_the_device(mut scenario in peaceful()) {
        scenario.requested.goal = Goal::Dismount;
        let with = alone(scenario.clone(), Some(true));
        let without = alone(scenario, None);
        prop_assert_eq!(with.report.as_ref().unwrap().error_kind(), without.report.as_ref().unwrap().error_kind());
    }
}
