//! Nothing is dismounted until every volume on the drive has been found idle, unless forced.

use crate::run::{Ran, Stage};
use crate::scenario::{anything, cases, peaceful};
use proptest::prelude::*;
use std::collections::BTreeSet;
use unmoor::{Drive, ErrorKind, Step};
use unmoor_simulated::{Effect, JournalEntry, Op};

/// What was dismounted although some volume had not been found idle since the last unlock.
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

/// One by one, where each mount was.
fn mounts(drive: &Drive) -> BTreeSet<u64> {
    drive.volumes.iter().flat_map(|v| &v.mounts).map(|m| m.id).collect()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_dismounted_before_every_volume_was_found_idle(scenario in anything()) {
        let ran = Ran::of(&scenario);
        if !scenario.wish.force {
            prop_assert_eq!(too_early(&ran.journal(), &ran.stage.before), None);
        }
    }

    #[test]
    fn a_refused_lock_leaves_everything_mounted_and_usable(mut scenario in peaceful()) {
        scenario.wish.force = false;
        let ran = Ran::of(&scenario);
        let error = ran.report.as_ref().and_then(|r| r.error());
        if error.is_some_and(|e| e.kind() == ErrorKind::Busy && e.step() == Some(Step::Lock)) {
            let Stage { machine, drive, handles, before, .. } = &ran.stage;
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
        scenario.wish.force = false;
        scenario.comes_late = true;
        let ran = Ran::of(&scenario);
        for entry in ran.journal() {
            prop_assert_ne!(entry.effect, Some(Effect::Dismounted { forced: true }));
        }
    }
}
