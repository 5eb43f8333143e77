//! Force cuts off, exactly: what was written before is on the medium, what is open fails from then on.

use crate::run::Ran;
use crate::scenario::{anything, cases, peaceful};
use proptest::prelude::*;
use unmoor::{ErrorKind, Status, Step};
use unmoor_simulated::FileError;

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn after_a_forced_release_no_old_handle_works(mut scenario in peaceful()) {
        scenario.wish.force = true;
        let ran = Ran::of(&scenario);
        if ran.is_released() {
            let machine = &ran.stage.machine;
            for handle in &ran.stage.handles {
                let answer = machine.write(*handle, b"too late");
                prop_assert!(matches!(answer, Err(FileError::Stale | FileError::Closed)));
                let answer = machine.read(*handle);
                prop_assert!(matches!(answer, Err(FileError::Stale | FileError::Closed)));
            }
            let drive = ran.stage.drive;
            prop_assert_eq!(machine.medium_contents(drive), machine.written(drive));
        }
    }

    #[test]
    fn force_is_not_stopped_by_open_files(mut scenario in peaceful()) {
        scenario.wish.force = true;
        scenario.elsewhere = false;
        let ran = Ran::of(&scenario);
        let error = ran.report.as_ref().unwrap().error().map(|e| e.kind());
        prop_assert_ne!(error, Some(ErrorKind::Busy));
    }

    #[test]
    fn cutting_off_is_said(mut scenario in anything()) {
        scenario.wish.force = true;
        let ran = Ran::of(&scenario);
        let refused = ran.moment(Step::Lock).is_some_and(|m| m.report.status == Status::Failed);
        let dismounted =
            ran.moment(Step::Dismount).is_some_and(|m| m.report.status != Status::Failed);
        if refused && dismounted {
            prop_assert!(ran.warnings.iter().any(|w| w.contains("fails from now on")));
        }
    }
}
