//! In which order a stack of mounts and volumes is undone.

use crate::model::drive::Drive;
use crate::model::volume::Mount;
use crate::model::volume::Volume;
use std::path::Path;

/// One thing to undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeardownStep<'d> {
    /// Take this swap space of this volume out of use.
    SwapOff(&'d Volume, &'d Path),
    /// Take this mount of this volume away.
    Unmount(&'d Volume, &'d Mount),
    /// Take this volume down: its mounts and everything stacked on it are gone by then.
    Dismount(&'d Volume),
}

/// Everything on the drive, ordered so that nothing is undone while something else lies on it.
///
/// A mount lies on its parent mount, and on what it hides; a volume's mounts lie on the volume; a volume lies on the volumes
/// it is [`on`](Volume::parents), and on their mounts too when it is a loop device over a file there. Among
/// what is free to go, the last one listed goes first, so that the order is the reverse of set-up. Swap
/// goes before anything else: nothing lies on it, and it may not fit into memory.
pub fn teardown_order(drive: &Drive) -> Vec<TeardownStep<'_>> {
    let mut left: Vec<TeardownStep<'_>> = drive
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
    order.reserve(left.len());
    while !left.is_empty() {
        let free = left.iter().rposition(|low| !left.iter().any(|high| depends_on(high, low)));
        // A picture taken while things change may hold a ring; the system has the last word then.
        order.push(left.remove(free.unwrap_or(left.len() - 1)));
    }
    order
}

/// Does `high` have to go before `low`.
fn depends_on(high: &TeardownStep<'_>, low: &TeardownStep<'_>) -> bool {
    match (high, low) {
        (TeardownStep::Unmount(_, h), TeardownStep::Unmount(_, l)) => {
            h.id != l.id && (h.parent == l.id || l.covered_by.contains(&h.id))
        }
        (TeardownStep::Unmount(h, _), TeardownStep::Dismount(l)) => h.name == l.name,
        (TeardownStep::Dismount(h), TeardownStep::Unmount(l, _)) => {
            h.name != l.name && h.parents.contains(&l.name)
        }
        (TeardownStep::Dismount(h), TeardownStep::Dismount(l)) => {
            h.name != l.name && h.parents.contains(&l.name)
        }
        (TeardownStep::SwapOff(..), _) | (_, TeardownStep::SwapOff(..)) => false,
    }
}

impl Drive {
    /// Every mount of every volume, in the order they must be undone.
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
    fn what_hides_a_mount_goes_before_it() {
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
}
