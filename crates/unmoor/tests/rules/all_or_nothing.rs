//! Nothing is dismounted until every volume on the drive has been found idle, unless forced.

use crate::run::{Fixture, Ran};
use crate::scenario::{anything, cases, peaceful};
use proptest::prelude::*;
use std::collections::BTreeSet;
use unmoor::{Drive, ErrorKind, Step};
use unmoor_simulated::{Effect, JournalEntry, Op};

/// Returns a dismount that came although some volume had not been found idle since the last unlock.
fn too_early(journal: &[JournalEntry], before: &Drive) -> Option<JournalEntry> {
    let mut idle = BTreeSet::new();
    for entry in journal {
        match (entry.op, entry.effect) {
            (Op::Unlock, _) => idle.clear(),
            (_, Some(Effect::Locked)) => {
                idle.insert(entry.volume.clone().unwrap_or_default());
            }
            (_, Some(Effect::Dismounted { .. }))
                if !before.volumes.iter().all(|v| idle.contains(&v.name)) =>
            {
                return Some(entry.clone());
            }
            _ => {}
        }
    }
    None
}

/// Returns the mount IDs.
fn mounts(drive: &Drive) -> BTreeSet<u64> {
    drive.volumes.iter().flat_map(|v| &v.mounts).map(|m| m.id).collect()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_dismounted_before_every_volume_was_found_idle(scenario in anything()) {
        let ran = Ran::of(&scenario);
        if !scenario.requested.force {
            prop_assert_eq!(too_early(&ran.journal(), &ran.fixture.before), None);
        }
    }

    #[test]
    fn a_refused_lock_leaves_everything_mounted_and_usable(mut scenario in peaceful()) {
        scenario.requested.force = false;
        let ran = Ran::of(&scenario);
        let error = ran.report.as_ref().and_then(|r| r.error());
        if error.is_some_and(|e| e.kind() == ErrorKind::Busy && e.step() == Some(Step::Lock)) {
            let Fixture { machine, drive, handles, before, .. } = &ran.fixture;
            let after = machine.describe(*drive).unwrap();
            prop_assert_eq!(mounts(&after), mounts(before));
            for handle in handles {
                let answer = machine.read(*handle);
                let closed = answer == Err(unmoor_simulated::FileError::Closed);
                prop_assert!(answer.is_ok() || closed, "{:?}", answer);
            }
        }
    }

    #[test]
    fn without_force_no_open_file_is_cut_off(mut scenario in anything()) {
        scenario.requested.force = false;
        scenario.comes_late = true;
        let ran = Ran::of(&scenario);
        for entry in ran.journal() {
            prop_assert_ne!(entry.effect, Some(Effect::Dismounted { forced: true }));
        }
    }
}
