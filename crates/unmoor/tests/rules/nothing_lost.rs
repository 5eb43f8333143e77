//! Data that could not be written keeps the medium in, even with force, and a released medium has all
//! data.

use crate::run::Ran;
use crate::scenario::{FaultSpec, anything, cases, peaceful};
use proptest::prelude::*;
use unmoor::{Error, ErrorKind, Outcome};
use unmoor_simulated::{Effect, FaultKind, Op};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_ejected_after_a_failed_flush(
        mut scenario in anything(),
        at in prop::sample::select(vec![Op::Flush, Op::FlushDrive, Op::Claim]),
        after in 0..2u32,
    ) {
        scenario.requested.discard = false;
        scenario.faults.push(FaultSpec { at, kind: FaultKind::IoError, after, times: 1 });
        let ran = Ran::of(&scenario);
        let mut failed = false;
        for entry in ran.journal() {
            failed |= entry.answer == Err(ErrorKind::Unwritten);
            let lets_go = entry.effect.is_some_and(Effect::releases_medium);
            prop_assert!(!(failed && lets_go), "{:?} after a failed flush", entry);
        }
        prop_assert!(!(failed && ran.is_released()));
    }

    #[test]
    fn a_failed_flush_ends_the_release(scenario in anything()) {
        let ran = Ran::of(&scenario);
        let tolerated = |kind| match kind {
            ErrorKind::NotPermitted => true,
            ErrorKind::Unwritten => scenario.requested.discard,
            _ => false,
        };
        let mut failed = false;
        for entry in ran.journal() {
            let flush = matches!(entry.op, Op::Flush | Op::FlushDrive);
            failed |= flush && entry.answer.is_err_and(|kind| !tolerated(kind));
            prop_assert!(!(failed && entry.effect.is_some_and(Effect::releases_medium)), "{:?}", entry);
        }
    }

    #[test]
    fn released_means_every_byte_is_on_the_medium(mut scenario in anything()) {
        scenario.requested.discard = false;
        let ran = Ran::of(&scenario);
        if ran.is_released() {
            let (machine, drive) = (&ran.fixture.machine, ran.fixture.drive);
            prop_assert_eq!(machine.medium_contents(drive), machine.written(drive));
        }
    }

    #[test]
    fn discarding_loses_only_what_could_not_be_written(
        mut scenario in peaceful(),
        bad in 0..3u32,
    ) {
        scenario.requested.discard = true;
        scenario.faults =
            vec![FaultSpec { at: Op::Flush, kind: FaultKind::IoError, after: bad, times: 1 }];
        let ran = Ran::of(&scenario);
        let lost: Vec<_> = ran.failed(Op::Flush).filter_map(|e| e.volume).collect();
        if ran.is_released() {
            let (machine, drive) = (&ran.fixture.machine, ran.fixture.drive);
            let medium = machine.medium_contents(drive);
            for ((volume, path), bytes) in machine.written(drive) {
                if !lost.contains(&volume) {
                    prop_assert_eq!(medium.get(&(volume, path)), Some(&bytes));
                }
            }
            if !lost.is_empty() {
                let said = ran.warnings.iter().any(|w| w.ends_with("; discarded"));
                prop_assert!(said, "{:?}", ran.warnings);
            }
            let told: &[Error] = ran.report.as_ref().map_or(&[], |report| &report.lost);
            prop_assert_eq!(told.is_empty(), lost.is_empty(), "{:?}", told);
            prop_assert!(told.iter().all(|error| error.kind() == ErrorKind::Unwritten));
        }
    }

    #[test]
    fn one_bad_volume_does_not_keep_the_others_from_being_written(
        mut scenario in peaceful(),
        bad in 0..3u32,
    ) {
        scenario.holders.clear();
        scenario.requested.timeout = None;
        scenario.requested.discard = false;
        scenario.faults =
            vec![FaultSpec { at: Op::Flush, kind: FaultKind::IoError, after: bad, times: 1 }];
        let ran = Ran::of(&scenario);
        let lost: Vec<_> = ran.failed(Op::Flush).filter_map(|e| e.volume).collect();
        let (machine, drive) = (&ran.fixture.machine, ran.fixture.drive);
        let medium = machine.medium_contents(drive);
        for ((volume, path), bytes) in machine.written(drive) {
            if !lost.is_empty() && !lost.contains(&volume) {
                prop_assert_eq!(medium.get(&(volume, path)), Some(&bytes));
            }
        }
    }

    #[test]
    fn discarding_lets_the_release_continue(
        mut scenario in peaceful(),
        at in prop::sample::select(vec![Op::Flush, Op::FlushDrive, Op::Claim]),
    ) {
        scenario.requested.discard = true;
        let whole = Ran::of(&scenario);
        scenario.faults =
            vec![FaultSpec { at, kind: FaultKind::IoError, after: 0, times: u32::MAX }];
        let broken = Ran::of(&scenario);
        let kind = |ran: &Ran| match &ran.report.as_ref().unwrap().outcome {
            Outcome::Failed(error) => Some(error.kind()),
            _ => None,
        };
        // A broken flush takes less time than a whole one, so programs may be in the way longer.
        if kind(&broken) != Some(ErrorKind::Busy) && kind(&whole) != Some(ErrorKind::Busy)
            && scenario.requested.timeout.is_none()
        {
            prop_assert_eq!(kind(&broken), kind(&whole));
        }
    }
}
