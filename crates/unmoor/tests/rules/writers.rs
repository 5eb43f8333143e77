//! While a program writes to the drive itself, past its file systems, the medium stays in: what it writes
//! would be torn. Who only reads there is in nobody's way.

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
    scenario.wish.force = false;
    scenario.wish.kill = None;
    Ran::of(&scenario)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_let_go_while_a_program_writes_to_the_drive_itself(
        mut scenario in peaceful(),
        power_off: bool,
    ) {
        scenario.wish.goal = if power_off { Goal::PowerOff } else { Goal::Eject };
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
    fn who_only_reads_the_drive_itself_changes_nothing(scenario in peaceful()) {
        let with = alone(scenario.clone(), Some(false));
        let without = alone(scenario, None);
        let outcome = |ran: &Ran| ran.report.as_ref().unwrap().error_kind();
        prop_assert_eq!(outcome(&with), outcome(&without));
    }

    #[test]
    fn whoever_dismounts_only_may_write_to_the_drive_himself(mut scenario in peaceful()) {
        scenario.wish.goal = Goal::Dismount;
        let with = alone(scenario.clone(), Some(true));
        let without = alone(scenario, None);
        prop_assert_eq!(with.report.as_ref().unwrap().error_kind(), without.report.as_ref().unwrap().error_kind());
    }
}
