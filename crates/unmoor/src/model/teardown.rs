//! Order in which a stack of mounts and volumes is taken down.

use crate::model::drive::Drive;
use crate::model::volume::Mount;
use crate::model::volume::Volume;
use std::collections::{BinaryHeap, HashMap};
use std::path::Path;

/// One step of taking a stack down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TeardownStep<'d> {
    /// Switch off this swap space of this volume.
    SwapOff(&'d Volume, &'d Path),
    /// Unmount this mount of this volume.
    Unmount(&'d Volume, &'d Mount),
    /// Take this volume down, after its mounts and everything stacked on it.
    Dismount(&'d Volume),
}

/// Returns everything on the drive, in the order in which it can be taken down.
///
/// - A mount lies on its parent mount, and on the mounts that it hides.
/// - The mounts of a volume lie on the volume.
/// - A volume lies on its [parents](Volume::parents), and on their mounts too if it is a loop device over
///   a file there.
///
/// Of several that are free, the last one listed goes first: the reverse of set-up. Swap goes before
/// everything else. Nothing lies on it, and it may not fit into memory.
pub fn teardown_order(drive: &Drive) -> Vec<TeardownStep<'_>> {
    let steps: Vec<TeardownStep<'_>> = drive
        .volumes
        .iter()
        .flat_map(|v| {
            std::iter::once(TeardownStep::Dismount(v))
                .chain(v.mounts.iter().map(|m| TeardownStep::Unmount(v, m)))
        })
        .collect();
    let mut order: Vec<TeardownStep<'_>> = drive
        .volumes
        .iter()
        .rev()
        .flat_map(|v| v.swaps.iter().rev().map(move |swap| TeardownStep::SwapOff(v, swap)))
        .collect();
    order.reserve(steps.len());
    let lower = lower_steps(&steps);
    // Number of steps that have to come before each step.
    let mut waits_for = vec![0usize; steps.len()];
    lower.iter().flatten().for_each(|low| waits_for[*low] += 1);
    let mut free: BinaryHeap<usize> = (0..steps.len()).filter(|at| waits_for[*at] == 0).collect();
    let mut done = vec![false; steps.len()];
    let mut last = steps.len();
    for _ in 0..steps.len() {
        // A description made while mounts change may hold a cycle. The system refuses the wrong order then.
        let next = std::iter::from_fn(|| free.pop()).find(|at| !done[*at]).unwrap_or_else(|| {
            while done[last - 1] {
                last -= 1;
            }
            last - 1
        });
        done[next] = true;
        order.push(steps[next]);
        for low in &lower[next] {
            waits_for[*low] -= 1;
            if waits_for[*low] == 0 {
                free.push(*low);
            }
        }
    }
    order
}

/// Returns, for each step, the steps that have to come after it.
fn lower_steps(steps: &[TeardownStep<'_>]) -> Vec<Vec<usize>> {
    let mut dismounts: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut unmounts: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut by_id: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        match step {
            TeardownStep::Dismount(volume) => dismounts.entry(&volume.name).or_default().push(at),
            TeardownStep::Unmount(volume, mount) => {
                unmounts.entry(&volume.name).or_default().push(at);
                by_id.entry(mount.id).or_default().push(at);
            }
            TeardownStep::SwapOff(..) => {}
        }
    }
    let of =
        |map: &HashMap<&str, Vec<usize>>, name: &str| map.get(name).cloned().unwrap_or_default();
    let mut lower = vec![Vec::new(); steps.len()];
    for (at, step) in steps.iter().enumerate() {
        match step {
            TeardownStep::Dismount(volume) => {
                for parent in volume.parents.iter().filter(|parent| **parent != volume.name) {
                    lower[at].extend(of(&unmounts, parent));
                    lower[at].extend(of(&dismounts, parent));
                }
            }
            TeardownStep::Unmount(volume, mount) => {
                lower[at].extend(of(&dismounts, &volume.name));
                let parent = by_id.get(&mount.parent).into_iter().flatten();
                lower[at].extend(parent.filter(|_| mount.parent != mount.id));
                for high in mount.covered_by.iter().filter(|id| **id != mount.id) {
                    by_id.get(high).into_iter().flatten().for_each(|high| lower[*high].push(at));
                }
            }
            TeardownStep::SwapOff(..) => {}
        }
    }
    lower
}

impl Drive {
    /// Returns every mount of every volume, in the order they must be unmounted.
    pub fn mounts(&self) -> Vec<&Mount> {
        teardown_order(self)
            .into_iter()
            .filter_map(|undo| match undo {
                TeardownStep::Unmount(_, mount) => Some(mount),
                TeardownStep::SwapOff(..) | TeardownStep::Dismount(_) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn volume(name: &str, on: &str, mounts: &[(u64, u64)]) -> Volume {
        Volume {
            mounts: mounts
                .iter()
                .map(|&(id, parent)| Mount {
                    path: format!("/{id}").into(),
                    root: "/".into(),
                    file_system: "ext4".into(),
                    read_only: false,
                    id,
                    parent,
                    covered_by: Vec::new(),
                })
                .collect(),
            ..crate::model::drive::tests::volume(name, on)
        }
    }

    fn order(volumes: Vec<Volume>) -> String {
        let drive = Drive { volumes, ..crate::model::drive::tests::drive() };
        let names: Vec<String> = teardown_order(&drive)
            .iter()
            .map(|u| match u {
                TeardownStep::Unmount(_, m) => m.id.to_string(),
                TeardownStep::Dismount(v) => v.name.clone(),
                TeardownStep::SwapOff(_, path) => path.display().to_string(),
            })
            .collect();
        names.join(" ")
    }

    #[test]
    fn mounts_that_interleave_between_volumes_go_deepest_first() {
        let a = volume("a", "sdb", &[(10, 1), (12, 11)]);
        let b = volume("b", "sdb", &[(11, 10)]);
        assert_eq!(order(vec![a, b]), "12 11 b 10 a");
    }

    #[test]
    fn a_loop_device_over_a_file_goes_before_the_mount_that_holds_the_file() {
        let stick = volume("sdb1", "sdb", &[(10, 1)]);
        let image = volume("loop7", "sdb1", &[(11, 1)]);
        assert_eq!(order(vec![stick, image]), "11 loop7 10 sdb1");
    }

    #[test]
    fn swap_goes_first_wherever_it_lies() {
        let mut stick = volume("sdb1", "sdb", &[(10, 1)]);
        stick.swaps = vec!["/10/swap".into()];
        let image = volume("loop7", "sdb1", &[(11, 1)]);
        assert_eq!(order(vec![stick, image]), "/10/swap 11 loop7 10 sdb1");
    }

    #[test]
    fn a_hiding_mount_is_unmounted_before_the_hidden_one() {
        let a = volume("a", "sdb", &[(10, 1)]);
        let mut b = volume("b", "sdb", &[(11, 1)]);
        b.mounts[0].covered_by = vec![10];
        assert_eq!(order(vec![a, b]), "10 11 b a");
    }

    #[test]
    fn a_ring_ends() {
        let a = volume("a", "b", &[]);
        let b = volume("b", "a", &[]);
        assert_eq!(order(vec![a, b]).split(' ').count(), 2);
    }

    /// A comparison of each mount with each other one would take hours.
    #[test]
    fn two_hundred_thousand_mounts_are_ordered_in_one_pass() {
        let mounts: Vec<(u64, u64)> = (0..200_000).map(|at| (at + 10, 1)).collect();
        let drive = Drive {
            volumes: vec![volume("a", "sdb", &mounts)],
            ..crate::model::drive::tests::drive()
        };
        let order = teardown_order(&drive);
        assert_eq!(order.len(), mounts.len() + 1);
        assert!(matches!(order.last(), Some(TeardownStep::Dismount(_))));
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_comparison_of_all_steps(
            shape in proptest::collection::vec(
                (0usize..4, proptest::collection::vec((0u64..9, 0u64..9, 0u64..9), 0..4)), 1..5,
            ),
        ) {
            let names = ["a", "b", "c", "d"];
            let volumes = shape.iter().enumerate().map(|(at, (on, mounts))| {
                let ids: Vec<(u64, u64)> = mounts.iter().map(|(id, on, _)| (*id, *on)).collect();
                let mut volume = volume(names[at], names[*on], &ids);
                for (mount, (.., hidden_by)) in volume.mounts.iter_mut().zip(mounts) {
                    mount.covered_by = vec![*hidden_by];
                }
                volume
            });
            let drive = Drive { volumes: volumes.collect(), ..crate::model::drive::tests::drive() };
            prop_assert_eq!(teardown_order(&drive), compare_all(&drive));
        }
    }

    fn compare_all(drive: &Drive) -> Vec<TeardownStep<'_>> {
        let mut left: Vec<TeardownStep<'_>> = Vec::new();
        for volume in &drive.volumes {
            left.push(TeardownStep::Dismount(volume));
            left.extend(volume.mounts.iter().map(|mount| TeardownStep::Unmount(volume, mount)));
        }
        let mut order = Vec::new();
        while !left.is_empty() {
            let free = left.iter().rposition(|low| !left.iter().any(|high| is_above(high, low)));
            order.push(left.remove(free.unwrap_or(left.len() - 1)));
        }
        order
    }

    fn is_above(high: &TeardownStep<'_>, low: &TeardownStep<'_>) -> bool {
        match (high, low) {
            (TeardownStep::Unmount(_, h), TeardownStep::Unmount(_, l)) => {
                h.id != l.id && (h.parent == l.id || l.covered_by.contains(&h.id))
            }
            (TeardownStep::Unmount(h, _), TeardownStep::Dismount(l)) => h.name == l.name,
            (
                TeardownStep::Dismount(h),
                TeardownStep::Unmount(l, _) | TeardownStep::Dismount(l),
            ) => h.name != l.name && h.parents.contains(&l.name),
            (TeardownStep::SwapOff(..), _) | (_, TeardownStep::SwapOff(..)) => false,
        }
    }
}
