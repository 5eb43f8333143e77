//! A dry run tells what a release would do, and does nothing.

use crate::run::{Ran, Stage, target};
use crate::scenario::{anything, cases, peaceful};
use proptest::prelude::*;
use unmoor::{Outcome, Status, dry_run};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_dry_run_changes_nothing(scenario in anything()) {
        let stage = Stage::set(&scenario);
        let report = dry_run(&stage.machine, &target(), &stage.options);
        prop_assert!(stage.machine.journal().is_empty());
        prop_assert_eq!(stage.machine.describe(stage.drive).unwrap(), stage.before);
        prop_assert!(matches!(report.outcome, Outcome::Planned | Outcome::Failed(_)));
    }

    #[test]
    fn a_release_takes_the_steps_that_a_dry_run_tells(mut scenario in peaceful()) {
        // Whether somebody has to be ended cannot be told before.
        scenario.wish.kill = None;
        let stage = Stage::set(&scenario);
        let planned = dry_run(&stage.machine, &target(), &stage.options);
        let ran = Ran::of(&scenario);
        let done = ran.report.as_ref().unwrap();
        prop_assert_eq!(planned.action, done.action);
        if ran.is_released() && !scenario.wish.force {
            prop_assert_eq!(&planned.outcome, &Outcome::Planned);
            let names = |report: &unmoor::Report| -> Vec<_> {
                report.steps.iter().map(|s| s.step.name()).collect()
            };
            prop_assert_eq!(names(&planned), names(done));
            // What the plan leaves out is left out.
            for (plan, did) in planned.steps.iter().zip(&done.steps) {
                let not_requested = |status: &Status| *status == Status::NotRequested;
                prop_assert_eq!(not_requested(&plan.status), not_requested(&did.status));
                let left_out = plan.status == Status::Skipped;
                prop_assert!(!left_out || did.status == Status::Skipped || plan.step == unmoor::Step::Dismount || plan.step == unmoor::Step::Flush,
                    "{:?} {:?}", plan, did);
            }
        }
    }
}
