//! A dry run reports what a release would do, and changes nothing.

use crate::run::{Fixture, Ran, target};
use crate::scenario::{anything, cases, peaceful};
use proptest::prelude::*;
use unmoor::{Outcome, Status, dry_run};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_dry_run_changes_nothing(scenario in anything()) {
        let fixture = Fixture::set(&scenario);
        let report = dry_run(&fixture.machine, &target(), &fixture.options);
        prop_assert!(fixture.machine.journal().is_empty());
        prop_assert_eq!(fixture.machine.describe(fixture.drive).unwrap(), fixture.before);
        prop_assert!(matches!(report.outcome, Outcome::Planned | Outcome::Failed(_)));
    }

    #[test]
    fn a_release_takes_the_steps_of_its_dry_run(mut scenario in peaceful()) {
        // A plan cannot know whether a process has to be terminated.
        scenario.requested.kill = None;
        let fixture = Fixture::set(&scenario);
        let planned = dry_run(&fixture.machine, &target(), &fixture.options);
        let ran = Ran::of(&scenario);
        let done = ran.report.as_ref().unwrap();
        prop_assert_eq!(planned.action, done.action);
        if ran.is_released() && !scenario.requested.force {
            prop_assert_eq!(&planned.outcome, &Outcome::Planned);
            let names = |report: &unmoor::Report| -> Vec<_> {
                report.steps.iter().map(|s| s.step.name()).collect()
            };
            prop_assert_eq!(names(&planned), names(done));
            // The release skips what the plan skips.
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
