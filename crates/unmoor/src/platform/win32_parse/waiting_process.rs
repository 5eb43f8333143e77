//! A process that runs from the drive and only waits for this one: a program that runs a copy of itself to
//! release its own drive.

use crate::model::blocker::{BlockerScan, UsageKind};

/// Returns true if the scan found process `pid` alone, with nothing but its program files on the drive.
/// Dismounting without a lock then cuts off no other process. Processes that this user may not inspect
/// are ignored, because Windows closes some of them to every user. An incomplete scan returns false.
pub(crate) fn is_only_user(pid: u32, scan: &BlockerScan) -> bool {
    let looked = scan.complete || scan.inaccessible_processes > 0;
    let [only] = scan.blockers.as_slice() else { return false };
    let runs = [UsageKind::Executable, UsageKind::MappedFile];
    looked
        && scan.notes.is_empty()
        && only.process.as_ref().is_some_and(|process| process.pid == pid)
        && !only.uses.is_empty()
        && only.uses.iter().all(|used| runs.contains(&used.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::blocker::{Blocker, BlockerKind, Process, Usage};

    fn process(pid: u32, uses: &[UsageKind]) -> Blocker {
        let mut blocker = Blocker::new(BlockerKind::Process, "unmoor.exe");
        blocker.uses = uses.iter().map(|&kind| Usage::new(kind, "E:")).collect();
        blocker.process = Some(Process {
            pid,
            name: "unmoor.exe".into(),
            command_line: Vec::new(),
            user: None,
            unit: None,
            started: 1,
        });
        blocker
    }

    fn found(blockers: Vec<Blocker>) -> BlockerScan {
        BlockerScan { blockers, complete: true, ..BlockerScan::default() }
    }

    #[test]
    fn a_process_that_only_runs_from_there_is_only_user() {
        let starter = process(7, &[UsageKind::Executable, UsageKind::MappedFile]);
        assert!(is_only_user(7, &found(vec![starter.clone()])));
        let closed = BlockerScan {
            complete: false,
            inaccessible_processes: 5,
            ..found(vec![starter.clone()])
        };
        assert!(is_only_user(7, &closed));
    }

    #[test]
    fn a_second_process_an_open_file_or_half_a_scan_is_not_only_user() {
        let starter = process(7, &[UsageKind::Executable]);
        let editor = process(8, &[UsageKind::OpenForWriting]);
        assert!(!is_only_user(7, &found(vec![starter.clone(), editor])));
        assert!(!is_only_user(7, &found(vec![process(8, &[UsageKind::Executable])])));
        assert!(!is_only_user(7, &found(Vec::new())));
        assert!(!is_only_user(7, &found(vec![process(7, &[])])));
        for kind in [UsageKind::OpenFile, UsageKind::OpenForWriting, UsageKind::WorkingDirectory] {
            assert!(!is_only_user(7, &found(vec![process(7, &[UsageKind::Executable, kind])])));
        }
        let image = Blocker::new(BlockerKind::Loop, "an image");
        assert!(!is_only_user(7, &found(vec![starter.clone(), image])));
        let late = BlockerScan { complete: false, ..found(vec![starter.clone()]) };
        assert!(!is_only_user(7, &late));
        let notes = vec!["3 open files gave no answer".to_string()];
        let stuck = BlockerScan {
            complete: false,
            inaccessible_processes: 5,
            notes,
            ..found(vec![starter])
        };
        assert!(!is_only_user(7, &stuck));
    }
}
