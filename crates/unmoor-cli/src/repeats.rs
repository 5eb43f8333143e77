//! What several targets of one call have to do with each other.
//!
//! One drive named twice in a call (`unmoor /dev/sdb*`): it is released once, and every name of it gets
//! that answer. Asked for by its second name after it has left, it would not be found any more.

use crate::machines::Machines;
use std::ffi::OsString;
use unmoor::{Drive, Target};

/// For each target, which earlier one means the same drive; and all the drives that are meant, since
/// what lies on several of them may be taken down. A single target costs nothing.
pub fn find(
    targets: &[(OsString, Target)],
    machines: &Machines,
) -> (Vec<Option<usize>>, Vec<Drive>) {
    if targets.len() < 2 {
        return (vec![None; targets.len()], Vec::new());
    }
    let drives: Vec<Option<Drive>> = targets
        .iter()
        .map(|(_, target)| {
            machines.of(target).and_then(|machine| unmoor::status(machine, target)).ok()
        })
        .collect();
    let same = |one: &Drive, other: &Drive| one.id == other.id && one.path == other.path;
    let earlier = |(number, drive): (usize, &Option<Drive>)| {
        let drive = drive.as_ref()?;
        drives[..number].iter().position(|other| other.as_ref().is_some_and(|o| same(o, drive)))
    };
    let same_as = drives.iter().enumerate().map(earlier).collect();
    (same_as, drives.into_iter().flatten().collect())
}
