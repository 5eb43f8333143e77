//! The tests, one file a subject. A new test is a function and a row in its file's table.

mod busy;
mod card;
mod doc_kinds;
mod document;
mod ecryptfs;
mod eject_command;
mod force;
mod force_writers;
mod full_only;
mod gone;
mod kinds;
mod late;
mod logs;
mod loops;
mod mounts;
mod optical;
mod overlays;
mod power_cut;
mod refusals;
mod rig;
mod served;
mod sessions;
mod several;
mod silent;
mod stacks;
mod stick;
mod swapped;
mod targets;
mod unprivileged;
mod unseen;
mod unwritten;
mod who;
mod windows;

use crate::vm::test_case::Test;
pub use windows::MACHINE as WINE;

const ALL: &[&[Test]] = &[
    rig::TESTS,
    optical::TESTS,
    stick::TESTS,
    power_cut::TESTS,
    swapped::TESTS,
    gone::TESTS,
    busy::TESTS,
    card::TESTS,
    loops::TESTS,
    stacks::TESTS,
    mounts::TESTS,
    overlays::TESTS,
    logs::TESTS,
    ecryptfs::TESTS,
    force::TESTS,
    kinds::TESTS,
    doc_kinds::TESTS,
    force_writers::TESTS,
    late::TESTS,
    unseen::TESTS,
    unwritten::TESTS,
    refusals::TESTS,
    unprivileged::TESTS,
    targets::TESTS,
    served::TESTS,
    sessions::ROWS,
    sessions::SPECIAL,
    several::TESTS,
    silent::TESTS,
    document::TESTS,
    eject_command::TESTS,
    windows::TESTS,
    who::PROCESSES,
    who::SYSTEM,
    who::DEAD,
    who::KERNEL,
];

/// Returns the tests whose name or promise contains one of the filters, which commas separate. With `quick`, without [`full_only::TESTS`].
pub fn chosen(filter: &str, quick: bool) -> Vec<&'static Test> {
    let matches = |test: &&Test| {
        let is_left_out = quick && full_only::has(test.name);
        let fits = |filter: &str| test.name.contains(filter) || test.promise.contains(filter);
        !is_left_out && filter.split(',').any(fits)
    };
    ALL.iter().copied().flatten().filter(matches).collect()
}
