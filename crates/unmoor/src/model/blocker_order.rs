//! What to close first comes first.

use crate::model::blocker::{Blocker, BlockerKind, UsageKind};

/// Sorts: programs before what they run on, top before bottom.
pub(crate) fn sort(blockers: &mut [Blocker]) {
    for blocker in blockers.iter_mut() {
        blocker.uses.sort_by_key(|used| (!used.writing, used.kind));
    }
    // The sort is stable: what was found in the order of a stack stays so.
    blockers.sort_by_key(|blocker| {
        let writing = blocker.uses.iter().any(|used| used.writing);
        let kind = blocker.uses.iter().map(|used| used.kind).min();
        let pid = blocker.process.as_ref().map_or(0, |process| process.pid);
        (display_rank(blocker.kind), !writing, kind.unwrap_or(UsageKind::Kernel), pid)
    });
}

fn display_rank(kind: BlockerKind) -> u8 {
    match kind {
        BlockerKind::Process => 0,
        BlockerKind::Namespace => 1,
        // These lie on each other in any order.
        BlockerKind::Overlay | BlockerKind::Mount => 2,
        BlockerKind::Export => 4,
        BlockerKind::Swap => 5,
        // These stand on each other in any order.
        BlockerKind::Loop | BlockerKind::Mapping | BlockerKind::MultiDevice => 6,
        BlockerKind::Unknown => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::blocker::Usage;

    #[test]
    fn writers_come_first_and_what_they_write_to_last() {
        let of = |kind, used| Blocker::new(kind, "").with_usage(Usage::new(used, "sdb1"));
        let mut blockers = vec![
            of(BlockerKind::Loop, UsageKind::Kernel),
            of(BlockerKind::Mount, UsageKind::MountPoint),
            of(BlockerKind::Process, UsageKind::WorkingDirectory),
            of(BlockerKind::Process, UsageKind::OpenForWriting),
        ];
        sort(&mut blockers);
        let kinds: Vec<_> = blockers.iter().map(|b| b.uses[0].kind).collect();
        let expected = [
            UsageKind::OpenForWriting,
            UsageKind::WorkingDirectory,
            UsageKind::MountPoint,
            UsageKind::Kernel,
        ];
        assert_eq!(kinds, expected);
    }
}
