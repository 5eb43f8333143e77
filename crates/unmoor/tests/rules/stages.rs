//! The stages one by one: their types keep the order, and dropping any of them unlocks.

use crate::run::{Fixture, target};
use crate::scenario::{FaultSpec, Scenario, anything, cases, peaceful};
use proptest::prelude::*;
use unmoor::{ErrorKind, Opened};
use unmoor_simulated::{Effect, FaultKind, Op};

/// Goes that many stages far and drops what it has then; says whether flushing failed.
fn walk(fixture: &Fixture, how_far: usize, force: bool) -> unmoor::Result<()> {
    let mut opened = Opened::new(&fixture.machine, &target(), &fixture.options)?;
    if how_far == 0 {
        return Ok(());
    }
    // Whoever ignores this error must not lose data by it.
    let _ = opened.flush();
    if how_far == 1 {
        return Ok(());
    }
    let dismounted = if force {
        opened.force_dismount()?
    } else {
        let locked = opened.lock()?;
        if how_far == 2 {
            return Ok(());
        }
        locked.dismount()?
    };
    if how_far == 3 {
        return Ok(());
    }
    let mut ejected = dismounted.eject()?;
    if how_far == 4 {
        return Ok(());
    }
    ejected.verify()?;
    Ok(())
}

/// Undoes nothing of the stages by hand.
fn walked(scenario: &Scenario, how_far: usize) -> (Fixture, unmoor::Result<()>) {
    let fixture = Fixture::set(scenario);
    let result = walk(&fixture, how_far, scenario.requested.force);
    (fixture, result)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn dropping_any_stage_unlocks(scenario in anything(), how_far in 0..6usize) {
        let (fixture, _) = walked(&scenario, how_far);
        prop_assert_eq!(fixture.machine.locks_held(), 0);
    }

    #[test]
    fn a_stage_returned_by_a_failure_unlocks_when_dropped(scenario in anything()) {
        let fixture = Fixture::set(&scenario);
        if let Ok(opened) = Opened::new(&fixture.machine, &target(), &fixture.options) {
            match opened.lock() {
                Ok(locked) => drop(locked.dismount().and_then(|d| d.eject()).err()),
                Err(halted) => drop(halted),
            }
        }
        prop_assert_eq!(fixture.machine.locks_held(), 0);
    }

    #[test]
    fn an_ignored_failed_flush_still_stops_the_eject(
        mut scenario in peaceful(),
        at in prop::sample::select(vec![Op::Flush, Op::FlushDrive]),
        after in 0..2u32,
    ) {
        scenario.faults = vec![FaultSpec { at, kind: FaultKind::IoError, after, times: 1 }];
        scenario.requested.discard = false;
        let (fixture, result) = walked(&scenario, 5);
        let journal = fixture.machine.journal();
        let failed = journal.iter().any(|e| e.answer == Err(ErrorKind::Unwritten));
        if failed {
            prop_assert!(!journal.iter().any(|e| e.effect.is_some_and(Effect::releases_medium)));
            prop_assert!(result.is_err());
        }
    }

    #[test]
    fn stages_never_eject_while_mounted(scenario in anything()) {
        prop_assume!(!scenario.may_be_mounted_again_under_force());
        let (fixture, _) = walked(&scenario, 5);
        for entry in fixture.machine.journal() {
            prop_assert_ne!(entry.effect.and_then(Effect::mounted), Some(true));
        }
    }

    #[test]
    fn a_stage_walked_to_its_end_ejected(scenario in peaceful()) {
        let (fixture, result) = walked(&scenario, 5);
        if result.is_ok() && !scenario.drive.silent {
            let out = fixture.machine.was_ejected(fixture.drive)
                || fixture.machine.presence(fixture.drive) == unmoor::Presence::Stopped;
            prop_assert!(out, "{:?}", fixture.machine.presence(fixture.drive));
        }
    }
}
