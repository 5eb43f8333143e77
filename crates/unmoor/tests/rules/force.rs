//! Force: what was written before is on the medium, and open files fail from then on.

use crate::run::Ran;
use crate::scenario::{anything, cases, peaceful};
use proptest::prelude::*;
use unmoor::{ErrorKind, Status, Step};
use unmoor_simulated::FileError;

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn after_a_forced_release_no_old_handle_works(mut scenario in peaceful()) {
        scenario.requested.force = true;
        let ran = Ran::of(&scenario);
        if ran.is_released() {
            let machine = &ran.fixture.machine;
            for handle in &ran.fixture.handles {
                let answer = machine.write(*handle, b"too late");
                prop_assert!(matches!(answer, Err(FileError::Stale | FileError::Closed)));
                let answer = machine.read(*handle);
                prop_assert!(matches!(answer, Err(FileError::Stale | FileError::Closed)));
            }
            let drive = ran.fixture.drive;
            prop_assert_eq!(machine.medium_contents(drive), machine.written(drive));
        }
    }

    #[test]
    fn force_is_not_stopped_by_open_files(mut scenario in peaceful()) {
        scenario.requested.force = true;
        scenario.elsewhere = false;
        let ran = Ran::of(&scenario);
        let error = ran.report.as_ref().unwrap().error().map(|e| e.kind());
        prop_assert_ne!(error, Some(ErrorKind::Busy));
    }

    #[test]
    fn a_forced_release_warns_that_files_are_cut_off(mut scenario in anything()) {
        scenario.requested.force = true;
        let ran = Ran::of(&scenario);
        let refused = ran.moment(Step::Lock).is_some_and(|m| m.report.status == Status::Failed);
        let dismounted =
            ran.moment(Step::Dismount).is_some_and(|m| m.report.status != Status::Failed);
        if refused && dismounted {
            prop_assert!(ran.warnings.iter().any(|w| w.contains("fails from now on")));
        }
    }
}
